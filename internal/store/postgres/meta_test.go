package postgres_test

import (
	"context"
	"errors"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/postgres"
)

func TestMetaOfSeveralNodes(t *testing.T) {
	ctx := context.Background()
	url := shared(t).URL(t)
	one, two := open(t, settings(url, "one")), open(t, settings(url, "two"))
	if err := one.CreateMeta(ctx, map[string][]byte{"a": []byte("1")}); err != nil {
		t.Fatal(err)
	}
	if err := one.CreateMeta(ctx, map[string][]byte{"a": []byte("1")}); err != nil {
		t.Errorf("the same once more, as after an answer that was lost: %v", err)
	}
	if err := two.CreateMeta(ctx, map[string][]byte{"a": []byte("2")}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a second description: %v, want ErrConflict", err)
	}
	alone := func(_ map[string][]byte, nodes []postgres.Node) error {
		if len(nodes) != 1 || nodes[0] != one.Self() {
			return errNotAlone
		}
		return nil
	}
	version := func() string {
		if err := two.Advance(ctx); err != nil {
			t.Fatal(err)
		}
		return two.MetaVersion()
	}
	before := version()
	if err := one.SetMetaIf(ctx, map[string][]byte{"a": []byte("3")}, alone); !errors.Is(err, errNotAlone) {
		t.Errorf("a change that is not allowed: %v", err)
	}
	if meta, err := two.Meta(ctx); err != nil || string(meta["a"]) != "1" || len(meta) != 1 || version() != before {
		t.Errorf("after refusals: %q, %v", meta, err)
	}
	if err := one.SetMeta(ctx, map[string][]byte{"b": []byte("1")}); err != nil || version() == before {
		t.Errorf("a change that two does not see: %v", err)
	}
	if nodes, err := two.Nodes(ctx); err != nil || len(nodes) != 2 || nodes[0] != one.Self() || nodes[1] != two.Self() {
		t.Errorf("%v, %v", nodes, err)
	}
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	if err := one.SetMetaIf(ctx, map[string][]byte{"a": []byte("4"), "b": nil}, alone); err != nil {
		t.Errorf("alone: %v", err)
	}
	if meta, err := one.Meta(ctx); err != nil || string(meta["a"]) != "4" || len(meta) != 1 {
		t.Errorf("after a change: %q, %v", meta, err)
	}
}

var errNotAlone = errors.New("not alone")
