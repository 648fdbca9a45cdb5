package kms

import (
	"context"
	"errors"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
)

// TestLeastWindow: where two people are asked for a shorter wait, a caller cannot have
// one, whatever the key's state and however often it is cancelled.
func TestLeastWindow(t *testing.T) {
	h := newHarness(t)
	least := int32(30)
	h.config.LeastWindow = func(context.Context) (int32, error) { return least, nil }
	h.restart()
	id, _ := h.keyID()
	for _, window := range []int{7, 29} {
		h.fails(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": window}, "AccessDeniedException",
			"This deployment asks two of its operators to approve a waiting period of less than 30 days. Leave PendingWindowInDays out, and have an operator shorten the wait.")
	}
	h.fails(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 6}, "ValidationException", "PendingWindowInDays must be between 7 and 30")
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id})
	h.ok(root, "CancelKeyDeletion", m{"KeyId": id})
	h.fails(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 7}, "AccessDeniedException",
		"This deployment asks two of its operators to approve a waiting period of less than 30 days. Leave PendingWindowInDays out, and have an operator shorten the wait.")
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 30})
	least = 0
	h.ok(root, "CancelKeyDeletion", m{"KeyId": id})
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 7})
	h.config.LeastWindow = func(context.Context) (int32, error) { return 0, store.ErrStopped }
	h.restart()
	id, _ = h.keyID()
	if a := h.send(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 7}); a.status < 500 {
		t.Errorf("with a rule that cannot be read: %d %s", a.status, a.code)
	}
}

func TestShortenDeletion(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	other, otherARN := h.keyID()
	nothing := func(*store.Tx) error { return nil }
	shorten := func(arn string, days int32) error {
		_, err := h.service.ShortenDeletion(t.Context(), arn, days, nothing)
		return err
	}
	if err := shorten(arn, 7); !errors.Is(err, ErrNotWaiting) {
		t.Errorf("a key in use: %v", err)
	}
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 20})
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": other, "PendingWindowInDays": 20})
	for _, bad := range []string{"", id, arn + "0", "arn:aws:kms:" + region + ":111122223333:alias/x", "arn:aws-cn:kms" + arn[len("arn:aws:kms"):]} {
		if err := shorten(bad, 7); !errors.Is(err, ErrNoSuchKey) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, days := range []int32{-1, 0, 6, 30, 31} {
		if err := shorten(arn, days); !errors.Is(err, ErrNoSuchWaiting) {
			t.Errorf("%d days: %v", days, err)
		}
	}
	for _, days := range []int32{20, 29} {
		if err := shorten(arn, days); !errors.Is(err, ErrNotShorter) {
			t.Errorf("%d days: %v", days, err)
		}
		if _, err := h.service.MayShorten(t.Context(), arn, days); !errors.Is(err, ErrNotShorter) {
			t.Errorf("%d days, asked before: %v", days, err)
		}
	}
	failure := errors.New("no")
	if _, err := h.service.ShortenDeletion(t.Context(), arn, 7, func(*store.Tx) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
	before, err := h.service.MayShorten(t.Context(), arn, 7)
	if err != nil || !before.DeletionDate.Equal(h.clock.Now().Add(20*day)) {
		t.Fatalf("%+v, %v", before, err)
	}
	w, err := h.service.ShortenDeletion(t.Context(), arn, 7, nothing)
	if err != nil || w.ARN != arn || !w.DeletionDate.Equal(h.clock.Now().Add(7*day)) {
		t.Fatalf("%+v, %v", w, err)
	}
	if k := h.ok(root, "DescribeKey", m{"KeyId": id})["KeyMetadata"].(m); k["DeletionDate"] != float64(w.DeletionDate.UnixMilli())/1000 {
		t.Errorf("%v", k)
	}
	h.clock.Advance(7*day - 1)
	h.due()
	if h.isGone(id) {
		t.Error("deleted too early")
	}
	h.clock.Advance(1)
	h.due()
	if !h.isGone(id) || h.isGone(other) {
		t.Error("not deleted when due, or another with it")
	}
	if err := shorten(arn, 7); !errors.Is(err, ErrNoSuchKey) {
		t.Errorf("a key that is gone: %v", err)
	}
	// What was shortened can be cancelled, and leaves nothing that falls due.
	if err := shorten(otherARN, 8); err != nil {
		t.Fatal(err)
	}
	h.ok(root, "CancelKeyDeletion", m{"KeyId": other})
	h.clock.Advance(40 * day)
	h.due()
	if h.isGone(other) {
		t.Error("a cancelled deletion is carried out")
	}
}
