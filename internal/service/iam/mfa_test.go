package iam_test

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"image/png"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/totp"
	"github.com/strongroom/strongroom/strongroomtest"
)

// phone is an authenticator app. Time stands still for it but for what a test moves
// it by, so that a code is as good in a slow test as in a fast one.
type phone struct {
	t       *testing.T
	server  *strongroomtest.Server
	seed    secret.Bytes
	started time.Time
	moved   time.Duration
	serial  string
}

// newPhone makes a device and scans its key.
func (c *client) newPhone(name string) *phone {
	c.t.Helper()
	a := c.iam("CreateVirtualMFADevice", "VirtualMFADeviceName", name, "Path", "/team/").ok()
	text, err := base64.StdEncoding.DecodeString(a.value("Base32StringSeed"))
	if err != nil || len(text) != 64 {
		c.t.Fatalf("the key is %q, %v", text, err)
	}
	seed, err := base32.StdEncoding.DecodeString(string(text))
	if err != nil {
		c.t.Fatal(err)
	}
	picture, err := base64.StdEncoding.DecodeString(a.value("QRCodePNG"))
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(picture)); err != nil {
		c.t.Errorf("the picture: %v", err)
	}
	p := &phone{t: c.t, server: c.server, seed: seed, started: time.Now(), serial: a.value("SerialNumber")}
	if p.serial != accountARN+"mfa/team/"+name {
		c.t.Errorf("the serial number is %s", p.serial)
	}
	if !p.codesDiffer() {
		c.iam("DeleteVirtualMFADevice", "SerialNumber", p.serial).ok()
		return c.newPhone(name)
	}
	return p
}

// codesDiffer tells whether no code of the test's time comes twice, or is the wrong one
// that tests enter: in one key of forty one does.
func (p *phone) codesDiffer() bool {
	seen := map[string]bool{"000000": true}
	for later := int64(-25); later < 200; later++ {
		code := p.code(later)
		if seen[code] {
			return false
		}
		seen[code] = true
	}
	return true
}

// wait lets time pass, by whole codes.
func (p *phone) wait(codes int) {
	d := time.Duration(codes) * 30 * time.Second
	p.moved += d
	p.server.Advance(d)
}

// code is what the phone shows now, or a number of codes later.
func (p *phone) code(later int64) string {
	return totp.Code(p.seed, totp.Step(p.started.Add(p.moved))+later)
}

// enable gives the phone to a user.
func (c *client) enable(p *phone, user string) *answer {
	return c.iam("EnableMFADevice", "UserName", user, "SerialNumber", p.serial, "AuthenticationCode1", p.code(-1), "AuthenticationCode2", p.code(0))
}

func TestMFADevices(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	alice := admin.newUser("alice", allow("iam:ListMFADevices", "iam:GetMFADevice"))
	p := admin.newPhone("Phone")
	admin.iam("CreateVirtualMFADevice", "VirtualMFADeviceName", "phone").fails(409, "EntityAlreadyExists", "MFADevice entity at the same path and name already exists.")
	admin.iam("CreateVirtualMFADevice", "VirtualMFADeviceName", strings.Repeat("x", 227)).fails(400, "ValidationError", "virtualMFADeviceName")
	admin.iam("EnableMFADevice", "UserName", "alice", "SerialNumber", p.serial, "AuthenticationCode1", p.code(0), "AuthenticationCode2", p.code(0)).
		fails(403, "InvalidAuthenticationCode", "Authentication code for device is not valid.")
	admin.iam("EnableMFADevice", "UserName", "alice", "SerialNumber", accountARN+"mfa/Phone", "AuthenticationCode1", p.code(-1), "AuthenticationCode2", p.code(0)).
		fails(404, "NoSuchEntity", "VirtualMFADevice with serial number "+accountARN+"mfa/Phone doesn't exist.")
	admin.enable(p, "alice").ok()
	admin.enable(p, "alice").fails(409, "EntityAlreadyExists", "in use")
	if a := alice.iam("ListMFADevices").ok(); !reflect.DeepEqual(a.values("SerialNumber"), []string{p.serial}) || a.value("UserName") != "alice" || a.value("EnableDate") == "" {
		t.Errorf("alice has %s", a.body)
	}
	if a := alice.iam("GetMFADevice", "SerialNumber", p.serial).ok(); a.value("UserName") != "alice" {
		t.Errorf("the device is %s", a.body)
	}
	admin.iam("CreateVirtualMFADevice", "VirtualMFADeviceName", "spare").ok()
	for status, want := range map[string][]string{"Any": {p.serial, accountARN + "mfa/spare"}, "Assigned": {p.serial}, "Unassigned": {accountARN + "mfa/spare"}} {
		a := admin.iam("ListVirtualMFADevices", "AssignmentStatus", status).ok()
		if !reflect.DeepEqual(a.values("SerialNumber"), want) || strings.Contains(a.body, "Seed") || strings.Contains(a.body, "QRCode") {
			t.Errorf("%s: %s", status, a.body)
		}
	}
	admin.iam("TagMFADevice", "SerialNumber", p.serial, "Tags.member.1.Key", "team", "Tags.member.1.Value", "blue").ok()
	admin.iam("TagMFADevice", "SerialNumber", p.serial, "Tags.member.1.Key", "cost", "Tags.member.1.Value", "7").ok()
	admin.iam("UntagMFADevice", "SerialNumber", p.serial, "TagKeys.member.1", "team").ok()
	if a := admin.iam("ListMFADeviceTags", "SerialNumber", p.serial).ok(); !reflect.DeepEqual(a.values("Key"), []string{"cost"}) {
		t.Errorf("tags %s", a.body)
	}

	// Neither the device nor its user goes while they belong together.
	admin.iam("DeleteVirtualMFADevice", "SerialNumber", p.serial).fails(409, "DeleteConflict", "MFA VirtualDevice in use. Must deactivate first.")
	admin.iam("DeleteUser", "UserName", "alice").fails(409, "DeleteConflict", "must delete MFA device first")
	admin.iam("DeactivateMFADevice", "UserName", "alice", "SerialNumber", p.serial).ok()
	admin.iam("DeactivateMFADevice", "UserName", "alice", "SerialNumber", p.serial).fails(404, "NoSuchEntity", "is not enabled for user alice")
	admin.iam("GetMFADevice", "UserName", "alice", "SerialNumber", p.serial).fails(404, "NoSuchEntity", p.serial)
	admin.enable(p, "alice").fails(403, "InvalidAuthenticationCode", "") // codes that were taken already
	p.wait(2)
	admin.enable(p, "alice").ok()
	admin.iam("DeactivateMFADevice", "UserName", "alice", "SerialNumber", p.serial).ok()
	admin.iam("DeleteVirtualMFADevice", "SerialNumber", p.serial).ok()
	admin.iam("DeleteVirtualMFADevice", "SerialNumber", p.serial).fails(404, "NoSuchEntity", p.serial)
}

