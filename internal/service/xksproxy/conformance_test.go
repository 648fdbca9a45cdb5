package xksproxy

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/wire"
	"github.com/strongroom/strongroom/internal/xksapi"
)

func TestTheFourOperations(t *testing.T) {
	h := withStore(t)
	health := h.ok("/health", m{"requestMetadata": m{"kmsRequestId": "r", "kmsOperation": "KmsHealthCheck"}})
	manager := health["ekmFleetDetails"].([]any)[0].(m)
	if health["xksProxyFleetSize"] != 1.0 || health["xksProxyVendor"] != "Strongroom" || manager["healthStatus"] != "ACTIVE" {
		t.Errorf("%v", health)
	}
	if k := h.ok(keyPath+"/metadata", m{"requestMetadata": metadata("CreateKey")}); k["keySpec"] != "AES_256" || k["keyStatus"] != "ENABLED" {
		t.Errorf("%v", k)
	}
	for _, size := range []int{1, 4300} {
		in := encryption(strings.Repeat("p", size))
		out := h.ok(keyPath+"/encrypt", in)
		body, _ := json.Marshal(out)
		// The client's own reader checks every size and the integrity value.
		if _, err := xksapi.ParseEncrypted(body, []byte("aad"), size); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if back := h.ok(keyPath+"/decrypt", decryption(out)); back["plaintext"] != in["plaintext"] {
			t.Errorf("%d bytes do not come back", size)
		}
	}
	plain := with(encryption("x"), m{"additionalAuthenticatedData": nil, "ciphertextDataIntegrityValueAlgorithm": nil})
	out := h.ok(keyPath+"/encrypt", plain)
	if out["ciphertextDataIntegrityValue"] != nil {
		t.Error("an integrity value that nobody asked for")
	}
	h.ok(keyPath+"/decrypt", with(decryption(out), m{"additionalAuthenticatedData": nil}))
}

// TestEveryMemberOutOfBounds goes through Encrypt and Decrypt, member by member.
func TestEveryMemberOutOfBounds(t *testing.T) {
	h := withStore(t)
	long := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	in := encryption("hello")
	good := decryption(h.ok(keyPath+"/encrypt", in))
	meta := func(change m) m { return m{"requestMetadata": with(metadata("Encrypt"), change)} }
	for _, c := range []struct {
		path   string
		base   m
		change m
		want   xksapi.Name
	}{
		{"/encrypt", in, m{"plaintext": nil}, xksapi.Validation},
		{"/encrypt", in, m{"plaintext": ""}, xksapi.Validation},
		{"/encrypt", in, m{"plaintext": "***"}, xksapi.Validation},
		{"/encrypt", in, m{"plaintext": 7}, xksapi.Validation},
		{"/encrypt", in, m{"plaintext": long(4301)}, xksapi.Unsupported},
		{"/encrypt", in, m{"additionalAuthenticatedData": long(8193)}, xksapi.Unsupported},
		{"/encrypt", in, m{"encryptionAlgorithm": nil}, xksapi.Validation},
		{"/encrypt", in, m{"encryptionAlgorithm": "AES_CTR"}, xksapi.Validation},
		{"/encrypt", in, m{"ciphertextDataIntegrityValueAlgorithm": "SHA_1"}, xksapi.Validation},
		{"/encrypt", in, m{"requestMetadata": nil}, xksapi.Validation},
		{"/encrypt", in, meta(m{"awsPrincipalArn": nil}), xksapi.Validation},
		{"/encrypt", in, meta(m{"kmsKeyArn": nil}), xksapi.Validation},
		{"/encrypt", in, meta(m{"kmsOperation": nil}), xksapi.Validation},
		{"/encrypt", in, meta(m{"kmsRequestId": nil}), xksapi.Validation},
		{"/encrypt", in, meta(m{"awsPrincipalArn": strings.Repeat("a", 2049)}), xksapi.Validation},
		{"/encrypt", in, meta(m{"kmsKeyArn": strings.Repeat("a", 2049)}), xksapi.Validation},
		{"/encrypt", in, meta(m{"kmsOperation": strings.Repeat("a", 2049)}), xksapi.Validation},
		{"/encrypt", in, meta(m{"kmsRequestId": strings.Repeat("a", 2049)}), xksapi.Validation},
		{"/encrypt", in, meta(m{"kmsViaService": strings.Repeat("a", 2049)}), xksapi.Validation},
		{"/encrypt", in, meta(m{"awsSourceVpc": strings.Repeat("a", 2049)}), xksapi.Validation},
		{"/encrypt", in, meta(m{"awsSourceVpce": strings.Repeat("a", 2049)}), xksapi.Validation},
		{"/decrypt", good, m{"ciphertext": nil}, xksapi.Validation},
		{"/decrypt", good, m{"ciphertext": long(4301)}, xksapi.Unsupported},
		{"/decrypt", good, m{"ciphertextMetadata": long(21)}, xksapi.Validation},
		{"/decrypt", good, m{"initializationVector": nil}, xksapi.Validation},
		{"/decrypt", good, m{"initializationVector": long(11)}, xksapi.Validation},
		{"/decrypt", good, m{"initializationVector": long(17)}, xksapi.Validation},
		{"/decrypt", good, m{"authenticationTag": nil}, xksapi.Validation},
		{"/decrypt", good, m{"authenticationTag": long(15)}, xksapi.Validation},
		{"/decrypt", good, m{"additionalAuthenticatedData": long(8193)}, xksapi.Unsupported},
		{"/metadata", m{}, m{}, xksapi.Validation},
		{"/metadata", m{}, meta(m{"awsPrincipalArn": nil}), xksapi.Validation},
	} {
		h.fails(keyPath+c.path, with(c.base, c.change), c.want)
	}
	for _, body := range []string{"", "{", "[]", `{"a":1}{}`, "\xff", strings.Repeat("[", 100)} {
		h.fails(keyPath+"/encrypt", body, xksapi.Validation)
	}
	h.ok(keyPath+"/encrypt", with(in, meta(m{"kmsOperation": "BulkEncrypt", "kmsFuture": m{"a": 1}})))
}

