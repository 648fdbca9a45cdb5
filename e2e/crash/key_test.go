package crash

import "testing"

func TestUnsettledKeysAreLookedAt(t *testing.T) {
	settled := func() *key { return &key{checked: true, grants: map[string]*grant{"g": {}}} }
	if settled().unsettled() {
		t.Error("a key without unanswered changes is unsettled")
	}
	next := "next"
	for name, change := range map[string]func(*key){
		"new":         func(k *key) { k.checked = false },
		"description": func(k *key) { k.description.pending = &next },
		"policy":      func(k *key) { k.policy.pending = &next },
		"tag":         func(k *key) { k.tag.pending = &next },
		"state":       func(k *key) { k.state.pending = &next },
		"rotations":   func(k *key) { k.rotations.pending = &next },
		"rotated":     func(k *key) { k.rotated = true },
		"grant":       func(k *key) { k.grants["g"].there.pending = &next },
	} {
		k := settled()
		change(k)
		if !k.unsettled() {
			t.Errorf("%s: settled", name)
		}
	}
}
