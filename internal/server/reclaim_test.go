package server

import (
	"errors"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/approval"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
)

func testReclaim(t *testing.T, db *postgrestest.Server) {
	m := newMovable(t, db)
	m.mustCopy(m.other())
	m.check() // what is made there is lost
	m.store = ""
	m.reclaim()

	m.mustCopy(m.other())
	node := m.node()
	m.mustCopy(embedded)
	m.check()
	node.reclaim()
	_, counts := node.trail()
	if counts["ReclaimStore"] != 2 || counts["DisableRestoredKeys"] != 2 {
		t.Errorf("the trail has %v", counts)
	}
}

func (m *movable) reclaim() {
	m.Helper()
	out, err := Reclaim(m.Context(), ReclaimConfig{In: m.folder(), Log: config(m.T, m.dir).Log})
	if err != nil {
		m.Fatal(err)
	}
	if out.KeysDisabled != 3 || out.NewEpoch < 1<<32 {
		m.Errorf("from %s: %+v", m.folder().place(), out)
	}
	m.serve(func(s *Server) {
		status, body := kmsCall(m.T, s, m.root, "Decrypt", map[string]any{"CiphertextBlob": m.blob})
		if status == 200 || !strings.Contains(body, "DisabledException") {
			m.Errorf("Decrypt after a reclaim: %d %s", status, body)
		}
		_, body = kmsCall(m.T, s, m.root, "ListKeys", map[string]any{})
		for _, part := range strings.Split(body, `"KeyId":"`)[1:] {
			kmsCall(m.T, s, m.root, "EnableKey", map[string]any{"KeyId": part[:36]})
		}
	})
	m.check()
	_, err = Reclaim(m.Context(), ReclaimConfig{In: m.folder(), Log: config(m.T, m.dir).Log})
	m.refused(err, "were not moved away")
}

// TestTwoPeopleForAReclaim: the rule for restores is asked.
func TestTwoPeopleForAReclaim(t *testing.T) {
	// The text is that of a day, which must not end meanwhile.
	was := machineClock
	machineClock = clock.NewFake(machineClock.Now())
	t.Cleanup(func() { machineClock = was }) // when the servers have stopped
	m := newMovable(t, postgrestest.Start(t, "fsync=off"))
	p := newPeople(t, "alice", "bob", "carol")
	m.serve(func(s *Server) {
		o, rule := &operator{s}, admin.TwoPeople{On: true, Operators: p.keys(), For: []string{"restore"}}
		_, err := o.SetTwoPeople(t.Context(), someone, rule)
		waits(t, err)
		p.approve(t, o, "alice", "bob")
		if _, err := o.SetTwoPeople(t.Context(), someone, rule); err != nil {
			t.Fatal(err)
		}
	})
	for i, to := range []string{m.db.URL(t), embedded} {
		at := *m
		if to == embedded {
			at = *m.node()
		}
		m.mustCopy(to) // needs no approval: it takes nothing back
		cfg := ReclaimConfig{In: at.folder(), Log: config(t, m.dir).Log}
		text := ""
		refused := func(approvals ...[]byte) {
			t.Helper()
			cfg.Approvals = approvals
			_, err := Reclaim(t.Context(), cfg)
			var missing *ApprovalMissing
			if !errors.As(err, &missing) || !strings.Contains(missing.Text, "ReclaimStore") || !strings.Contains(missing.Text, at.dir) {
				t.Fatalf("%v", err)
			}
			if text != "" && text != missing.Text {
				t.Fatalf("the text was\n%s\nand is\n%s", text, missing.Text)
			}
			text = missing.Text
		}
		sign := func(name string) []byte { return p[name].Sign(approval.Namespace, text) }
		refused()
		refused(sign("alice"))
		at.notServed(at.store, "were moved to")
		cfg.Approvals = [][]byte{sign("alice"), sign("carol")}
		if _, err := Reclaim(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if n := count(t, at.folder(), `approvedBy":"alice,carol`); n != i+1 {
			t.Errorf("%d records say who approved", n)
		}
		if to == embedded {
			break
		}
		m.store = ""
		m.mustCopy(m.db.URL(t))
	}
}
