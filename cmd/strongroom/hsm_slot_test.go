package main

import (
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
)

func TestHSMSlotsWantARunningServer(t *testing.T) {
	dir := t.TempDir()
	for _, args := range []string{"list", "remove s", "add s --module /m.so --token-label l --zone us-east-1a"} {
		s := newSession()
		code := run(append([]string{"hsm", "slot"}, strings.Fields(args+" --data "+dir)...), s.app)
		if code != 1 || !strings.Contains(s.err.String(), "no server is running on "+dir) || !strings.Contains(s.err.String(), "hint: strongroom serve") {
			t.Errorf("hsm slot %s exits with %d: %s", args, code, &s.err)
		}
	}
}

func TestPrintHSMSlots(t *testing.T) {
	number := uint64(4)
	var text strings.Builder
	err := printHSMSlots(&text, []admin.HSMSlot{
		{Name: "a", Zone: "us-east-1a", Account: "111122223333", Module: "/m.so", TokenLabel: "one\x1b", TokenSerial: "77", SlotID: &number},
		{Name: "b", Zone: "us-east-1b", Account: "111122223333", Module: "/m.so", TokenSerial: "78", Cluster: "cluster-x", HSM: "hsm-y"},
	})
	want := "a  us-east-1a  account 111122223333  /m.so label one\uFFFD serial 77 slot 4  free\n" +
		"b  us-east-1b  account 111122223333  /m.so serial 78  hsm-y of cluster-x\n"
	if err != nil || text.String() != want {
		t.Errorf("%v\ngot  %q\nwant %q", err, text.String(), want)
	}
}
