package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/strongroom/strongroom/"

// layers, from the ground up: a package imports only packages of lower layers.
// Packages of one layer do not import each other.
var layers = [][]string{
	{
		"internal/awserr",
		"internal/clock",
		"internal/malloc",
		"internal/policy",
		"internal/secret",
	},
	{
		"internal/attestation",
		"internal/backup",
		"internal/deadline",
		"internal/hsm",
		"internal/journal",
		"internal/keyring",
		"internal/keyring/software/libcrypto",
		"internal/metrics",
		"internal/oidc",
		"internal/password",
		"internal/saml",
		"internal/seal",
		"internal/totp",
		"internal/wire",
	},
	{
		"internal/admin",
		"internal/attestation/attestationtest",
		"internal/hsm/cryptoki",
		"internal/journal/index",
		"internal/keyring/keyringtest",
		"internal/keyring/pkcs11",
		"internal/keyring/software",
		"internal/oidc/oidctest",
		"internal/saml/samltest",
		"internal/seal/awskms",
		"internal/seal/pkcs11",
		"internal/seal/recovery",
		"internal/seal/tpm",
		"internal/sigv4",
		"internal/store",
		"internal/xksapi",
	},
	{
		"internal/approval",
		"internal/approval/approvaltest",
		"internal/authz",
		"internal/delivery",
		"internal/doctor",
		"internal/front",
		"internal/hsm/hsmtest",
		"internal/keyring/xks",
		"internal/seal/tpm/tpmtest",
		"internal/ship",
		"internal/sigv4/sigv4test",
		"internal/spool",
		"internal/store/pebble",
		"internal/store/postgres",
	},
	{
		"internal/operation",
		"internal/store/postgres/postgrestest",
		"internal/store/storetest",
	},
	{
		"api/cloudhsm",
		"api/cloudtrail",
		"api/iam",
		"api/kms",
		"api/sts",
		"internal/gateway",
	},
	{
		"internal/service/cloudhsm",
		"internal/service/iam",
		"internal/service/kms",
		"internal/service/sts",
		"internal/service/trail",
		"internal/service/xksproxy",
	},
	{
		"internal/server",
	},
	{
		"cmd/strongroom",
		"strongroomtest",
	},
}

// outside are packages that no layer imports: generators, proofs and tests.
var outside = []string{"api", "internal/apigen", "internal/house", "e2e", "bench"}

// source is one Go file that is not a test.
type source struct {
	path, pkg string
	file      *ast.File
}

// sources parses the module's Go files, tests excluded.
func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if name != ".." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "strongroom-data") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all = append(all, source{path: filepath.ToSlash(relative), pkg: filepath.ToSlash(filepath.Dir(relative)), file: file})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d source files found: the walk is wrong", len(all))
	}
	return all
}

func (s source) imports(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, i := range s.file.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestNothingReachesBackUp(t *testing.T) {
	layer := map[string]int{}
	for i, packages := range layers {
		for _, p := range packages {
			layer[p] = i
		}
	}
	for _, s := range sources(t) {
		if isOutside(s.pkg) {
			continue
		}
		from, known := layer[s.pkg]
		if !known {
			t.Errorf("%s: package %s has no layer; give it one", s.path, s.pkg)
			continue
		}
		for _, path := range s.imports(t) {
			to, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			if below, known := layer[to]; !known || below >= from {
				t.Errorf("%s imports %s, which is not below %s", s.path, to, s.pkg)
			}
		}
	}
}

func isOutside(pkg string) bool {
	return slices.ContainsFunc(outside, func(o string) bool { return pkg == o || strings.HasPrefix(pkg, o+"/") && o != "api" })
}

// keepers say which packages may import what holds, makes or opens secrets, or
// is not handed in. A trailing slash covers the packages below.
var keepers = map[string][]string{
	// Unwrapped key material exists in keyring/software alone, and only the
	// wiring makes one.
	module + "internal/keyring/software": {"internal/server"},
	// OpenSSL is given RSA keys, in this process. Of C there is nothing else but the
	// settings of its malloc.
	module + "internal/keyring/software/libcrypto": {"internal/keyring/software"},
	"C": {"internal/keyring/software/libcrypto", "internal/malloc"},
	// The root of trust hands out derived keys to the wiring; iam has a box of
	// its own.
	module + "internal/seal": {"internal/server", "internal/keyring/software", "internal/service/iam", "internal/seal/awskms", "internal/seal/pkcs11", "internal/seal/recovery", "internal/seal/tpm"},
	"crypto/aes":             {"internal/delivery", "internal/seal", "internal/keyring/software", "internal/store", "internal/journal", "internal/attestation", "internal/attestation/attestationtest", "internal/saml", "internal/saml/samltest", "internal/hsm/hsmtest"},
	"crypto/cipher":          {"internal/delivery", "internal/seal", "internal/keyring/software", "internal/store", "internal/journal", "internal/attestation", "internal/attestation/attestationtest", "internal/saml", "internal/saml/samltest", "internal/hsm/hsmtest"},
	"crypto/rand":            {"internal/server", "internal/seal", "internal/keyring/software", "internal/keyring/software/libcrypto", "internal/store", "internal/journal", "internal/attestation/attestationtest", "internal/oidc/oidctest", "internal/saml/samltest", "internal/hsm/hsmtest", "internal/hsm/cryptoki", "internal/approval/approvaltest"},
	"math/rand":              {},
	"math/rand/v2":           {"internal/server", "internal/store/storetest", "internal/store/postgres/postgrestest"},
	// A vendor's library is loaded into the helper process alone.
	"github.com/miekg/pkcs11":        {"internal/hsm/cryptoki"},
	module + "internal/hsm/cryptoki": {"cmd/strongroom", "internal/hsm/hsmtest"},
	// front has strings over the request's own bytes; libcrypto hands C what Go owns.
	"unsafe": {"internal/front", "internal/keyring/software/libcrypto"},
}

func TestSecretsStayWhereTheyBelong(t *testing.T) {
	for _, s := range sources(t) {
		if isOutside(s.pkg) {
			continue
		}
		for _, path := range s.imports(t) {
			if allowed, kept := keepers[path]; kept && !slices.Contains(allowed, s.pkg) {
				t.Errorf("%s imports %s, which is for %v", s.path, path, allowed)
			}
		}
	}
}

// TestTimeIsHandedIn: whoever decides by the clock is handed one.
func TestTimeIsHandedIn(t *testing.T) {
	// metrics measures how long things take, and decides nothing by it.
	allowed := []string{"internal/clock", "internal/front", "cmd/strongroom", "internal/admin", "internal/metrics"}
	for _, s := range sources(t) {
		if isOutside(s.pkg) || slices.Contains(allowed, s.pkg) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if selector, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := selector.X.(*ast.Ident); ok && x.Name == "time" && (selector.Sel.Name == "Now" || selector.Sel.Name == "Sleep") {
					t.Errorf("%s calls time.%s; the clock is handed in", s.path, selector.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestGeneratedCodeSaysSo(t *testing.T) {
	for _, name := range []string{"cloudhsm", "cloudtrail", "iam", "kms", "sts"} {
		files, err := filepath.Glob(filepath.Join("..", "..", "api", name, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("api/%s: %d files, %v", name, len(files), err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), "DO NOT EDIT.") {
				t.Errorf("%s is not marked as generated", path)
			}
		}
	}
}
