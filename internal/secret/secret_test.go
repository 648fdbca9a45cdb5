package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "correct horse battery staple"

func TestNeverShown(t *testing.T) {
	type holder struct {
		B Bytes
		S String
		P *Bytes
	}
	b := Bytes(canary)
	h := holder{B: b, S: canary, P: &b}
	for _, v := range []any{b, &b, String(canary), h, &h, []Bytes{b}, map[string]String{"k": canary}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			shown := fmt.Sprintf(verb, v)
			hexed := fmt.Sprintf("%x", canary)
			if strings.Contains(shown, canary) || strings.Contains(strings.ToLower(shown), hexed) || strings.Contains(shown, "99 111 114") {
				t.Errorf("Sprintf(%q, %T) shows the secret: %s", verb, v, shown)
			}
		}
		if out, err := json.Marshal(v); !errors.Is(err, ErrMarshal) {
			t.Errorf("Marshal(%T) = %s, %v; want ErrMarshal", v, out, err)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "b", b, "s", String(canary), "h", h)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "b", b, "s", String(canary), "h", h)
	if strings.Contains(log.String(), canary) {
		t.Errorf("the log shows the secret: %s", &log)
	}
}

func TestEqualAndWipe(t *testing.T) {
	b := Bytes(canary)
	if !b.Equal([]byte(canary)) || b.Equal([]byte(canary[1:])) || b.Equal(nil) {
		t.Error("Equal is wrong")
	}
	b.Wipe()
	if !b.Equal(make([]byte, len(canary))) {
		t.Error("Wipe left bytes behind")
	}
}