// TestNothingElseOpens: each part changed, another key, another context. The answers
// cannot be told apart.
func TestNothingElseOpens(t *testing.T) {
	h := withStore(t)
	if _, err := h.service.SetKeys(t.Context(), "pay", []string{keyA, keyB}); err != nil {
		t.Fatal(err)
	}
	out := h.ok(keyPath+"/encrypt", encryption("hello"))
	good := decryption(out)
	texts := map[string]bool{}
	refused := func(what, path string, in m) {
		t.Helper()
		a := h.send(path, in)
		if a.name != string(xksapi.InvalidCiphertext) || a.status != 400 {
			t.Errorf("%s: %d %s", what, a.status, a.raw)
		}
		texts[a.raw] = true
	}
	for _, name := range []string{"ciphertext", "ciphertextMetadata", "initializationVector", "authenticationTag"} {
		raw, err := base64.StdEncoding.DecodeString(good[name].(string))
		if err != nil {
			t.Fatal(err)
		}
		for at := range raw {
			raw[at] ^= 0x40
			refused(name, keyPath+"/decrypt", with(good, m{name: base64.StdEncoding.EncodeToString(raw)}))
			raw[at] ^= 0x40
		}
	}
	refused("another aad", keyPath+"/decrypt", with(good, m{"additionalAuthenticatedData": b64("aae")}))
	refused("no aad", keyPath+"/decrypt", with(good, m{"additionalAuthenticatedData": nil}))
	metadataBytes, _ := base64.StdEncoding.DecodeString(out["ciphertextMetadata"].(string))
	refused("metadata moved into the aad", keyPath+"/decrypt", with(good, m{"ciphertextMetadata": nil, "additionalAuthenticatedData": b64("aad" + string(metadataBytes))}))
	refused("a short IV", keyPath+"/decrypt", with(good, m{"initializationVector": b64(strings.Repeat("i", 12))}))
	refused("another key", "/keys/"+keyB+"/decrypt", good)
	if len(texts) != 1 {
		t.Errorf("the answers tell %d failures apart: %v", len(texts), texts)
	}
	// Rotation: what was made before opens, and says so by its metadata.
	h.rotate(keyA)
	for h.keys[keyA].Current.ID[:6] == h.keys[keyA].Older[0].ID[:6] { // the bytes that it has of an id
		h.rotate(keyA)
	}
	if back := h.ok(keyPath+"/decrypt", good); back["plaintext"] != b64("hello") {
		t.Error("after a rotation it does not open")
	}
	if fresh := h.ok(keyPath+"/encrypt", encryption("hello")); fresh["ciphertextMetadata"].(string)[:5] == out["ciphertextMetadata"].(string)[:5] {
		t.Error("the metadata does not tell the materials apart")
	}
}

