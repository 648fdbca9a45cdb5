package kms

import (
	"runtime"
	"sync"
	"weak"

	"github.com/strongroom/strongroom/internal/policy"
)

// documents are the compiled key policies that keys in memory have, by their text.
// Most keys have the policy that they were made with, and those of one account have
// one text: it is compiled once and kept once, as long as a key has it.
var documents interned

// interned finds documents that are in use. The zero value is empty.
type interned struct {
	mu     sync.RWMutex
	byText map[string]weak.Pointer[policy.Document]
}

// keyPolicy compiles the text of a key policy, or returns what was compiled of the same.
func (i *interned) keyPolicy(text string) (*policy.Document, error) {
	i.mu.RLock()
	document := i.byText[text].Value()
	i.mu.RUnlock()
	if document != nil {
		return document, nil
	}
	document, err := policy.Parse([]byte(text), policy.KeyPolicy)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if other := i.byText[document.Text()].Value(); other != nil {
		return other, nil
	}
	if i.byText == nil {
		i.byText = map[string]weak.Pointer[policy.Document]{}
	}
	i.byText[document.Text()] = weak.Make(document)
	runtime.AddCleanup(document, i.forget, document.Text())
	return document, nil
}

// forget removes a text whose document nobody has any more.
func (i *interned) forget(text string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.byText[text].Value() == nil { // or it was compiled again since
		delete(i.byText, text)
	}
}
