package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/saml/samltest"
	"github.com/strongroom/strongroom/internal/sigv4/sigv4test"
)

// signIn is an access key.
type signIn struct{ id, secret string }

// rootOf reads the credentials file of a server.
func rootOf(t *testing.T, s *Server) signIn {
	t.Helper()
	id, secret := keysIn(t, s, filepath.Base(s.CredentialsFile()))
	return signIn{id, secret}
}

// iamCall makes a call of IAM's, with name=value parameters.
func iamCall(t *testing.T, s *Server, who signIn, action string, params ...string) (int, string) {
	t.Helper()
	form := url.Values{"Action": {action}, "Version": {"2010-05-08"}}
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		form.Set(name, value)
	}
	return signedPost(t, s, who, "iam", form.Encode(), map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
}

func kmsCall(t *testing.T, s *Server, who signIn, operation string, in map[string]any) (int, string) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return signedPost(t, s, who, "kms", string(body), map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService." + operation})
}

func signedPost(t *testing.T, s *Server, who signIn, service, body string, headers map[string]string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	sigv4test.Signer{AccessKeyID: who.id, SecretKey: who.secret, Region: "us-east-1", Service: service}.SignHTTP(req, []byte(body), machineClock.Now())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// deployment is one with keys and users, and its backup.
type deployment struct {
	server *Server
	root   signIn
	file   string
	keys   map[string]string // by what is done to them later
	users  map[string]signIn
	grant  string
	// metadata are those of a SAML provider, before and after.
	metadata [2]string
}

const samlProviderARN = "SAMLProviderArn=arn:aws:iam::111122223333:saml-provider/"

var accessKeyForm = regexp.MustCompile(`<AccessKeyId>([^<]*)</AccessKeyId>(?s:.*)<SecretAccessKey>([^<]*)</SecretAccessKey>`)

func backedUp(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{keys: map[string]string{}, users: map[string]signIn{}}
	d.server = mustStart(t, config(t, filepath.Join(t.TempDir(), "data")))
	d.root = rootOf(t, d.server)
	for _, name := range []string{"untouched", "disabled", "deleted", "denied", "revoked", "retired", "back"} {
		_, body := kmsCall(t, d.server, d.root, "CreateKey", map[string]any{})
		d.keys[name] = member(t, body, "KeyMetadata", "KeyId")
	}
	d.ok(t, "DisableKey", map[string]any{"KeyId": d.keys["back"]})
	d.grant = member(t, d.ok(t, "CreateGrant", map[string]any{"KeyId": d.keys["revoked"], "GranteePrincipal": "arn:aws:iam::111122223333:root", "Operations": []string{"Decrypt"}}), "GrantId")
	for _, name := range []string{"leaver", "leaked", "restricted", "stays"} {
		d.iam(t, "CreateUser", "UserName="+name)
		d.iam(t, "AttachUserPolicy", "UserName="+name, "PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess")
		found := accessKeyForm.FindStringSubmatch(d.iam(t, "CreateAccessKey", "UserName="+name))
		if found == nil {
			t.Fatal("no access key was made")
		}
		d.users[name] = signIn{found[1], found[2]}
	}
	for i := range d.metadata {
		d.metadata[i] = samltest.New(t, "https://idp.example.com", machineClock.Now()).Metadata()
	}
	d.iam(t, "CreateSAMLProvider", "Name=idp", "SAMLMetadataDocument="+d.metadata[0])
	d.iam(t, "CreateSAMLProvider", "Name=gone", "SAMLMetadataDocument="+d.metadata[0])
	var out bytes.Buffer
	if err := d.server.CreateBackup(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	d.file = filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(d.file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func member(t *testing.T, body string, path ...string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		t.Fatal(err)
	}
	for _, name := range path {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	text, _ := value.(string)
	return text
}

func (d *deployment) ok(t *testing.T, operation string, in map[string]any) string {
	t.Helper()
	status, body := kmsCall(t, d.server, d.root, operation, in)
	if status != 200 {
		t.Fatalf("%s: %d %s", operation, status, body)
	}
	return body
}

func (d *deployment) iam(t *testing.T, action string, params ...string) string {
	t.Helper()
	status, body := iamCall(t, d.server, d.root, action, params...)
	if status != 200 {
		t.Fatalf("%s: %d %s", action, status, body)
	}
	return body
}

const denies = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"},{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*"}]}`

// takeAway does what a backup knows nothing of.
func (d *deployment) takeAway(t *testing.T) {
	t.Helper()
	d.ok(t, "DisableKey", map[string]any{"KeyId": d.keys["disabled"]})
	d.ok(t, "ScheduleKeyDeletion", map[string]any{"KeyId": d.keys["deleted"], "PendingWindowInDays": 7})
	d.ok(t, "PutKeyPolicy", map[string]any{"KeyId": d.keys["denied"], "PolicyName": "default", "Policy": denies})
	d.ok(t, "RevokeGrant", map[string]any{"KeyId": d.keys["revoked"], "GrantId": d.grant})
	grant := member(t, d.ok(t, "CreateGrant", map[string]any{"KeyId": d.keys["retired"], "GranteePrincipal": "arn:aws:iam::111122223333:root", "Operations": []string{"Decrypt"}}), "GrantId")
	d.ok(t, "RetireGrant", map[string]any{"KeyId": "arn:aws:kms:us-east-1:111122223333:key/" + d.keys["retired"], "GrantId": grant})
	d.ok(t, "EnableKey", map[string]any{"KeyId": d.keys["back"]})
	d.ok(t, "CreateAlias", map[string]any{"AliasName": "alias/back", "TargetKeyId": d.keys["back"]})
	d.ok(t, "TagResource", map[string]any{"KeyId": d.keys["back"], "Tags": []map[string]string{{"TagKey": "a", "TagValue": "b"}}})
	_, body := kmsCall(t, d.server, d.root, "CreateKey", map[string]any{})
	lost := member(t, body, "KeyMetadata", "KeyId")
	d.ok(t, "DisableKey", map[string]any{"KeyId": lost})
	d.iam(t, "UpdateAccessKey", "UserName=leaked", "Status=Inactive", "AccessKeyId="+d.users["leaked"].id)
	d.iam(t, "PutUserPolicy", "UserName=restricted", "PolicyName=no", `PolicyDocument={"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`)
	// Who leaves takes its own key away.
	if status, body := iamCall(t, d.server, d.users["leaver"], "DeleteAccessKey", "AccessKeyId="+d.users["leaver"].id); status != 200 {
		t.Fatal(body)
	}
	d.iam(t, "DetachUserPolicy", "UserName=leaver", "PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess")
	d.iam(t, "DeleteUser", "UserName=leaver")
	d.iam(t, "CreateUser", "UserName=leaver") // another one, who is lost
	d.iam(t, "AttachUserPolicy", "UserName=leaver", "PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess")
	d.iam(t, "UpdateSAMLProvider", samlProviderARN+"idp", "SAMLMetadataDocument="+d.metadata[1])
	d.iam(t, "DeleteSAMLProvider", samlProviderARN+"gone")
	d.iam(t, "CreateSAMLProvider", "Name=late", "SAMLMetadataDocument="+d.metadata[0])
	d.iam(t, "UpdateSAMLProvider", samlProviderARN+"late", "SAMLMetadataDocument="+d.metadata[1])
	d.iam(t, "CreateGroup", "GroupName=g")
	d.iam(t, "AddUserToGroup", "GroupName=g", "UserName=stays")
}

// restored restores the backup, starts it, and returns what was said.
func (d *deployment) restored(t *testing.T, change func(*RestoreConfig)) (*deployment, Restored) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	cfg := RestoreConfig{BackupFile: BackupFile{Path: d.file, In: Folder{Dir: dir, Seal: "file", Root: RootSettings{File: filepath.Join(d.server.cfg.DataDir, rootFile)}}}, Log: config(t, dir).Log}
	change(&cfg)
	out, err := Restore(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	after := *d
	after.server = mustStart(t, config(t, dir))
	return &after, out
}

func (d *deployment) state(t *testing.T, key string) string {
	t.Helper()
	return member(t, d.ok(t, "DescribeKey", map[string]any{"KeyId": d.keys[key]}), "KeyMetadata", "KeyState")
}

// takenAway checks that nothing is back that was taken away.
func (d *deployment) takenAway(t *testing.T, enabled string) {
	t.Helper()
	for key, want := range map[string]string{
		"untouched": enabled, "disabled": "Disabled", "deleted": "PendingDeletion", "denied": enabled, "revoked": enabled, "retired": enabled, "back": enabled,
	} {
		if got := d.state(t, key); got != want {
			t.Errorf("the key %q is %s, want %s", key, got, want)
		}
	}
	if body := d.ok(t, "GetKeyPolicy", map[string]any{"KeyId": d.keys["denied"]}); !strings.Contains(body, "Deny") {
		t.Errorf("the old policy is back: %s", body)
	}
	if body := d.ok(t, "ListGrants", map[string]any{"KeyId": d.keys["revoked"]}); strings.Contains(body, d.grant) {
		t.Error("the grant is back")
	}
	if body := d.ok(t, "ListAliases", map[string]any{"KeyId": d.keys["back"]}); !strings.Contains(body, "alias/back") {
		t.Error("the alias is not there")
	}
	for _, user := range []string{"leaver", "leaked", "restricted"} {
		if status, body := kmsCall(t, d.server, d.users[user], "ListKeys", map[string]any{}); status == 200 {
			t.Errorf("%s is let in: %s", user, body)
		}
	}
	if status, body := kmsCall(t, d.server, d.users["stays"], "ListKeys", map[string]any{}); status != 200 {
		t.Errorf("who stays is refused: %s", body)
	}
	// A signing key that was withdrawn vouches for nobody any more.
	if body := d.iam(t, "GetSAMLProvider", samlProviderARN+"idp"); !strings.Contains(html.UnescapeString(body), d.metadata[1]) {
		t.Errorf("the old metadata are back: %s", body)
	}
	if body := d.iam(t, "ListSAMLProviders"); strings.Contains(body, "/gone") || strings.Contains(body, "/late") {
		t.Errorf("the providers are %s", body)
	}
	if body := d.iam(t, "GetGroup", "GroupName=g"); !strings.Contains(body, "stays") {
		t.Errorf("the group has %s", body)
	}
}

// TestWhatCameAfterTheBackup: with the old folder, nothing that was taken away comes
// back, and what was left alone can be used at once. With an export of the trail the
// same holds, and keys come back disabled.
func TestWhatCameAfterTheBackup(t *testing.T) {
	d := backedUp(t)
	d.takeAway(t)
	var export bytes.Buffer
	trail, err := newTrail(d.server.folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := trail.Export(t.Context(), admin.Filter{}, func(line []byte) error {
		export.Write(line)
		export.WriteByte('\n')
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "export")
	if err := os.WriteFile(file, export.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	mustStop(t, d.server)

	again, out := d.restored(t, func(cfg *RestoreConfig) { cfg.History = d.server.cfg.DataDir })
	if out.Refused > 0 || out.KeysDisabled > 0 || out.Replayed < 12 {
		t.Errorf("%+v", out)
	}
	again.takenAway(t, "Enabled")
	if records := recordsOf(t, again.server, "ReplayChange"); len(records) != out.Replayed {
		t.Errorf("%d changes are recorded of %d", len(records), out.Replayed)
	}
	mustStop(t, again.server)
	if report := verifyOffline(t, again.server.cfg.DataDir); report.Fault != nil || len(report.Changed) > 0 {
		t.Errorf("%+v", report)
	}
	if again, out = d.restored(t, func(cfg *RestoreConfig) { cfg.History = file }); out.Refused > 0 || out.KeysDisabled == 0 {
		t.Errorf("%+v", out)
	}
	again.takenAway(t, "Disabled")
	// Proof of the proof: without a history all of it is back.
	if again, _ = d.restored(t, func(cfg *RestoreConfig) { cfg.KeepKeys = true }); again.state(t, "disabled") != "Enabled" {
		t.Error("the backup holds what came after it")
	}
	if status, _ := kmsCall(t, again.server, d.users["leaver"], "ListKeys", map[string]any{}); status != 200 {
		t.Error("the backup holds what came after it")
	}
}

// TestHistoriesThatAreNone: of another deployment, cut, changed, or a selection.
func TestHistoriesThatAreNone(t *testing.T) {
	d, other := backedUp(t), mustStart(t, config(t, filepath.Join(t.TempDir(), "other")))
	d.takeAway(t)
	trail, err := newTrail(d.server.folder)
	if err != nil {
		t.Fatal(err)
	}
	exported := func(filter admin.Filter) []byte {
		var text bytes.Buffer
		if err := trail.Export(t.Context(), filter, func(line []byte) error { fmt.Fprintf(&text, "%s\n", line); return nil }); err != nil {
			t.Fatal(err)
		}
		return text.Bytes()
	}
	whole, selection := exported(admin.Filter{}), exported(admin.Filter{Operation: "CreateKey"})
	mustStop(t, d.server)
	mustStop(t, other)
	for name, text := range map[string][]byte{
		"cut":         whole[:bytes.LastIndexByte(bytes.TrimSpace(whole), '\n')+1],
		"changed":     bytes.Replace(whole, []byte(`"eventName":"DisableKey"`), []byte(`"eventName":"EnableKey"`), 1),
		"a selection": selection,
		"empty":       nil,
		"no export":   []byte("{}\n"),
	} {
		path := filepath.Join(t.TempDir(), "history")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		refusedHistory(t, d, name, path)
	}
	refusedHistory(t, d, "of another deployment", other.cfg.DataDir)
	refusedHistory(t, d, "no folder", t.TempDir())
}

func refusedHistory(t *testing.T, d *deployment, name, path string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	_, err := Restore(t.Context(), RestoreConfig{BackupFile: BackupFile{Path: d.file, In: Folder{Dir: dir, Seal: "file",
		Root: RootSettings{File: filepath.Join(d.server.cfg.DataDir, rootFile)}}}, History: path, Log: config(t, dir).Log})
	if err == nil {
		t.Errorf("%s: it is taken", name)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: a folder was made", name)
	}
}

// TestChangesThatCannotBeMadeAgain: what such a change is about is disabled.
func TestChangesThatCannotBeMadeAgain(t *testing.T) {
	d := backedUp(t)
	d.iam(t, "CreateUser", "UserName=new")
	// A policy that names who is lost.
	d.ok(t, "PutKeyPolicy", map[string]any{"KeyId": d.keys["denied"], "PolicyName": "default",
		"Policy": strings.ReplaceAll(denies, `"Principal":"*"`, `"Principal":{"AWS":"arn:aws:iam::111122223333:user/new"}`)})
	mustStop(t, d.server)
	again, out := d.restored(t, func(cfg *RestoreConfig) { cfg.History = d.server.cfg.DataDir })
	if out.Refused != 1 || again.state(t, "denied") != "Disabled" || again.state(t, "untouched") != "Enabled" {
		t.Errorf("%+v", out)
	}
	o := newReplay(&operator{again.server})
	if err := o.run(t.Context(), &history{changes: []past{{EventSource: "later.amazonaws.com", EventName: "Revoke"}}}); err != nil || !o.unnamed {
		t.Errorf("an event of a later version: %v, %+v", err, o)
	}
}

// TestRootsAndStoresAreReplayed: what the command line took away.
func TestRootsAndStoresAreReplayed(t *testing.T) {
	d := backedUp(t)
	o := &operator{d.server}
	if _, err := o.RotateRoot(t.Context(), admin.Peer{}, admin.RootRotation{Account: "111122223333"}); err != nil {
		t.Fatal(err)
	}
	mustStop(t, d.server)
	again, out := d.restored(t, func(cfg *RestoreConfig) { cfg.History = d.server.cfg.DataDir })
	if status, body := kmsCall(t, again.server, d.root, "ListKeys", map[string]any{}); status == 200 {
		t.Errorf("the old key of the root is in force: %s, %+v", body, out)
	}
}
