package tpm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/strongroom/strongroom/internal/secret"
)

// provisionedKey is where a storage key is kept that was made beforehand (TCG TPM v2.0
// Provisioning Guidance, section 7.8).
const provisionedKey = 0x81000001

var (
	errAnotherTPM   = errors.New("its storage key is another one")
	errOwnerAuth    = errors.New("its owner hierarchy asks for an auth value")
	errNoBank       = errors.New("it keeps no SHA-256 values of these PCRs")
	errWrongContent = errors.New("it unseals something else")
	errNotItsOwn    = errors.New("it does not take the sealed object")
)

// errPCRs says which registers have another value than when the root was made.
type errPCRs []int

func (e errPCRs) Error() string { return "PCRs have changed: " + listed(e) }

// storageKey is the primary key that objects are sealed under, in use.
type storageKey struct {
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	public tpm2.TPMTPublic
	flush  func() error
}

// openStorageKey makes the storage key again. One that has been made beforehand is for
// TPMs whose owner hierarchy has an auth value. wanted is its name, or nil for any.
func openStorageKey(t transport.TPM, wanted []byte) (*storageKey, error) {
	key, err := createStorageKey(t)
	if err == nil && (wanted == nil || bytes.Equal(key.name.Buffer, wanted)) {
		return key, nil
	}
	if err == nil {
		err = errors.Join(errAnotherTPM, key.flush())
	} else if errors.Is(err, tpm2.TPMRCBadAuth) || errors.Is(err, tpm2.TPMRCAuthFail) {
		err = errors.Join(errOwnerAuth, err)
	} else {
		return nil, err
	}
	if key := readStorageKey(t); key != nil && (wanted == nil || bytes.Equal(key.name.Buffer, wanted)) {
		return key, nil
	}
	return nil, err
}

func createStorageKey(t transport.TPM) (*storageKey, error) {
	made, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
		InPublic:      tpm2.New2B(tpm2.ECCSRKTemplate),
	}.Execute(t)
	if err != nil {
		return nil, err
	}
	flush := func() error {
		_, err := tpm2.FlushContext{FlushHandle: made.ObjectHandle}.Execute(t)
		return err
	}
	key, err := newStorageKey(made.ObjectHandle, made.OutPublic)
	if err != nil {
		return nil, errors.Join(err, flush())
	}
	key.flush = flush
	return key, nil
}

// readStorageKey returns nil where there is none that is like the template.
func readStorageKey(t transport.TPM) *storageKey {
	read, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(provisionedKey)}.Execute(t)
	if err != nil {
		return nil
	}
	key, err := newStorageKey(provisionedKey, read.OutPublic)
	if err != nil {
		return nil
	}
	like := tpm2.ECCSRKTemplate
	like.Unique = key.public.Unique
	if !bytes.Equal(tpm2.Marshal(like), tpm2.Marshal(key.public)) {
		return nil
	}
	return key
}

// newStorageKey takes the name from the public half: what the TPM says of it has
// crossed the bus in the clear.
func newStorageKey(handle tpm2.TPMHandle, public tpm2.TPM2BPublic) (*storageKey, error) {
	contents, err := public.Contents()
	if err != nil {
		return nil, err
	}
	name, err := tpm2.ObjectName(contents)
	if err != nil {
		return nil, err
	}
	return &storageKey{handle, *name, *contents, func() error { return nil }}, nil
}

// Parameter encryption with AES-128: Create has its secrets in what it is sent, Unseal
// in what it answers.
var (
	encryptedIn  = tpm2.AESEncryption(128, tpm2.EncryptIn)
	encryptedOut = tpm2.AESEncryption(128, tpm2.EncryptOut)
)

// encrypted are the options of a session whose key only the storage key's TPM can
// know, and that proves auth.
func (k *storageKey) encrypted(direction tpm2.AuthOption, auth secret.Bytes) []tpm2.AuthOption {
	return []tpm2.AuthOption{direction, tpm2.Auth(auth), tpm2.Salted(k.handle, k.public)}
}

// sealed makes an object of key under a storage key.
func sealed(t transport.TPM, key, auth secret.Bytes, pcrs []int) (p parameters, err error) {
	p.Auth, p.PCRs = len(auth) > 0, []register{}
	if len(pcrs) > 0 {
		if p.PCRs, err = readPCRs(t, pcrs); err != nil {
			return p, err
		}
	}
	policy, err := p.policy()
	if err != nil {
		return p, err
	}
	storage, err := openStorageKey(t, nil)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, storage.flush()) }()
	bound := len(pcrs) > 0
	made, err := tpm2.Create{
		ParentHandle: tpm2.AuthHandle{Handle: storage.handle, Name: storage.name, Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, storage.encrypted(encryptedIn, nil)...)},
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			UserAuth: tpm2.TPM2BAuth{Buffer: auth},
			Data:     tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: key}),
		}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256, AuthPolicy: tpm2.TPM2BDigest{Buffer: policy},
			ObjectAttributes: tpm2.TPMAObject{
				FixedTPM: true, FixedParent: true,
				UserWithAuth: !bound, AdminWithPolicy: bound, // else the policy could be left out
				NoDA: !p.Auth, // nothing to guess: others' guesses must not lock it
			},
		}),
	}.Execute(t)
	if err != nil {
		return p, err
	}
	p.Primary, p.Public, p.Private = storage.name.Buffer, made.OutPublic.Bytes(), made.OutPrivate.Buffer
	return p, nil
}

