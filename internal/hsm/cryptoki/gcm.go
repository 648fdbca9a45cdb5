//go:build cgo

package cryptoki

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/secret"
)

// nonces says who chooses the nonce of a GCM encryption. Some HSMs insist on their
// own, which they write over the caller's.
type nonces int

const (
	ours    nonces = iota // the caller's is used
	modules               // the module writes its own into zeros that it is handed
)

const tagBits = 8 * hsm.TagSize

// encrypt returns nonce ‖ ciphertext ‖ tag.
func (t *token) encrypt(sh pkcs11.SessionHandle, key pkcs11.ObjectHandle, by nonces, aad, plaintext []byte) ([]byte, error) {
	nonce := make([]byte, hsm.NonceSize)
	if by == ours {
		if _, err := rand.Read(nonce); err != nil {
			return nil, err
		}
	}
	params := pkcs11.NewGCMParams(nonce, aad, tagBits)
	defer params.Free()
	if err := t.p.EncryptInit(sh, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, key); err != nil {
		return nil, failed("C_EncryptInit", err)
	}
	sealed, err := t.p.Encrypt(sh, plaintext)
	if err != nil {
		return nil, failed("C_Encrypt", err)
	}
	used := params.IV()
	switch {
	case len(used) != hsm.NonceSize || len(sealed) != len(plaintext)+hsm.TagSize:
		return nil, fmt.Errorf("%w: its AES-GCM made %d bytes of %d, with a nonce of %d", hsm.ErrUnsupported, len(sealed), len(plaintext), len(used))
	case by == modules && bytes.Equal(used, nonce):
		return nil, fmt.Errorf("%w: its AES-GCM used a nonce of zeros", hsm.ErrUnsupported)
	}
	return append(used, sealed...), nil
}

// decrypt opens what encrypt made. refused says that C_Decrypt itself failed: of the
// message, or of something else.
func (t *token) decrypt(sh pkcs11.SessionHandle, key pkcs11.ObjectHandle, aad, sealed []byte) (plaintext []byte, refused bool, err error) {
	params := pkcs11.NewGCMParams(sealed[:hsm.NonceSize], aad, tagBits)
	defer params.Free()
	if err := t.p.DecryptInit(sh, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, key); err != nil {
		return nil, false, failed("C_DecryptInit", err)
	}
	plaintext, err = t.p.Decrypt(sh, sealed[hsm.NonceSize:])
	if err != nil {
		return nil, true, failed("C_Decrypt", err)
	}
	if len(plaintext) != len(sealed)-hsm.Overhead {
		return nil, false, fmt.Errorf("%w: C_Decrypt made %d bytes of %d", hsm.ErrUnavailable, len(plaintext), len(sealed))
	}
	return plaintext, false, nil
}

// tryGCM tries AES-256-GCM with a key that lives as long as this call, and finds out
// whose nonces the module uses.
func (t *token) tryGCM(sh pkcs11.SessionHandle) (nonces, error) {
	key, err := t.p.GenerateKey(sh, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, template(nil, "", false, false))
	if err != nil {
		return ours, unsupported(failed("C_GenerateKey (AES-256, for this session)", err))
	}
	by, err := t.tryKey(sh, key)
	if left := t.p.DestroyObject(sh, key); left != nil && err == nil {
		err = failed("C_DestroyObject", left)
	}
	return by, err
}

// unsupported makes a Failure, which is about what was asked for, ErrUnsupported.
func unsupported(err error) error {
	var failure *hsm.Failure
	if errors.As(err, &failure) && !errors.Is(err, hsm.ErrUnavailable) && !errors.Is(err, hsm.ErrUnsupported) {
		return fmt.Errorf("%w: %w", hsm.ErrUnsupported, err)
	}
	return err
}

