package server

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/wire"
)

func TestDevEndpoints(t *testing.T) {
	tool := []wire.Header{{Name: "Host", Value: "localhost:4566"}, {Name: "x-strongroom-dev", Value: "1"}}
	host := func(h string) []wire.Header {
		return []wire.Header{{Name: "Host", Value: h}, {Name: "X-Strongroom-Dev", Value: "1"}}
	}
	const faults, clockPath = "/_strongroom/dev/faults", "/_strongroom/dev/clock"
	for _, test := range []struct {
		name, method, target, body string
		headers                    []wire.Header
		status                     int
		says                       string
	}{
		{"clock", "POST", clockPath, `{"advance":"24h"}`, tool, 200, `{"now":"`},
		{"reset", "POST", "/_strongroom/dev/reset", "", tool, 200, `{"now":"`},
		{"faults", "POST", faults, `{"faults":[{"operation":"Encrypt","error":"ThrottlingException"}]}`, tool, 200, `{"now":"`},
		{"IPv6 host", "POST", clockPath, `{"advance":"1s"}`, host("[::1]:4566"), 200, ""},
		{"IP host", "POST", clockPath, `{"advance":"1s"}`, host("10.0.0.2"), 200, ""},
		{"header missing", "POST", clockPath, `{"advance":"1s"}`, tool[:1], 403, "X-Strongroom-Dev: 1 is missing"},
		{"header of another value", "POST", clockPath, `{}`, []wire.Header{tool[0], {Name: "X-Strongroom-Dev", Value: "2"}}, 403, "is missing"},
		{"header twice", "POST", clockPath, `{}`, append(tool[:2:2], tool[1]), 403, "is missing"},
		{"origin", "POST", clockPath, `{}`, append(tool[:2:2], wire.Header{Name: "origin", Value: "null"}), 403, "Origin"},
		{"foreign host", "POST", clockPath, `{}`, host("evil.example:4566"), 403, `the host \"evil.example\" is refused`},
		{"rebound host", "POST", clockPath, `{}`, host("localhost.evil.example"), 403, "is refused"},
		{"no host", "POST", clockPath, `{}`, tool[1:], 403, "is refused"},
		{"GET", "GET", "/_strongroom/dev/reset", "", tool, 405, "want POST"},
		{"unknown endpoint", "POST", "/_strongroom/dev/nothing", "", tool, 404, "there are reset, clock and faults"},
		{"no JSON", "POST", clockPath, "24h", tool, 400, "the body"},
		{"two values", "POST", clockPath, `{"advance":"1s"}{}`, tool, 400, "more than one JSON value"},
		{"unknown member", "POST", clockPath, `{"advanced":"1s"}`, tool, 400, "advanced"},
		{"no duration", "POST", clockPath, `{"advance":"a day"}`, tool, 400, "want a duration such as"},
		{"farther than durations reach", "POST", clockPath, `{"advance":"2562047h"}`, tool, 400, "at most 100 years"},
		{"no fault", "POST", faults, `{"faults":[{"operation":"Encrypt"}]}`, tool, 400, "faults[0]: want an error or a latency"},
		{"rate", "POST", faults, `{"faults":[{"error":"E","rate":1.5}]}`, tool, 400, "faults[0].rate"},
		{"count", "POST", faults, `{"faults":[{"error":"E","count":-1}]}`, tool, 400, "faults[0].count"},
		{"status", "POST", faults, `{"faults":[{"error":"E","status":200}]}`, tool, 400, "faults[0].status"},
		{"latency", "POST", faults, `{"faults":[{"latency":"5s"}]}`, tool, 400, "faults[0].latency"},
		{"unknown member of a fault", "POST", faults, `{"faults":[{"err":"E"}]}`, tool, 400, "err"},
	} {
		resets := 0
		d := &devTools{clock: clock.System(), reset: func(context.Context) error { resets++; return nil }}
		before := d.clock.Now()
		var resp wire.Response
		if !d.serve(&wire.Request{Method: test.method, Target: test.target, Headers: test.headers, Body: []byte(test.body)}, &resp) {
			t.Errorf("%s: not served", test.name)
		}
		if resp.Status != test.status || !strings.Contains(string(resp.Body), test.says) {
			t.Errorf("%s: %d %s, want %d %s", test.name, resp.Status, resp.Body, test.status, test.says)
		}
		if moved := d.clock.Now().Sub(before) > time.Hour; moved != (test.name == "clock") {
			t.Errorf("%s: the clock moved: %v", test.name, moved)
		}
		if (resets == 1) != (test.name == "reset") || (d.faults.Load() != nil) != (test.name == "faults") {
			t.Errorf("%s: %d resets, faults %v", test.name, resets, d.faults.Load())
		}
	}
	if (&devTools{}).serve(&wire.Request{Method: "POST", Target: "/"}, &wire.Response{}) {
		t.Error("an AWS call was taken")
	}
}

func TestFaults(t *testing.T) {
	d := &devTools{clock: clock.System()}
	if err := d.setFaults([]byte(`{"faults":[{"operation":"Encrypt","error":"ThrottlingException","count":2},{"operation":"Decrypt","error":"E","message":"m","status":503}]}`)); err != nil {
		t.Fatal(err)
	}
	try := func(operation string) error { return d.disturb(t.Context(), &authz.Call{Operation: operation}) }
	for i := range 3 {
		err := try("Encrypt")
		if i < 2 && (err == nil || err.Error() != "ThrottlingException: You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.") || i == 2 && err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	for range 3 {
		if err, ok := try("Decrypt").(*awserr.Error); !ok || err.Error() != "E: m" || err.HTTPStatus() != 503 {
			t.Errorf("%v", err)
		}
	}
	if err := try("ListKeys"); err != nil {
		t.Error(err)
	}
	if err := d.setFaults([]byte(`{"faults":[]}`)); err != nil || try("Decrypt") != nil {
		t.Errorf("after they were taken away: %v, %v", err, try("Decrypt"))
	}
}