// unsealed returns the key of an object.
func unsealed(t transport.TPM, p parameters, auth secret.Bytes) (key secret.Bytes, err error) {
	storage, err := openStorageKey(t, p.Primary)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, storage.flush()) }()
	if len(p.PCRs) > 0 {
		if err := checkPCRs(t, p.PCRs); err != nil {
			return nil, err
		}
	}
	loaded, err := tpm2.Load{
		ParentHandle: tpm2.AuthHandle{Handle: storage.handle, Name: storage.name, Auth: tpm2.PasswordAuth(nil)},
		InPrivate:    tpm2.TPM2BPrivate{Buffer: p.Private},
		InPublic:     tpm2.BytesAs2B[tpm2.TPMTPublic](p.Public),
	}.Execute(t)
	if about := new(tpm2.TPMFmt1Error); errors.As(err, about) || errors.Is(err, tpm2.TPMRCSensitive) {
		return nil, errors.Join(errNotItsOwn, err) // an error of a parameter, and not of the TPM's state
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		_, flushed := tpm2.FlushContext{FlushHandle: loaded.ObjectHandle}.Execute(t)
		err = errors.Join(err, flushed)
	}()
	session, end, err := p.session(t, storage, auth)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	out, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: tpm2.TPM2BName{Buffer: p.name()}, Auth: session}}.Execute(t)
	if err != nil {
		return nil, err
	}
	return out.OutData.Buffer, nil
}

// session authorises the use of the object. What begins a policy is ended here also
// when it fails: a TPM without a resource manager has three sessions.
func (p parameters) session(t transport.TPM, storage *storageKey, auth secret.Bytes) (tpm2.Session, func() error, error) {
	if len(p.PCRs) == 0 {
		return tpm2.HMACSession(t, tpm2.TPMAlgSHA256, 16, storage.encrypted(encryptedOut, auth)...)
	}
	session, end, err := tpm2.PolicySession(t, tpm2.TPMAlgSHA256, 16, storage.encrypted(encryptedOut, auth)...)
	if err != nil {
		return nil, nil, err
	}
	_, err = tpm2.PolicyPCR{PolicySession: session.Handle(), Pcrs: selection(p.pcrs())}.Execute(t)
	if err == nil && p.Auth {
		_, err = tpm2.PolicyAuthValue{PolicySession: session.Handle()}.Execute(t)
	}
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return session, end, nil
}

// policy is the digest of what session does.
func (p parameters) policy() ([]byte, error) {
	if len(p.PCRs) == 0 {
		return nil, nil
	}
	values := sha256.New()
	for _, r := range p.PCRs {
		values.Write(r.Value)
	}
	policy, err := tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256)
	if err != nil {
		return nil, err
	}
	if err := (tpm2.PolicyPCR{Pcrs: selection(p.pcrs()), PcrDigest: tpm2.TPM2BDigest{Buffer: values.Sum(nil)}}).Update(policy); err != nil {
		return nil, err
	}
	if p.Auth {
		if err := (tpm2.PolicyAuthValue{}).Update(policy); err != nil {
			return nil, err
		}
	}
	return policy.Hash().Digest, nil
}

func selection(pcrs []int) tpm2.TPMLPCRSelection {
	numbers := make([]uint, len(pcrs))
	for i, n := range pcrs {
		numbers[i] = uint(n)
	}
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(numbers...)}}}
}

// readPCRs reads one register at a time: a TPM answers with as many as it likes.
func readPCRs(t transport.TPM, pcrs []int) ([]register, error) {
	registers := make([]register, len(pcrs))
	for i, n := range pcrs {
		read, err := tpm2.PCRRead{PCRSelectionIn: selection([]int{n})}.Execute(t)
		if err != nil {
			return nil, fmt.Errorf("reading PCR %d: %w", n, err)
		}
		if len(read.PCRValues.Digests) != 1 || len(read.PCRValues.Digests[0].Buffer) != sha256.Size {
			return nil, errNoBank
		}
		registers[i] = register{n, read.PCRValues.Digests[0].Buffer}
	}
	return registers, nil
}

// checkPCRs says what the TPM would not: which registers have changed.
func checkPCRs(t transport.TPM, were []register) error {
	are, err := readPCRs(t, parameters{PCRs: were}.pcrs())
	if err != nil {
		return err
	}
	var changed errPCRs
	for i := range were {
		if !bytes.Equal(were[i].Value, are[i].Value) {
			changed = append(changed, were[i].PCR)
		}
	}
	if len(changed) > 0 {
		return changed
	}
	return nil
}
