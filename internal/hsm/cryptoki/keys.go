//go:build cgo

package cryptoki

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"

	"github.com/strongroom/strongroom/internal/hsm"
)

const keyBytes = 32

// template is what a key is made with: sensitive, to encrypt and decrypt with.
func template(id []byte, label string, durable, extractable bool) []*pkcs11.Attribute {
	attributes := append(received(id, label, durable, extractable), pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, keyBytes))
	return attributes
}

// received is template for a key that brings its length along.
func received(id []byte, label string, durable, extractable bool) []*pkcs11.Attribute {
	attributes := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, durable),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, extractable),
		pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, true),
		pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, true),
		pkcs11.NewAttribute(pkcs11.CKA_WRAP, false),
		pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, false),
	}
	if durable {
		attributes = append(attributes, pkcs11.NewAttribute(pkcs11.CKA_ID, id), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label))
	}
	return attributes
}

// search finds the key of an id. Errors: ErrNoKey, once the token has said that it
// is there.
func (t *token) search(sh pkcs11.SessionHandle, id []byte) (pkcs11.ObjectHandle, error) {
	if err := t.p.FindObjectsInit(sh, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_ID, id),
	}); err != nil {
		return 0, failed("C_FindObjectsInit", err)
	}
	found, _, err := t.p.FindObjects(sh, 2)
	if final := t.p.FindObjectsFinal(sh); err == nil {
		err = final
	}
	if err != nil {
		return 0, failed("C_FindObjects", err)
	}
	switch len(found) {
	case 0:
		if err := t.present(); err != nil {
			return 0, err
		}
		return 0, hsm.ErrNoKey
	case 1:
		return found[0], nil
	}
	return 0, &hsm.Failure{Function: "C_FindObjects", Code: "several keys of one id"}
}

// handle returns the key's handle, from memory or from the token.
func (t *token) handle(sh pkcs11.SessionHandle, id []byte) (pkcs11.ObjectHandle, error) {
	if h, ok := t.handles.Load(string(id)); ok {
		return h.(pkcs11.ObjectHandle), nil
	}
	h, err := t.search(sh, id)
	if err == nil {
		t.handles.Store(string(id), h)
	}
	return h, err
}

// withKey uses a key in a session. A handle that the token does not know any more is
// looked for again, once.
func (t *token) withKey(id []byte, use func(pkcs11.SessionHandle, pkcs11.ObjectHandle) error) error {
	return t.with(func(sh pkcs11.SessionHandle) error {
		for again := range 2 {
			key, err := t.handle(sh, id)
			if err != nil {
				return err
			}
			err = use(sh, key)
			if !is(failureOf(err), pkcs11.CKR_KEY_HANDLE_INVALID, pkcs11.CKR_OBJECT_HANDLE_INVALID) {
				return err
			}
			t.handles.Delete(string(id))
			if again > 0 {
				return away(err)
			}
		}
		return nil
	})
}

// checkID says whether an id and a label are of sizes that keys have.
func checkID(id []byte, label string) error {
	if len(id) == 0 || len(id) > hsm.MaxID || len(label) > hsm.MaxID {
		return hsm.ErrSize
	}
	return nil
}

// GenerateAES256 implements [hsm.Keys].
func (t *token) GenerateAES256(_ context.Context, id []byte, label string) error {
	return t.generate(id, label, false)
}

// GenerateShareable implements [hsm.Sharer].
func (t *token) GenerateShareable(_ context.Context, id []byte, label string) error {
	return t.generate(id, label, true)
}

func (t *token) generate(id []byte, label string, extractable bool) error {
	return t.make(id, label, func(sh pkcs11.SessionHandle) (pkcs11.ObjectHandle, error) {
		key, err := t.p.GenerateKey(sh, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, template(id, label, true, extractable))
		return key, failed("C_GenerateKey", err)
	}, extractable)
}

// make makes a key that is not there yet, and checks that it is what was asked for:
// a module may leave out what it does not know.
func (t *token) make(id []byte, label string, create func(pkcs11.SessionHandle) (pkcs11.ObjectHandle, error), extractable bool) error {
	if err := checkID(id, label); err != nil {
		return err
	}
	t.making.Lock()
	defer t.making.Unlock()
	return t.with(func(sh pkcs11.SessionHandle) error {
		if _, err := t.search(sh, id); !errors.Is(err, hsm.ErrNoKey) {
			if err == nil {
				err = hsm.ErrKeyExists
			}
			return err
		}
		key, err := create(sh)
		if err != nil {
			return err
		}
		is, err := t.attributes(sh, key)
		if err == nil && (!is.Sensitive || is.Extractable != extractable || !is.Token || is.Bits != 0 && is.Bits != 8*keyBytes) {
			err = fmt.Errorf("%w: it made another key than it was asked for: %+v", hsm.ErrUnsupported, is)
		}
		if err != nil {
			return errors.Join(err, failed("C_DestroyObject", t.p.DestroyObject(sh, key)))
		}
		return nil
	})
}

// attributes says what a key is.
func (t *token) attributes(sh pkcs11.SessionHandle, key pkcs11.ObjectHandle) (hsm.Key, error) {
	read, err := t.p.GetAttributeValue(sh, key, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, nil),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, nil),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, nil),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, nil),
		pkcs11.NewAttribute(pkcs11.CKA_NEVER_EXTRACTABLE, nil),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, nil),
	})
	if err != nil {
		return hsm.Key{}, failed("C_GetAttributeValue", err)
	}
	is := func(i int) bool { return len(read[i].Value) > 0 && read[i].Value[0] == 1 }
	k := hsm.Key{Label: string(read[0].Value), Sensitive: is(1), Extractable: is(2), Token: is(3), NeverExtractable: is(4)}
	if len(read[5].Value) > 0 { // a CK_ULONG, in the machine's own order: 32 fits into the lowest byte
		for _, b := range read[5].Value {
			k.Bits += 8 * int(b)
		}
	}
	return k, nil
}

// Find implements [hsm.Keys].
func (t *token) Find(_ context.Context, id []byte) (key hsm.Key, err error) {
	if err := checkID(id, ""); err != nil {
		return hsm.Key{}, err
	}
	t.handles.Delete(string(id)) // the token is asked, not memory
	err = t.withKey(id, func(sh pkcs11.SessionHandle, h pkcs11.ObjectHandle) (err error) {
		key, err = t.attributes(sh, h)
		return err
	})
	return key, err
}

// Destroy implements [hsm.Keys].
func (t *token) Destroy(_ context.Context, id []byte) error {
	if err := checkID(id, ""); err != nil {
		return err
	}
	t.handles.Delete(string(id))
	defer t.handles.Delete(string(id))
	return t.withKey(id, func(sh pkcs11.SessionHandle, key pkcs11.ObjectHandle) error {
		return failed("C_DestroyObject", t.p.DestroyObject(sh, key))
	})
}
