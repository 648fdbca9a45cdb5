package api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/server"
	"github.com/strongroom/strongroom/internal/wire"
)

// plant puts a canary into every member that must not be shown, by the model's
// marks, and takes it down. What is not secret stays a sample, so that requests
// get as far as they can.
func (e *edge) plant(v any, shape, at string, planted *[]string) any {
	s := e.Shapes[shape]
	switch {
	case s.Type == "blob":
		canary := "canary-" + at + "-blob"
		*planted = append(*planted, canary)
		return []byte(canary)
	case s.Type == "string" && s.Sensitive:
		canary := "canary" + strings.NewReplacer(".", "").Replace(at)
		*planted = append(*planted, canary)
		return canary
	}
	switch v := v.(type) {
	case map[string]any:
		if s.Type == "map" {
			for k, x := range v {
				v[k] = e.plant(x, s.Value, at+".v", planted)
			}
			return v
		}
		for _, m := range s.Members {
			if x, ok := v[m.Name]; ok {
				v[m.Name] = e.plant(x, m.Shape, at+"."+m.Name, planted)
			}
		}
	case []any:
		for i, x := range v {
			v[i] = e.plant(x, s.Member, fmt.Sprintf("%s.%d", at, i), planted)
		}
	}
	return v
}

// TestNoRecordShowsACanary sends a running server every operation of every
// service, once with valid samples and once with members that break every rule,
// with a canary in each member that is secret by its model. None may stand in an
// audit record, an error's text included, in an answer that refuses, or in the log.
func TestNoRecordShowsACanary(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir() + "/data"
	s, err := server.Start(t.Context(), server.Config{
		DataDir: dir, Listen: "127.0.0.1:0", Account: "000000000000", Regions: []string{"us-east-1"}, Seal: "file", Store: "pebble",
		Dev: true, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	defer stop()
	var planted []string
	sent := map[string]int{}
	for _, e := range edges(t) {
		for i := range e.table.Operations {
			name := e.table.Operations[i].Name
			shape := e.Operations[name].Input
			inputs := []map[string]any{e.input(t, name, true)}
			if shape != "" {
				inputs = append(inputs, e.canaries(shape, name).(map[string]any))
			}
			for n, in := range inputs {
				if shape != "" {
					in = e.plant(in, shape, fmt.Sprint(name, n), &planted).(map[string]any)
				}
				answer := e.post(t, s.URL(), name, in)
				if strings.Contains(string(answer), "canary"+name) && strings.Contains(string(answer), "rror") {
					t.Errorf("the refusal of %s shows a canary: %s", name, answer)
				}
				sent[e.table.EventSource+" "+name]++
			}
		}
	}
	if len(planted) < 50 {
		t.Fatalf("only %d canaries", len(planted))
	}
	client, err := admin.Connect(dir)
	if err != nil {
		t.Fatal(err)
	}
	var records []byte
	n := 0
	err = client.Search(t.Context(), admin.Filter{Principal: "000000000000"}, func(line []byte) error {
		records = append(append(records, line...), '\n')
		n++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	stop() // nothing writes to the log any more
	if n < 300 {
		t.Errorf("only %d of %d operations left records", n, len(sent))
	}
	for _, canary := range planted {
		for _, form := range []string{canary, hex.EncodeToString([]byte(canary)), base64.StdEncoding.EncodeToString([]byte(canary))} {
			if bytes.Contains(records, []byte(form)) {
				t.Errorf("a record shows %s", canary)
			}
			if strings.Contains(log.String(), form) {
				t.Errorf("the log shows %s", canary)
			}
		}
	}
}

// post sends a request as the dev server's root: the signature of an account's
// number is not looked at.
func (e *edge) post(t *testing.T, url, name string, in map[string]any) []byte {
	t.Helper()
	body := e.body(in)
	if e.table.Protocol != wire.AWSJSON11 {
		body = bytes.Replace(body, []byte("Action=X"), []byte("Action="+name), 1)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", e.table.Protocol.ContentType())
	if e.table.Protocol == wire.AWSJSON11 {
		req.Header.Set("X-Amz-Target", e.table.TargetPrefix+"."+name)
	} else {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("X-Amz-Date", "20260102T030405Z")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=000000000000/20260102/us-east-1/"+e.table.Name+
		"/aws4_request, SignedHeaders=host;x-amz-date, Signature="+strings.Repeat("0", 64))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}
