package house

import (
	"go/ast"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/api/sts"
	"github.com/strongroom/strongroom/internal/operation"
	iamservice "github.com/strongroom/strongroom/internal/service/iam"
)

// built returns the operations that a service folder has methods for.
func built(t *testing.T, folder string, table *operation.Service) []string {
	t.Helper()
	var names []string
	for _, s := range sources(t) {
		if s.pkg != folder {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && f.Recv != nil && receiver(f) == "Service" && table.Lookup(f.Name.Name) != nil {
				names = append(names, f.Name.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func receiver(f *ast.FuncDecl) string {
	t := f.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// TestDeviationsNameWhatIsMissing holds the lists in docs/deviations.md against
// the operations that no service folder has a method for.
func TestDeviationsNameWhatIsMissing(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "deviations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range []struct {
		name, folder string
		table        *operation.Service
	}{
		{"cloudhsm", "internal/service/cloudhsm", cloudhsm.Table(cloudhsm.Unimplemented{})},
		{"cloudtrail", "internal/service/trail", cloudtrail.Table(cloudtrail.Unimplemented{})},
		{"iam", "internal/service/iam", iam.Table(iam.Unimplemented{})},
		{"kms", "internal/service/kms", kms.Table(kms.Unimplemented{})},
		{"sts", "internal/service/sts", sts.Table(sts.Unimplemented{})},
	} {
		if iamservice.ServiceName(service.name) == "" {
			t.Errorf("internal/service/iam does not know the service %s, for its reports about last accesses", service.name)
		}
		done := built(t, service.folder, service.table)
		var missing []string
		for _, row := range service.table.Operations {
			if !slices.Contains(done, row.Name) {
				missing = append(missing, "`"+row.Name+"`")
			}
		}
		line := "<!-- list: " + service.name + " --> " + strings.Join(missing, ", ")
		if len(missing) == 0 {
			line = "<!-- list: " + service.name + " --> none"
		}
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("docs/deviations.md does not list what is missing of %s; the line should be\n%s", service.name, line)
		}
	}
}
