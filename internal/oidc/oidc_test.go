package oidc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/oidc"
	"github.com/strongroom/strongroom/internal/oidc/oidctest"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

type claims = map[string]any

// fixture is a verifier and an issuer that is registered with its thumbprint.
type fixture struct {
	*oidctest.Issuer
	t          *testing.T
	clock      *clock.Fake
	verifier   *oidc.Verifier
	registered *oidc.Issuer
}

func start(t *testing.T) *fixture {
	i := oidctest.Start(t)
	f := &fixture{Issuer: i, t: t, clock: clock.NewFake(now),
		registered: &oidc.Issuer{ARN: "arn", URL: i.URL, ClientIDs: []string{"app", "other"}, Thumbprints: []string{i.Thumbprint}}}
	f.verifier = oidc.New(oidc.Config{Clock: f.clock, Log: slog.New(slog.DiscardHandler)})
	return f
}

// with are the claims of a good token, with others in their place; nil takes one
// away.
func (f *fixture) with(others claims) claims {
	all := claims{"iss": f.URL, "sub": "pod", "aud": "app", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(all, others)
	for name, value := range all {
		if value == nil {
			delete(all, name)
		}
	}
	return all
}

func (f *fixture) verify(token string) (*oidc.Claims, error) {
	f.t.Helper()
	parsed, err := oidc.Parse(token)
	if err != nil {
		return nil, err
	}
	return f.verifier.Verify(f.t.Context(), f.registered, parsed)
}

func TestAlgorithms(t *testing.T) {
	f := start(t)
	for _, algorithm := range []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512} {
		f.Rotate(algorithm)
		f.clock.Advance(time.Minute) // so that the issuer is asked again
		c, err := f.verify(f.Token(f.with(nil)))
		if err != nil || c.Subject != "pod" || c.Audience != "app" {
			t.Errorf("%s: %+v, %v", algorithm, c, err)
		}
	}
	for _, algorithm := range []jose.SignatureAlgorithm{jose.PS256, jose.HS256} {
		key := jose.SigningKey{Algorithm: algorithm, Key: []byte(strings.Repeat("k", 64))}
		if algorithm == jose.PS256 {
			f.Rotate(jose.RS256)
			key.Key = f.Key().Key
		}
		text, _ := json.Marshal(f.with(nil))
		if _, err := f.verify(f.Sign(text, key, nil)); !errors.Is(err, oidc.ErrMalformed) {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

func TestClaims(t *testing.T) {
	f := start(t)
	c, err := f.verify(f.Token(f.with(claims{
		"aud": []string{"unknown", "other", "app"}, "amr": []string{"mfa", "pwd"}, "email": "a@example.com",
		"https://aws.amazon.com/tags":                        claims{"principal_tags": claims{"Team": []string{"blue"}}, "transitive_tag_keys": []string{"Team"}},
		"https://aws.amazon.com/tags/principal_tags/Project": "x",
		"https://aws.amazon.com/tags/transitive_tag_keys":    []string{"Project"},
		"https://aws.amazon.com/source_identity":             "alice",
		"nested":                                             claims{"a": []any{1, nil}},
	})))
	want := &oidc.Claims{Subject: "pod", Audience: "other", AuthenticationMethods: []string{"mfa", "pwd"}, Email: "a@example.com",
		Tags: map[string]string{"Team": "blue", "Project": "x"}, TransitiveTags: []string{"Team", "Project"}, SourceIdentity: "alice"}
	if err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("%+v, %v", c, err)
	}
	c, err = f.verify(f.Token(f.with(claims{"aud": "elsewhere", "azp": "app"})))
	if err != nil || c.Audience != "app" || c.OtherAudience != "elsewhere" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestRefusedClaims(t *testing.T) {
	f := start(t)
	unix := func(d time.Duration) int64 { return now.Add(d).Unix() }
	missing := func(claim string) error { return &oidc.MissingError{Claim: claim} }
	expired := &oidc.ExpiredError{}
	for name, test := range map[string]struct {
		claims claims
		want   error // nil is accepted
	}{
		"no sub":                   {claims{"sub": nil}, missing("sub")},
		"no aud":                   {claims{"aud": nil}, missing("aud")},
		"empty aud":                {claims{"aud": []string{}}, missing("aud")},
		"no exp":                   {claims{"exp": nil}, missing("exp")},
		"no iat":                   {claims{"iat": nil}, missing("iat")},
		"no iss":                   {claims{"iss": nil}, missing("iss")},
		"audience":                 {claims{"aud": "someone"}, oidc.ErrAudience},
		"audience's case":          {claims{"aud": "App"}, oidc.ErrAudience},
		"party":                    {claims{"azp": "someone"}, oidc.ErrAudience},
		"just expired":             {claims{"exp": unix(-5*time.Minute + time.Second)}, nil},
		"expired":                  {claims{"exp": unix(-5 * time.Minute)}, expired},
		"early within the leeway":  {claims{"nbf": unix(5 * time.Minute)}, nil},
		"early":                    {claims{"nbf": unix(5*time.Minute + time.Second)}, oidc.ErrEarly},
		"issued in the future":     {claims{"iat": unix(time.Hour)}, oidc.ErrEarly},
		"exp is text":              {claims{"exp": "4102444800"}, oidc.ErrMalformed},
		"exp is a fraction":        {claims{"exp": 4102444800.5}, oidc.ErrMalformed},
		"exp is negative":          {claims{"exp": -1}, oidc.ErrMalformed},
		"exp is huge":              {claims{"exp": json.Number("99999999999999999999")}, oidc.ErrMalformed},
		"exp is null":              {claims{"exp": json.RawMessage("null")}, oidc.ErrMalformed},
		"sub is a number":          {claims{"sub": 7}, oidc.ErrMalformed},
		"aud is an object":         {claims{"aud": claims{}}, oidc.ErrMalformed},
		"aud has an empty one":     {claims{"aud": []string{"app", ""}}, oidc.ErrMalformed},
		"a tag with two values":    {claims{"https://aws.amazon.com/tags": claims{"principal_tags": claims{"a": []string{"1", "2"}}}}, oidc.ErrMalformed},
		"a tag given twice":        {claims{"https://aws.amazon.com/tags": claims{"principal_tags": claims{"a": "1"}}, "https://aws.amazon.com/tags/principal_tags/a": "1"}, oidc.ErrMalformed},
		"tags that are none":       {claims{"https://aws.amazon.com/tags": 1}, oidc.ErrMalformed},
		"long sub":                 {claims{"sub": strings.Repeat("x", 256)}, oidc.ErrMalformed},
		"long amr":                 {claims{"amr": strings.Repeat("x", 65)}, oidc.ErrMalformed},
		"another issuer":           {claims{"iss": "https://example.com"}, oidc.ErrKey},
		"issuer with a slash more": {claims{"iss": f.URL + "/"}, oidc.ErrKey},
	} {
		_, err := f.verify(f.Token(f.with(test.claims)))
		var over *oidc.ExpiredError
		if errors.As(err, &over) {
			err = expired
		}
		if !errors.Is(err, test.want) && !reflect.DeepEqual(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// TestSignatures: only the issuer's own keys, of the kind that the algorithm needs,
// verify a token, and every changed byte is found.
func TestSignatures(t *testing.T) {
	f := start(t)
	token := f.Token(f.with(nil))
	if _, err := f.verify(token); err != nil {
		t.Fatal(err)
	}
	stranger := oidctest.Start(t)
	text, _ := json.Marshal(f.with(nil))
	for name, forged := range map[string]string{
		"of another issuer": stranger.Token(f.with(nil)),
		"unknown key":       f.Sign(text, jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: f.Key().Key, KeyID: "9"}}, nil),
		"key it brings":     f.Sign(text, jose.SigningKey{Algorithm: jose.ES256, Key: stranger.Key().Key}, &jose.SignerOptions{EmbedJWK: true}),
		// The public key taken as the secret of an HMAC.
		"alg confusion": f.Sign(text, jose.SigningKey{Algorithm: jose.HS256, Key: f.Key().Key.(*ecdsa.PrivateKey).X.FillBytes(make([]byte, 32))}, nil),
		"alg none":      "eyJhbGciOiJub25lIn0." + strings.Split(token, ".")[1] + ".",
		"crit":          f.Sign(text, jose.SigningKey{Algorithm: jose.ES256, Key: f.Key()}, (&jose.SignerOptions{}).WithHeader("crit", []string{"b64"}).WithHeader("b64", true)),
	} {
		if _, err := f.verify(forged); !errors.Is(err, oidc.ErrKey) && !errors.Is(err, oidc.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range len(token) {
		if token[i] == '.' {
			continue
		}
		changed := []byte(token)
		if changed[i]++; changed[i] == '.' {
			changed[i]++
		}
		if c, err := f.verify(string(changed)); err == nil {
			t.Errorf("byte %d changed, accepted as %+v", i, c)
		}
	}
	// A token that names no key may be of the only one.
	nameless := f.Sign(text, jose.SigningKey{Algorithm: jose.ES256, Key: f.Key().Key}, nil)
	if _, err := f.verify(nameless); err != nil {
		t.Errorf("without kid: %v", err)
	}
	f.Rotate(jose.ES256)
	f.clock.Advance(time.Hour)
	if _, err := f.verify(nameless); !errors.Is(err, oidc.ErrKey) {
		t.Errorf("without kid, two keys: %v", err)
	}
}

// TestKeysAreRemembered: keys are fetched once, again when they are old or a token
// names one that is not there, and no more often than every ten seconds.
func TestKeysAreRemembered(t *testing.T) {
	f := start(t)
	f.verifier.Patient()
	asked := func(want int) {
		t.Helper()
		if got := f.Asked(oidctest.Keys); got != want {
			t.Fatalf("keys were asked for %d times, want %d", got, want)
		}
	}
	old := f.Token(f.with(nil))
	good := func(token string) {
		t.Helper()
		if _, err := f.verify(token); err != nil {
			t.Fatal(err)
		}
	}
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			if _, err := f.verify(old); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	asked(1)
	f.Rotate(jose.ES256)
	f.Withdraw()
	rotated := f.Token(f.with(nil))
	for range 5 {
		if _, err := f.verify(rotated); !errors.Is(err, oidc.ErrKey) {
			t.Fatal(err)
		}
	}
	asked(1)
	f.clock.Advance(10 * time.Second)
	good(rotated)
	asked(2)
	if _, err := f.verify(old); !errors.Is(err, oidc.ErrKey) { // withdrawn
		t.Fatal(err)
	}
	// An issuer that is away is asked again when the keys are old, and believed for
	// an hour without.
	f.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true })
	f.clock.Advance(11 * time.Minute)
	good(rotated)
	f.clock.Advance(50 * time.Minute)
	for range 3 {
		if _, err := f.verify(f.Token(f.with(claims{"exp": now.Add(9 * time.Hour).Unix()}))); !errors.Is(err, oidc.ErrUnreachable) {
			t.Fatal(err)
		}
	}
	f.Intercept(nil)
	f.clock.Advance(10 * time.Second)
	good(f.Token(f.with(claims{"exp": now.Add(9 * time.Hour).Unix()})))
}

// TestMisbehavingIssuers: what an issuer answers is bounded, and must be what it
// should.
func TestMisbehavingIssuers(t *testing.T) {
	answer := func(path, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == path {
				_, _ = io.WriteString(w, body)
			}
			return r.URL.Path == path
		}
	}
	elsewhere := oidctest.Start(t)
	for name, intercept := range map[string]func(f *fixture) func(http.ResponseWriter, *http.Request) bool{
		"redirect": func(*fixture) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusFound)
				return true
			}
		},
		"discovery of another issuer": func(*fixture) func(http.ResponseWriter, *http.Request) bool {
			return answer(oidctest.Discovery, `{"issuer":"`+elsewhere.URL+`","jwks_uri":"`+elsewhere.URL+`/keys"}`)
		},
		"keys over plain HTTP": func(f *fixture) func(http.ResponseWriter, *http.Request) bool {
			return answer(oidctest.Discovery, `{"issuer":"`+f.URL+`","jwks_uri":"http://127.0.0.1/keys"}`)
		},
		"keys from a file": func(f *fixture) func(http.ResponseWriter, *http.Request) bool {
			return answer(oidctest.Discovery, `{"issuer":"`+f.URL+`","jwks_uri":"file:///etc/passwd"}`)
		},
		"metadata service": func(f *fixture) func(http.ResponseWriter, *http.Request) bool {
			return answer(oidctest.Discovery, `{"issuer":"`+f.URL+`","jwks_uri":"https://169.254.169.254/keys"}`)
		},
		"no JSON": func(*fixture) func(http.ResponseWriter, *http.Request) bool {
			return answer(oidctest.Discovery, "<html>")
		},
		"huge": func(*fixture) func(http.ResponseWriter, *http.Request) bool {
			return answer(oidctest.Keys, `{"keys":[],"x":"`+strings.Repeat("x", 600<<10)+`"}`)
		},
		"many keys": func(*fixture) func(http.ResponseWriter, *http.Request) bool {
			return answer(oidctest.Keys, `{"keys":[{}`+strings.Repeat(",{}", 200)+`]}`)
		},
		"no key set": func(*fixture) func(http.ResponseWriter, *http.Request) bool { return answer(oidctest.Keys, `{}`) },
	} {
		f := start(t)
		f.Intercept(intercept(f))
		if _, err := f.verify(f.Token(f.with(nil))); !errors.Is(err, oidc.ErrUnreachable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := elsewhere.Asked(oidctest.Discovery) + elsewhere.Asked(oidctest.Keys); n != 0 {
		t.Errorf("another host was asked %d times", n)
	}
	// Keys that are none of ours are passed over; a private or symmetric one too.
	f := start(t)
	private, _ := json.Marshal(f.Key())
	f.Intercept(answer(oidctest.Keys, `{"keys":[{"kty":"oct","k":"AAAA","kid":"0"},{"kty":"new"},7,`+string(private)+`]}`))
	if _, err := f.verify(f.Token(f.with(nil))); !errors.Is(err, oidc.ErrKey) {
		t.Errorf("unfit keys: %v", err)
	}
}

// TestBusyIssuers: whoever finds no place to ask an issuer, or waits for another who
// asks it, learns that the issuer cannot be reached, and not that anything of ours
// failed.
func TestBusyIssuers(t *testing.T) {
	f := start(t)
	f.verifier.Patient()
	const places = 8
	let, asked := make(chan struct{}), make(chan struct{}, places)
	var done sync.WaitGroup
	var slows []*fixture
	var tokens []string
	for range places {
		slow := &fixture{Issuer: oidctest.Start(t), t: t, verifier: f.verifier}
		slow.registered = &oidc.Issuer{ARN: "arn", URL: slow.URL, ClientIDs: []string{"app"}, Thumbprints: []string{slow.Thumbprint}}
		slow.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == oidctest.Discovery {
				asked <- struct{}{}
				<-let
			}
			return false
		})
		slows, tokens = append(slows, slow), append(tokens, slow.Token(slow.with(nil)))
	}
	for i, slow := range slows {
		done.Go(func() {
			if _, err := slow.verify(tokens[i]); err != nil {
				t.Error(err)
			}
		})
	}
	for range places {
		<-asked
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, who := range map[string]*fixture{"another issuer": f, "an issuer that is being asked": slows[0]} {
		token, err := oidc.Parse(who.Token(who.with(nil)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.verifier.Verify(ctx, who.registered, token); !errors.Is(err, oidc.ErrUnreachable) || errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	close(let)
	done.Wait()
	if _, err := f.verify(f.Token(f.with(nil))); err != nil {
		t.Error(err)
	}
}

// TestTrust: the roots or a registered thumbprint vouch for an issuer, and nothing
// else does.
func TestTrust(t *testing.T) {
	f := start(t)
	token := f.Token(f.with(nil))
	f.registered.Thumbprints = nil
	if _, err := f.verify(token); !errors.Is(err, oidc.ErrCertificate) {
		t.Errorf("no thumbprint: %v", err)
	}
	f.registered.Thumbprints = []string{strings.Repeat("0", 40)}
	if _, err := f.verify(token); !errors.Is(err, oidc.ErrCertificate) {
		t.Errorf("another thumbprint: %v", err)
	}
	f.registered.Thumbprints = []string{strings.Repeat("0", 40), f.Thumbprint}
	if _, err := f.verify(token); err != nil {
		t.Errorf("its thumbprint: %v", err)
	}
	// The name must be right whoever vouches.
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, f.Server.Listener.Addr().String())
	}
	roots := x509.NewCertPool()
	roots.AddCert(f.Server.Certificate())
	for name, config := range map[string]oidc.Config{
		"thumbprint": {Dial: dial}, "roots": {Dial: dial, Roots: roots},
	} {
		config.Clock, config.Log = f.clock, slog.New(slog.DiscardHandler)
		v := oidc.New(config)
		if _, err := v.Thumbprint(t.Context(), "https://issuer.test"); !errors.Is(err, oidc.ErrCertificate) {
			t.Errorf("%s, another name: %v", name, err)
		}
		other := *f.registered
		other.URL = "https://issuer.test"
		parsed, err := oidc.Parse(f.Token(f.with(claims{"iss": other.URL})))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), &other, parsed); !errors.Is(err, oidc.ErrCertificate) {
			t.Errorf("%s, another name: %v", name, err)
		}
		print, err := v.Thumbprint(t.Context(), f.URL)
		if name == "roots" && (err != nil || print != f.Thumbprint) || name == "thumbprint" && !errors.Is(err, oidc.ErrCertificate) {
			t.Errorf("%s: %s, %v", name, print, err)
		}
	}
	// A certificate outside its dates vouches for nothing.
	f.clock.Advance(200 * 365 * 24 * time.Hour)
	if _, err := f.verify(token); !errors.Is(err, oidc.ErrCertificate) {
		t.Errorf("expired certificate: %v", err)
	}
}

// FuzzParse: no token makes it panic, and what it takes has an issuer.
func FuzzParse(f *testing.F) {
	f.Add("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJhIn0.AAAA")
	f.Add("eyJhbGciOiJSUzI1NiIsImNyaXQiOlsiYjY0Il0sImI2NCI6ZmFsc2V9.eyJpc3MiOiJhIiwiaXNzIjoiYiJ9.AAAA")
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := oidc.Parse(text)
		if err == nil && token.Issuer == "" {
			t.Error("no issuer")
		}
	})
}

// TestDuplicateClaims: two readers could understand them differently.
func TestDuplicateClaims(t *testing.T) {
	f := start(t)
	text, _ := json.Marshal(f.with(nil))
	twice := strings.Replace(string(text), `"sub"`, `"sub":"root","sub"`, 1)
	if _, err := f.verify(f.Sign([]byte(twice), jose.SigningKey{Algorithm: jose.ES256, Key: f.Key()}, nil)); !errors.Is(err, oidc.ErrMalformed) {
		t.Error(err)
	}
}
