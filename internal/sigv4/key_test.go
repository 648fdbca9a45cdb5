package sigv4_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/sigv4"
)

// TestSigningKey is the worked example that AWS's General Reference gave under
// "Examples of how to derive a signing key for Signature Version 4".
func TestSigningKey(t *testing.T) {
	const want = "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
	got := sigv4.SigningKey("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", sigv4.Scope{Date: "20150830", Region: "us-east-1", Service: "iam"})
	key, err := hex.DecodeString(want)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // what is kept from one signature must not show in the next
		h := hmac.New(sha256.New, key)
		h.Write([]byte("text"))
		if signature := got.AppendSignature([]byte("before"), []byte("text")); string(signature) != "before"+string(h.Sum(nil)) {
			t.Errorf("the signature is %x", signature)
		}
	}
}

// TestKeyIsNotShown: no verb prints a key, nor a struct that has one.
func TestKeyIsNotShown(t *testing.T) {
	key := sigv4.SigningKey("s", scopeOf("us-east-1"))
	key.AppendSignature(nil, nil)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, key); got != "[signing key]" {
			t.Errorf("%s prints %s", verb, got)
		}
		if got := fmt.Sprintf(verb, struct{ Key *sigv4.Key }{key}); !strings.Contains(got, "[signing key]") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func scopeOf(region string) sigv4.Scope {
	return sigv4.Scope{Date: "20260314", Region: region, Service: "kms"}
}

func TestKeyCache(t *testing.T) {
	asked := 0
	lookup := func() (secret.String, error) { asked++; return "s", nil }
	c := sigv4.NewKeyCache(100)
	key := func(id, region string) *sigv4.Key {
		t.Helper()
		k, err := c.Key(id, scopeOf(region), lookup)
		if err != nil || !k.Equal(sigv4.SigningKey("s", scopeOf(region))) {
			t.Fatalf("wrong key, %v", err)
		}
		return k
	}
	wantAsked := func(n int, when string) {
		t.Helper()
		if asked != n {
			t.Errorf("%s: asked for %d secrets; want %d", when, asked, n)
		}
	}
	key("a", "r1")
	key("a", "r1")
	wantAsked(1, "the same scope again")
	key("a", "r2")
	key("b", "r1")
	wantAsked(3, "another region, another access key")
	c.Remove("a")
	key("b", "r1")
	wantAsked(3, "after another access key was removed")
	key("a", "r1")
	key("a", "r2")
	wantAsked(5, "after it was removed")
	c.Clear()
	key("b", "r1")
	wantAsked(6, "after everything was removed")

	errGone := errors.New("gone")
	if _, err := c.Key("c", scopeOf("r1"), func() (secret.String, error) { return "", errGone }); err != errGone {
		t.Errorf("an error of the lookup became %v", err)
	}
	key("c", "r1")
	wantAsked(7, "after an error")
}

// TestKeyCacheRemovedMeanwhile deletes an access key after its secret was read and
// before its signing key is kept.
func TestKeyCacheRemovedMeanwhile(t *testing.T) {
	c := sigv4.NewKeyCache(100)
	for name, remove := range map[string]func(){"Remove": func() { c.Remove("a") }, "Clear": c.Clear} {
		if _, err := c.Key("a", scopeOf("r"), func() (secret.String, error) { remove(); return "s", nil }); err != nil {
			t.Fatal(err)
		}
		errGone := errors.New("gone")
		if _, err := c.Key("a", scopeOf("r"), func() (secret.String, error) { return "", errGone }); err != errGone {
			t.Errorf("%s: a deleted access key still works: %v", name, err)
		}
	}
}

// TestKeyCacheIsBounded also shows that keys which fit stay.
func TestKeyCacheIsBounded(t *testing.T) {
	const most = 8
	c := sigv4.NewKeyCache(most)
	asked := 0
	lookup := func() (secret.String, error) { asked++; return "s", nil }
	ask := func(n int) {
		for i := range n {
			if _, err := c.Key(fmt.Sprint("id", i%3), scopeOf(fmt.Sprint("r", i)), lookup); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask(most)
	ask(most)
	if asked != most {
		t.Errorf("asked %d times for %d keys that fit", asked, most)
	}
	ask(1000)
	asked = 0
	ask(1000)
	if asked < 1000-most {
		t.Errorf("the cache held %d keys; want at most %d", 1000-asked, most)
	}
}

func TestKeyCacheConcurrently(t *testing.T) {
	c := sigv4.NewKeyCache(4)
	want := sigv4.SigningKey("s", scopeOf("r"))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 200 {
				k, err := c.Key("a", scopeOf("r"), func() (secret.String, error) { return "s", nil })
				if err != nil || !k.Equal(want) {
					t.Error("wrong key", err)
				}
				if i == 0 {
					c.Remove("a")
				}
			}
		})
	}
	wg.Wait()
}