func (t *token) tryKey(sh pkcs11.SessionHandle, key pkcs11.ObjectHandle) (nonces, error) {
	aad, text := []byte("additional"), []byte("a message of more than one block")
	by := ours
	first, err := t.encrypt(sh, key, ours, aad, text)
	if failureOf(err) != nil || errors.Is(err, hsm.ErrUnsupported) { // such as CKR_MECHANISM_PARAM_INVALID
		refused := err
		by = modules
		if first, err = t.encrypt(sh, key, modules, aad, text); err != nil {
			return ours, unsupported(refused)
		}
	}
	if err != nil {
		return ours, err
	}
	second, err := t.encrypt(sh, key, by, aad, text)
	if err != nil {
		return ours, unsupported(err)
	}
	if bytes.Equal(first[:hsm.NonceSize], second[:hsm.NonceSize]) || bytes.Equal(first[hsm.NonceSize:], second[hsm.NonceSize:]) {
		return ours, fmt.Errorf("%w: its AES-GCM made one ciphertext twice", hsm.ErrUnsupported)
	}
	opened, _, err := t.decrypt(sh, key, aad, first)
	if err != nil {
		return ours, unsupported(err)
	}
	if !bytes.Equal(opened, text) {
		return ours, fmt.Errorf("%w: its AES-GCM opens a message to another", hsm.ErrUnsupported)
	}
	for what, altered := range map[string][2][]byte{
		"with other additional data": {[]byte("Additional"), first},
		"with an altered tag":        {aad, append(bytes.Clone(first[:len(first)-1]), first[len(first)-1]^1)},
	} {
		if _, _, err := t.decrypt(sh, key, altered[0], altered[1]); err == nil {
			return ours, fmt.Errorf("%w: its AES-GCM opens a message %s", hsm.ErrUnsupported, what)
		}
	}
	return by, nil
}

// EncryptGCM implements [hsm.Keys].
func (t *token) EncryptGCM(_ context.Context, id, aad []byte, plaintext secret.Bytes) (sealed []byte, err error) {
	if len(aad) > hsm.MaxMessage || len(plaintext) > hsm.MaxMessage {
		return nil, hsm.ErrSize
	}
	err = t.withKey(id, func(sh pkcs11.SessionHandle, key pkcs11.ObjectHandle) (err error) {
		sealed, err = t.encrypt(sh, key, t.nonces, aad, plaintext)
		return err
	})
	return sealed, err
}

// DecryptGCM implements [hsm.Keys].
func (t *token) DecryptGCM(_ context.Context, id, aad, sealed []byte) (plaintext secret.Bytes, err error) {
	if len(aad) > hsm.MaxMessage || len(sealed) > hsm.MaxMessage+hsm.Overhead {
		return nil, hsm.ErrSize
	}
	if len(sealed) < hsm.Overhead {
		return nil, hsm.ErrDecrypt
	}
	err = t.withKey(id, func(sh pkcs11.SessionHandle, key pkcs11.ObjectHandle) (err error) {
		var refused bool
		if plaintext, refused, err = t.decrypt(sh, key, aad, sealed); refused {
			err = t.whyNot(sh, key, err)
		}
		return err
	})
	return plaintext, err
}

// whyNot tells a message that does not open from a token that does not answer: with
// some modules C_Decrypt fails alike. A token that still opens what it has just
// encrypted, with the same key, has refused the message.
func (t *token) whyNot(sh pkcs11.SessionHandle, key pkcs11.ObjectHandle, refusal error) error {
	if is(failureOf(refusal), pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_USER_NOT_LOGGED_IN,
		pkcs11.CKR_KEY_HANDLE_INVALID, pkcs11.CKR_OBJECT_HANDLE_INVALID) {
		return refusal
	}
	if err := t.present(); err != nil {
		return err
	}
	sealed, err := t.encrypt(sh, key, t.nonces, nil, []byte("probe"))
	if err == nil {
		_, _, err = t.decrypt(sh, key, nil, sealed)
	}
	if err != nil {
		return away(err)
	}
	return hsm.ErrDecrypt
}
