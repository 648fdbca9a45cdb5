package postgres_test

import (
	"context"
	"errors"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
)

func TestMetaOfSeveralNodes(t *testing.T) {
	ctx := context.Background()
	url := shared(t).URL(t)
	one, two := open(t, settings(url, "one")), open(t, settings(url, "two"))
	if err := one.CreateMeta(ctx, map[string][]byte{"a": []byte("1")}); err != nil {
		t.Fatal(err)
	}
	if err := two.CreateMeta(ctx, map[string][]byte{"a": []byte("2")}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a second description: %v, want ErrConflict", err)
	}
	if err := one.SetMetaAlone(ctx, map[string][]byte{"a": []byte("3")}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a change that two would have to know of: %v, want ErrConflict", err)
	}
	if meta, err := two.Meta(ctx); err != nil || string(meta["a"]) != "1" {
		t.Errorf("after refusals: %q, %v", meta, err)
	}
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	if err := one.SetMetaAlone(ctx, map[string][]byte{"a": []byte("4")}); err != nil {
		t.Errorf("alone: %v", err)
	}
	if meta, err := one.Meta(ctx); err != nil || string(meta["a"]) != "4" {
		t.Errorf("after a change: %q, %v", meta, err)
	}
}
