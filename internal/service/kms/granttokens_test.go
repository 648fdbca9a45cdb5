package kms

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

func TestGrantTokens(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	unrelated, _ := g.keyID()
	blob := g.ok(root, "Encrypt", m{"KeyId": id, "Plaintext": plaintext})["CiphertextBlob"]
	grant, token := g.grant(id, userARN, nil, "Encrypt", "Decrypt", "CreateGrant", "DescribeKey", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo")
	_, elsewhere := g.grant(unrelated, userARN, nil, "Encrypt")
	calls := map[string]m{
		"Encrypt":                         {"KeyId": arn, "Plaintext": plaintext},
		"Decrypt":                         {"CiphertextBlob": blob},
		"ReEncrypt":                       {"CiphertextBlob": blob, "DestinationKeyId": arn},
		"GenerateDataKey":                 {"KeyId": arn, "KeySpec": "AES_256"},
		"GenerateDataKeyWithoutPlaintext": {"KeyId": arn, "KeySpec": "AES_256"},
		"DescribeKey":                     {"KeyId": arn},
		"CreateGrant":                     grantOf(arn, bobARN, nil, "Encrypt"),
	}
	for name, in := range calls {
		in["GrantTokens"] = []string{elsewhere, token, token}
		g.ok(user, name, in)
		g.denied(foreignUser, name, in) // a token gives no right
		for _, bad := range []string{"x", token[1:], token + "A", token[:len(token)-1] + "=", "B" + token[1:], strings.ToLower(token), " " + token} {
			in["GrantTokens"] = []string{token, bad}
			g.fails(user, name, in, "InvalidGrantTokenException", "")
		}
		in["GrantTokens"] = []string{token}
	}
	g.ok(root, "RevokeGrant", m{"KeyId": id, "GrantId": grant})
	for name, in := range calls {
		g.denied(user, name, in) // nor does one of a grant that is gone, which is no error either
		g.ok(root, name, in)
	}
	// A token of one region means nothing in another, nor after the key was changed.
	g.region = second
	k := g.key(m{})
	g.fails(root, "Encrypt", m{"KeyId": k["KeyId"], "Plaintext": plaintext, "GrantTokens": []string{token}}, "InvalidGrantTokenException", "")
	g.region = region
	g.config.GrantTokenKey = bytes.Repeat([]byte{1}, 32)
	g.restart()
	g.fails(root, "Encrypt", m{"KeyId": id, "Plaintext": plaintext, "GrantTokens": []string{token}}, "InvalidGrantTokenException", "")
}

// TestAGrantHoldsFromItsTokensEpoch: the epoch in a token is that of the commit
// which made the grant, so that whoever has read the key at it knows the grant.
func TestAGrantHoldsFromItsTokensEpoch(t *testing.T) {
	g := newGrantHarness(t)
	id, _ := g.keyID()
	grant, text := g.grant(id, userARN, m{"Name": "n"}, "Encrypt")
	_, repeated := g.grant(id, userARN, m{"Name": "n"}, "Encrypt")
	for _, text := range []string{text, repeated} {
		token, ok := parseGrantToken(g.config.GrantTokenKey, region, text)
		if !ok || token.key != id || token.grant != grant {
			t.Fatalf("token %+v, %t", token, ok)
		}
		err := g.store.View(t.Context(), func(r store.Reader) error {
			item, err := grantRecords.GetItem(r, regionScope(region), grantID(id, grant))
			if err == nil && item.Version != token.epoch {
				t.Errorf("the token's epoch is %d, the grant was made at %d", token.epoch, item.Version)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestATokenBringsAnOldKeyUpToDate: a node whose copy of the key is older than the
// grant reads the key again.
func TestATokenBringsAnOldKeyUpToDate(t *testing.T) {
	g := newGrantHarness(t)
	id, _ := g.keyID()
	old, err := g.service.keys.Get(t.Context(), scope(account, region), id)
	if err != nil {
		t.Fatal(err)
	}
	_, token := g.grant(id, userARN, nil, "Encrypt")
	call := &authz.Call{Region: region, Partition: "aws"}
	for _, c := range []struct {
		tokens []string
		grants int
	}{{nil, 0}, {[]string{token}, 1}} {
		k, err := g.service.withTokens(t.Context(), call, found{key: old, alias: "alias/a"}, c.tokens)
		if err != nil || k.Grants != c.grants || k.alias != "alias/a" {
			t.Errorf("with %d tokens: %d grants, alias %q, %v", len(c.tokens), k.Grants, k.alias, err)
		}
	}
}

// TestNoTokensWithoutAKey: a service without a key for tokens makes no grants and
// takes no tokens, rather than those of everyone.
func TestNoTokensWithoutAKey(t *testing.T) {
	g := newGrantHarness(t)
	id, _ := g.keyID()
	g.config.GrantTokenKey = nil
	g.restart()
	if a := g.send(root, "CreateGrant", grantOf(id, userARN, nil, "Encrypt")); a.code != "InternalFailure" {
		t.Errorf("%d %s %s", a.status, a.code, a.message)
	}
	var nonce [tokenNonce]byte
	text, err := grantToken{key: id, grant: strings.Repeat("0", 64)}.seal(make([]byte, 32), region, nonce)
	if err != nil {
		t.Fatal(err)
	}
	g.fails(root, "RetireGrant", m{"GrantToken": text}, "InvalidGrantTokenException", "")
	if list := g.listed(id); len(list) != 0 {
		t.Errorf("grants: %v", list)
	}
}

// TestEachBitOfAGrantToken: no token is valid but as it was made.
func TestEachBitOfAGrantToken(t *testing.T) {
	key := make([]byte, sha256.Size)
	for _, id := range []string{absentKeyID, "mrk-1234abcd12ab34cd56ef1234567890ab"} {
		made := grantToken{key: id, grant: strings.Repeat("0123456789abcdef", 4), epoch: 1<<63 + 7}
		text, err := made.seal(key, region, [tokenNonce]byte{1, 2, 3})
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := parseGrantToken(key, region, text); !ok || got != made {
			t.Errorf("read back: %+v, %t; want %+v", got, ok, made)
		}
		if _, ok := parseGrantToken(key, region+"1", text); ok {
			t.Error("valid in another region")
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 8 * len(raw) {
			raw[i/8] ^= 1 << (i % 8)
			if _, ok := parseGrantToken(key, region, base64.StdEncoding.EncodeToString(raw)); ok {
				t.Errorf("valid with bit %d flipped", i)
			}
			raw[i/8] ^= 1 << (i % 8)
		}
		for i := range len(text) {
			if _, ok := parseGrantToken(key, region, text[:i]); ok {
				t.Errorf("valid when cut to %d characters", i)
			}
		}
	}
	for _, bad := range []grantToken{{key: "x", grant: strings.Repeat("0", 64)}, {key: absentKeyID, grant: "00"}, {}} {
		if text, err := bad.seal(key, region, [tokenNonce]byte{}); err == nil {
			t.Errorf("%+v was sealed: %s", bad, text)
		}
	}
}

const absentKeyID = "1234abcd-12ab-34cd-56ef-1234567890ab"

// FuzzGrantToken: what is taken for a token is one that seal writes.
func FuzzGrantToken(f *testing.F) {
	key := make([]byte, sha256.Size)
	text, err := grantToken{key: absentKeyID, grant: strings.Repeat("ab", 32), epoch: 5}.seal(key, region, [tokenNonce]byte{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, region)
	f.Add(text[:len(text)-4]+"AAAA", region)
	f.Add("", "")
	f.Add(strings.Repeat("=", len(text)), region)
	f.Fuzz(func(t *testing.T, text, in string) {
		token, ok := parseGrantToken(key, in, text)
		if !ok {
			return
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatalf("%q is taken for a token", text)
		}
		again, err := token.seal(key, in, [tokenNonce]byte(raw[tokenBody-tokenNonce:tokenBody]))
		if err != nil || again != text {
			t.Errorf("%q reads as %+v, which writes as %q, %v", text, token, again, err)
		}
	})
}