func TestAuthentication(t *testing.T) {
	h := withStore(t)
	now := h.clock.Now()
	body := m{"requestMetadata": m{"kmsRequestId": "r", "kmsOperation": "KmsHealthCheck"}}
	raws := map[string]bool{}
	refused := func(what string, req *wire.Request) {
		t.Helper()
		a := h.serve(req)
		if a.status != 401 || a.name != "AuthenticationFailedException" {
			t.Errorf("%s: %d %s", what, a.status, a.raw)
		}
		raws[a.raw] = true
	}
	signed := func(change func(req *wire.Request)) *wire.Request {
		req := h.request("/health", body)
		h.signer().Sign(req, now)
		if change != nil {
			change(req)
		}
		return req
	}
	refused("no signature", h.request("/health", body))
	for what, at := range map[string]time.Duration{"expired": -5*time.Minute - time.Second, "from the future": 5*time.Minute + time.Second} {
		req := h.request("/health", body)
		h.signer().Sign(req, now.Add(at))
		refused(what, req)
	}
	for what, change := range map[string]func(*wire.Request){
		"another body":   func(r *wire.Request) { r.Body = append(r.Body, ' ') },
		"another path":   func(r *wire.Request) { r.Target = "/pay/kms/xks/v1/keys/" + keyA + "/decrypt" },
		"a query":        func(r *wire.Request) { r.Target += "?a=b" },
		"another host":   func(r *wire.Request) { r.Headers[0].Value = "evil.example.com" },
		"another date":   func(r *wire.Request) { r.Headers[1].Value = now.Add(time.Second).Format("20060102T150405Z") },
		"two signatures": func(r *wire.Request) { r.Headers = append(r.Headers, r.Headers[len(r.Headers)-1]) },
	} {
		refused(what, signed(change))
	}
	for what, change := range map[string]func(s *struct{ id, secret, service string }){
		"another secret": func(s *struct{ id, secret, service string }) { s.secret = strings.Repeat("x", 43) },
		"unknown id":     func(s *struct{ id, secret, service string }) { s.id = "AAAAAAAAAAAAAAAAAAAAAAAA" },
		"a stand-in": func(s *struct{ id, secret, service string }) {
			s.id, s.secret = "AAAAAAAAAAAAAAAAAAAAAAAA", unknownSecret
		},
		"another service": func(s *struct{ id, secret, service string }) { s.service = "kms" },
		"an endless id":   func(s *struct{ id, secret, service string }) { s.id = strings.Repeat("A", 5000) },
	} {
		signer := h.signer()
		s := struct{ id, secret, service string }{signer.AccessKeyID, signer.SecretKey, signer.Service}
		change(&s)
		signer.AccessKeyID, signer.SecretKey, signer.Service = s.id, s.secret, s.service
		req := h.request("/health", body)
		signer.Sign(req, now)
		refused(what, req)
	}
	token := h.request("/health", body)
	signer := h.signer()
	signer.SessionToken = "token"
	signer.Sign(token, now)
	refused("a session token", token)
	presigned := h.request("/health", body)
	h.signer().Presign(presigned, now, time.Hour)
	refused("presigned", presigned)
	// A store that is not there, and one that is: the same answer.
	h.name = "none"
	refused("an unknown store, unsigned", h.request("/health", body))
	h.name = "pay"
	if len(raws) != 1 {
		t.Errorf("the answers tell failures apart: %v", raws)
	}
	if records := h.journal.taken(t); len(records) != 0 {
		t.Errorf("unauthenticated requests made records: %v", records)
	}
	if n := strings.Count(h.log.String(), "before authentication"); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
	// A replay is as good as the request for five minutes, and no longer.
	req := signed(nil)
	if a := h.serve(req); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	h.clock.Advance(5*time.Minute + time.Second)
	refused("a replay", req)
}

func TestPathsAndMethods(t *testing.T) {
	h := withStore(t)
	body := m{"requestMetadata": metadata("Encrypt")}
	for _, path := range []string{"", "/", "/health/", "/keys", "/keys/", "/keys/" + keyA, "/keys/" + keyA + "/", "/keys/" + keyA + "/sign", "/keys/" + keyA + "/encrypt/x", "/keys/" + strings.Repeat("a", 129) + "/metadata", "/health?x=y"} {
		h.fails(path, body, xksapi.InvalidURIPath)
	}
	h.name = "other"
	h.fails("/health", body, xksapi.InvalidURIPath)
	h.name = "pay"
	for _, method := range []string{"GET", "PUT", "DELETE", "HEAD"} {
		req := h.request("/health", body)
		req.Method = method
		if a := h.serve(req); a.status != 405 {
			t.Errorf("%s: %d", method, a.status)
		}
	}
	if a := h.serve(&wire.Request{Method: "GET", Target: "/healthz"}); a.status != 200 {
		t.Errorf("the load balancer's check: %d", a.status)
	}
	for _, id := range []string{keyB, "unknown", "..", strings.ToUpper(keyA)} {
		h.fails("/keys/"+id+"/metadata", body, xksapi.KeyNotFound)
		h.fails("/keys/"+id+"/encrypt", encryption("x"), xksapi.KeyNotFound)
	}
}
