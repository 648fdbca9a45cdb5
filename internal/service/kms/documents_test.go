package kms

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/internal/policy"
)

// documentOf returns a key policy's text of its own memory.
func documentOf(account int) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%012d:root"},"Action":"kms:*","Resource":"*"}]}`, account)
}

func TestOneTextIsCompiledOnce(t *testing.T) {
	var i interned[string, policy.Document]
	const callers, texts = 8, 3
	var got [callers][texts]*policy.Document
	var compiling sync.WaitGroup
	for c := range callers {
		compiling.Go(func() {
			for n := range texts {
				document, err := compilePolicy(&i, documentOf(n))
				if err != nil || document.Text() != documentOf(n) {
					t.Errorf("%v %v", document, err)
				}
				got[c][n] = document
			}
		})
	}
	compiling.Wait()
	for c := range callers {
		if got[c] != got[0] {
			t.Errorf("caller %d has %v, another %v", c, got[c], got[0])
		}
	}
	if _, err := compilePolicy(&i, `{"Statement":[]}`); err == nil {
		t.Error("what is no policy was compiled")
	}
	if len(i.by) != texts {
		t.Errorf("%d texts are held, want %d", len(i.by), texts)
	}
	runtime.KeepAlive(got)
}

// TestPoliciesThatNoKeyHasAreForgotten compiles many policies and keeps one.
func TestPoliciesThatNoKeyHasAreForgotten(t *testing.T) {
	var i interned[string, policy.Document]
	kept, err := compilePolicy(&i, documentOf(0))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		if _, err := compilePolicy(&i, documentOf(n)); err != nil {
			t.Fatal(err)
		}
	}
	held := func() int {
		i.mu.RLock()
		defer i.mu.RUnlock()
		return len(i.by)
	}
	for held() > 1 && t.Context().Err() == nil { // cleanups run some time after a collection
		runtime.GC()
		runtime.Gosched()
	}
	if again, err := compilePolicy(&i, documentOf(0)); err != nil || again != kept {
		t.Errorf("the one in use was compiled again, %v", err)
	}
	i.forget(documentOf(0)) // late: a document of the same text that is gone
	if held() != 1 {
		t.Error("the text of a document in use was forgotten")
	}
	runtime.KeepAlive(kept)
}

func TestInternedValuesAreBounded(t *testing.T) {
	var i interned[int, [64]byte]
	var kept []*[64]byte
	for n := range 3 {
		kept = append(kept, i.keep(n, new([64]byte), 2))
	}
	if kept[0] == nil || kept[1] == nil || kept[2] != nil {
		t.Errorf("kept %v with room for 2", kept)
	}
	if again := i.keep(1, new([64]byte), 2); again != kept[1] {
		t.Error("a value in use was made again")
	}
	runtime.KeepAlive(kept)
}

func BenchmarkNewKey(b *testing.B) {
	record := keyRecord{Account: "111122223333", Region: "us-east-1", ID: "1234abcd-12ab-34cd-56ef-1234567890ab", Spec: "SYMMETRIC_DEFAULT", Policy: documentOf(1)}
	first, err := newKey(record, "aws", 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := newKey(record, "aws", 1); err != nil {
			b.Fatal(err)
		}
	}
	runtime.KeepAlive(first)
}
