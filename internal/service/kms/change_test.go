package kms

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
)

// TestNoUseAfterDisable: once DisableKey is answered, no Encrypt that begins later
// succeeds.
func TestNoUseAfterDisable(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	in := m{"KeyId": id, "Plaintext": plaintextBase64}
	var done atomic.Bool
	// Odd while DisableKey has been answered and EnableKey has not been asked.
	var disabled atomic.Int64
	var succeeded atomic.Int64
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for !done.Load() {
				before := disabled.Load()
				a := h.send(root, "Encrypt", in)
				after := disabled.Load()
				if a.status == 200 {
					succeeded.Add(1)
				}
				if a.status == 200 && before == after && before%2 == 1 {
					t.Error("a disabled key was used")
					return
				}
				if a.status != 200 && a.code != "DisabledException" {
					t.Errorf("%d %s: %s", a.status, a.code, a.message)
					return
				}
			}
		})
	}
	for range 60 {
		h.ok(root, "DisableKey", m{"KeyId": id})
		disabled.Add(1)
		if a := h.send(root, "Encrypt", in); a.code != "DisabledException" {
			t.Errorf("%d %s", a.status, a.code)
		}
		disabled.Add(1)
		h.ok(root, "EnableKey", m{"KeyId": id})
	}
	done.Store(true)
	group.Wait()
	if succeeded.Load() == 0 {
		t.Error("no Encrypt succeeded at all: nothing was tried")
	}
}

// between makes something happen between the authorisation of an operation and its
// effect, the first times that it is asked.
type between struct {
	Principals
	happen func()
}

func (b *between) Exists(ctx context.Context, p policy.PrincipalRef) (bool, error) {
	if happen := b.happen; happen != nil {
		b.happen = nil
		happen()
	}
	return b.Principals.Exists(ctx, p)
}

// TestKeyChangedUnderAnOperation: PutKeyPolicy looks up principals after it was
// authorised; what changes then makes it start over, and be judged by what holds.
func TestKeyChangedUnderAnOperation(t *testing.T) {
	h := newHarness(t)
	hook := &between{Principals: known{}}
	h.config.Principals = hook
	h.restart()
	id, arn := h.keyID()
	mayPut := keyPolicy(allow(userARN, []string{"kms:PutKeyPolicy", "kms:DescribeKey"}, nil))
	h.ok(root, "PutKeyPolicy", m{"KeyId": id, "Policy": mayPut})

	// Something harmless: it succeeds on the second run, and keeps both changes.
	hook.happen = func() { h.ok(root, "UpdateKeyDescription", m{"KeyId": id, "Description": "meanwhile"}) }
	h.journal.taken(t)
	h.ok(user, "PutKeyPolicy", m{"KeyId": id, "Policy": mayPut})
	if k := h.ok(user, "DescribeKey", m{"KeyId": id})["KeyMetadata"].(m); k["Description"] != "meanwhile" {
		t.Errorf("a change was lost: %v", k["Description"])
	}
	if records := h.journal.taken(t); len(records) != 3 || records[1]["eventName"] != "PutKeyPolicy" || len(resources(records[1])) != 1 {
		t.Errorf("records: %v", records)
	}

	// The permission goes: it is denied, and nothing is changed.
	hook.happen = func() { h.ok(root, "PutKeyPolicy", m{"KeyId": id, "Policy": keyPolicy()}) }
	h.fails(user, "PutKeyPolicy", m{"KeyId": id, "Policy": mayPut}, "AccessDeniedException",
		notAuthorized(userARN, "kms:PutKeyPolicy", "resource: "+arn+fmt.Sprintf(noIdentityTail, "kms:PutKeyPolicy")))
	if a := h.send(user, "DescribeKey", m{"KeyId": id}); a.code != "AccessDeniedException" {
		t.Errorf("%d %s", a.status, a.code)
	}

	// The key goes.
	hook.happen = func() {
		h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 7})
		h.clock.Advance(7 * day)
		h.due()
	}
	h.fails(root, "PutKeyPolicy", m{"KeyId": id, "Policy": keyPolicy()}, "NotFoundException", "Key '"+arn+"' does not exist")
}

func TestAgain(t *testing.T) {
	call := &authz.Call{}
	runs := 0
	out, err := again(call, func() (int, error) {
		runs++
		call.Audit.Resource(account, keyResource, fmt.Sprint(runs))
		if runs < 3 {
			return 0, fmt.Errorf("wrapped: %w", errChanged)
		}
		return 7, nil
	})
	if out != 7 || err != nil || runs != 3 || len(call.Audit.Resources) != 1 || call.Audit.Resources[0].ARN != "3" {
		t.Errorf("%d, %v after %d runs, noting %v", out, err, runs, call.Audit.Resources)
	}
	runs = 0
	if _, err = again(call, func() (int, error) { runs++; return 0, errChanged }); !errors.Is(err, timedOut()) || runs != maxRuns {
		t.Errorf("%v after %d runs", err, runs)
	}
}

// TestChangesAtOnce: changes of one key by many callers all take effect.
func TestChangesAtOnce(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			a := h.send(root, "TagResource", m{"KeyId": id, "Tags": []m{{"TagKey": fmt.Sprint("k", i), "TagValue": "v"}}})
			if a.status != 200 {
				t.Errorf("%d %s: %s", a.status, a.code, a.message)
			}
		})
	}
	group.Wait()
	got := len(h.ok(root, "ListResourceTags", m{"KeyId": id})["Tags"].([]any))
	if got != 8 {
		t.Errorf("%d tags of 8", got)
	}
}
