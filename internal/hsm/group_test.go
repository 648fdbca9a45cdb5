package hsm_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/hsm/hsmtest"
	"github.com/strongroom/strongroom/internal/secret"
)

func openMemory(t *testing.T, tokens ...*hsmtest.Token) []hsm.Slot {
	t.Helper()
	var slots []hsm.Slot
	for _, token := range tokens {
		info := mustOpenMemory(t, token)
		slots = append(slots, info)
	}
	return slots
}

func mustOpenMemory(t *testing.T, token *hsmtest.Token) hsm.Slot {
	t.Helper()
	s, err := hsmtest.Tokens{token}.Open(t.Context(), hsm.Config{Token: hsm.Token{Label: "token"}, PIN: hsm.FixedPIN(secret.Bytes("1234"))})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func twoTokens() (*hsmtest.Token, *hsmtest.Token) {
	return hsmtest.NewToken("token", "1234"), hsmtest.NewToken("token", "1234")
}

func TestGroupSharesKeysAndFailsOver(t *testing.T) {
	a, b := twoTokens()
	slots := openMemory(t, a, b)
	group, err := hsm.NewGroup(0, slots...)
	if err != nil {
		t.Fatal(err)
	}
	id, aad, text := []byte("key-1"), []byte("aad"), secret.Bytes("hello")
	if err := group.GenerateAES256(t.Context(), id, "a key"); err != nil {
		t.Fatal(err)
	}
	if err := group.GenerateAES256(t.Context(), id, "a key"); !errors.Is(err, hsm.ErrKeyExists) || a.Len() != 1 || b.Len() != 1 {
		t.Errorf("made twice: %v; %d and %d keys", err, a.Len(), b.Len())
	}
	for i, s := range slots {
		k, err := s.Find(t.Context(), id)
		if err != nil || k.Extractable || !k.Sensitive || k.NeverExtractable {
			t.Errorf("member %d: %+v, %v", i, k, err)
		}
		if _, err := s.WrapFor(t.Context(), id, nil); err == nil {
			t.Errorf("member %d still gives the key away", i)
		}
	}
	sealed, err := slots[0].EncryptGCM(t.Context(), id, aad, text)
	if err != nil {
		t.Fatal(err)
	}
	for _, away := range []*hsmtest.Token{a, b} {
		away.Pull()
		for range 4 { // whoever's turn it is
			if opened, err := group.DecryptGCM(t.Context(), id, aad, sealed); err != nil || !bytes.Equal(opened, text) {
				t.Errorf("with one away: %v", err)
			}
		}
		if err := group.Health(t.Context()); err != nil {
			t.Error(err)
		}
		if err := group.GenerateAES256(t.Context(), []byte("key-2"), ""); !errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("made with one away: %v", err)
		}
		if err := group.Destroy(t.Context(), id); away == b && !errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("destroyed with one away: %v", err)
		}
		away.Insert()
		if away == a { // the other one has lost it to Destroy, and this one serves
			if _, err := group.EncryptGCM(t.Context(), id, aad, text); err != nil {
				t.Error(err)
			}
		}
	}
	a.Pull()
	b.Pull()
	if _, err := group.EncryptGCM(t.Context(), id, aad, text); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("with both away: %v", err)
	}
	a.Insert()
	b.Insert()
	if err := group.Destroy(t.Context(), id); !errors.Is(err, hsm.ErrNoKey) || a.Len()+b.Len() != 0 {
		t.Errorf("at the end: %v, %d keys", err, a.Len()+b.Len())
	}
}

// lying is a slot of which one step of sharing fails.
type lying struct {
	hsm.Slot
	receive, lock error
}

func (l lying) Receive(ctx context.Context, pair uint64, id []byte, label string, wrapped []byte) error {
	if l.receive != nil {
		return l.receive
	}
	return l.Slot.Receive(ctx, pair, id, label, wrapped)
}

func (l lying) Lock(ctx context.Context, id []byte) error {
	if l.lock != nil {
		return l.lock
	}
	return l.Slot.Lock(ctx, id)
}

// TestGroupLeavesNothingHalfMade: a key that is not in every member, or that could
// still be extracted, is in none.
func TestGroupLeavesNothingHalfMade(t *testing.T) {
	a, b := twoTokens()
	slots := openMemory(t, a, b)
	broken := errors.New("broken")
	for name, members := range map[string][]hsm.Slot{
		"receive": {slots[0], lying{Slot: slots[1], receive: broken}},
		"lock":    {lying{Slot: slots[0], lock: broken}, slots[1]},
	} {
		group, err := hsm.NewGroup(0, members...)
		if err != nil {
			t.Fatal(err)
		}
		if err := group.GenerateAES256(t.Context(), []byte("key"), ""); !errors.Is(err, broken) || a.Len()+b.Len() != 0 {
			t.Errorf("%s: %v, %d keys are left", name, err, a.Len()+b.Len())
		}
	}
	if _, err := hsm.NewGroup(0); err == nil {
		t.Error("a group of nobody was made")
	}
}