const wrongCode = "MultiFactorAuthentication failed with invalid MFA one time pass code."

// TestSessionsWithMFA: policies can ask for a one-time code, and none is taken twice.
func TestSessionsWithMFA(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	key := admin.newKey("")
	demanding := strings.Replace(allow("kms:Encrypt", "iam:GetUser"), `"Effect"`,
		`"Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"},"NumericLessThan":{"aws:MultiFactorAuthAge":"3600"}},"Effect"`, 1)
	alice := admin.newUser("alice", demanding)
	bob := admin.newUser("bob", demanding)
	p := admin.newPhone("phone")
	admin.enable(p, "alice").ok()
	alice.encrypt(key).fails(400, "AccessDeniedException", "no identity-based policy allows")

	token := func(c *client, code string) *answer {
		return c.query("sts", "GetSessionToken", "SerialNumber", p.serial, "TokenCode", code)
	}
	token(alice, p.code(0)).fails(403, "AccessDenied", wrongCode) // enabled with it
	p.wait(1)
	token(bob, p.code(0)).fails(403, "AccessDenied", wrongCode) // not his
	token(admin, p.code(0)).fails(403, "AccessDenied", wrongCode)
	alice.query("sts", "GetSessionToken", "SerialNumber", p.serial).fails(403, "AccessDenied", wrongCode)
	session := alice.session(token(alice, p.code(0)))
	session.encrypt(key).ok()
	session.iam("GetUser").ok() // IAM is open to sessions with MFA alone
	alice.session(alice.query("sts", "GetSessionToken")).iam("GetUser").fails(403, "InvalidClientTokenId", "")
	alice.session(alice.query("sts", "GetSessionToken")).encrypt(key).fails(400, "AccessDeniedException", "")
	token(alice, p.code(0)).fails(403, "AccessDenied", wrongCode)
	token(alice, p.code(-1)).fails(403, "AccessDenied", wrongCode) // nor an earlier one
	p.wait(1)
	token(alice, p.code(1)).ok() // a phone may be a little ahead
	p.wait(121)
	session.encrypt(key).fails(400, "AccessDeniedException", "no identity-based policy allows") // too long ago

	// A role's trust policy can ask for a code as well.
	admin.newRole(strings.Replace(trust(accountARN+"user/alice"), `"Effect"`, `"Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}},"Effect"`, 1), allow("kms:Encrypt"))
	alice.assume().fails(403, "AccessDenied", "is not authorized to perform: sts:AssumeRole")
	alice.assume("SerialNumber", p.serial, "TokenCode", "000000").fails(403, "AccessDenied", wrongCode)
	code := p.code(0)
	alice.session(alice.assume("SerialNumber", p.serial, "TokenCode", code)).encrypt(key).ok()
	alice.assume("SerialNumber", p.serial, "TokenCode", code).fails(403, "AccessDenied", wrongCode)

	// A phone whose clock is off is set right.
	p.moved += 5 * time.Minute
	token(alice, p.code(0)).fails(403, "AccessDenied", wrongCode)
	admin.iam("ResyncMFADevice", "UserName", "alice", "SerialNumber", p.serial, "AuthenticationCode1", p.code(-1), "AuthenticationCode2", p.code(0)).ok()
	token(alice, p.code(1)).ok()
}

// TestGuessingCodes: after a few wrong codes a device takes none for a while, right
// ones included.
func TestGuessingCodes(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	alice := admin.newUser("alice", "")
	p := admin.newPhone("phone")
	admin.enable(p, "alice").ok()
	p.wait(2)
	token := func(code string) *answer {
		return alice.query("sts", "GetSessionToken", "SerialNumber", p.serial, "TokenCode", code)
	}
	wrong := p.code(40)
	for range 5 {
		token(wrong).fails(403, "AccessDenied", wrongCode)
	}
	token(p.code(0)).fails(403, "AccessDenied", wrongCode)
	p.wait(2)
	token(p.code(0)).ok()
}
