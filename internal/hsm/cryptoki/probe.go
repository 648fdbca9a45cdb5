//go:build cgo

package cryptoki

import (
	"context"
	"errors"
	"slices"

	"github.com/miekg/pkcs11"

	"github.com/strongroom/strongroom/internal/hsm"
)

// usedFor says what Strongroom uses a mechanism for.
var usedFor = map[uint]string{
	pkcs11.CKM_AES_KEY_GEN:           "making keys",
	pkcs11.CKM_AES_GCM:               "encrypting and decrypting",
	pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN: "sharing keys between the HSMs of a cluster",
	pkcs11.CKM_RSA_PKCS_OAEP:         "sharing keys between the HSMs of a cluster",
}

// Probe looks at a module and, if it is named, at a token; with a PIN it tries there
// what Strongroom does. What it makes is gone when it returns.
func Probe(ctx context.Context, r hsm.ProbeRequest) (hsm.Report, error) {
	p, err := load(r.Module)
	if err != nil {
		return hsm.Report{}, err
	}
	library, err := p.GetInfo()
	if err != nil {
		return hsm.Report{}, explain("C_GetInfo", err)
	}
	report := hsm.Report{
		Module: r.Module, Library: library.LibraryDescription, LibraryVersion: version(library.LibraryVersion),
		LibraryMaker: library.ManufacturerID, CryptokiVersion: version(library.CryptokiVersion),
	}
	slots, err := p.GetSlotList(true)
	if err != nil {
		return report, explain("C_GetSlotList", err)
	}
	for _, slot := range slots {
		if s, err := slotReport(p, slot); err == nil {
			report.Slots = append(report.Slots, s)
		}
	}
	if r.Token == (hsm.Token{}) {
		return report, nil
	}
	slot, info, err := find(p, r.Token)
	if err != nil {
		return report, err
	}
	if report.Token, err = tokenReport(p, slot, info); err != nil {
		return report, err
	}
	t := &token{p: p, slot: slot}
	t.cfg = hsm.Config{Module: r.Module, Token: r.Token, PIN: hsm.FixedPIN(r.PIN), Sessions: 2}
	report.Checks = t.checks(ctx, len(r.PIN) > 0)
	return report, nil
}

func slotReport(p *pkcs11.Ctx, slot uint) (hsm.SlotReport, error) {
	s, err := p.GetSlotInfo(slot)
	if err != nil {
		return hsm.SlotReport{}, err
	}
	info, err := p.GetTokenInfo(slot)
	if err != nil {
		return hsm.SlotReport{}, err
	}
	has := func(flag uint) bool { return info.Flags&flag != 0 }
	return hsm.SlotReport{
		Slot: uint64(slot), Description: s.SlotDescription, TokenLabel: info.Label, TokenSerial: info.SerialNumber,
		TokenModel: info.Model, TokenMaker: info.ManufacturerID,
		Initialised: has(pkcs11.CKF_TOKEN_INITIALIZED), UserPIN: has(pkcs11.CKF_USER_PIN_INITIALIZED),
		PINLow: has(pkcs11.CKF_USER_PIN_COUNT_LOW), PINFinalTry: has(pkcs11.CKF_USER_PIN_FINAL_TRY), PINLocked: has(pkcs11.CKF_USER_PIN_LOCKED),
	}, nil
}

func tokenReport(p *pkcs11.Ctx, slot uint, info pkcs11.TokenInfo) (*hsm.TokenReport, error) {
	t := &hsm.TokenReport{Slot: uint64(slot)}
	if most := uint64(info.MaxRwSessionCount); most != ^uint64(0) {
		t.MaxSessions = most
	}
	list, err := p.GetMechanismList(slot)
	if err != nil {
		return nil, explain("C_GetMechanismList", err)
	}
	slices.SortFunc(list, func(a, b *pkcs11.Mechanism) int { return int(a.Mechanism) - int(b.Mechanism) })
	const most = 400 // that fit into an answer
	for _, m := range list[:min(len(list), most)] {
		r := hsm.MechanismReport{Name: mechanismName(m.Mechanism), UsedFor: usedFor[m.Mechanism]}
		if sizes, err := p.GetMechanismInfo(slot, []*pkcs11.Mechanism{m}); err == nil {
			r.MinKeySize, r.MaxKeySize = uint64(sizes.MinKeySize), uint64(sizes.MaxKeySize)
		}
		t.Mechanisms = append(t.Mechanisms, r)
	}
	return t, nil
}

// probeID is the id of the key that a probe makes, and takes away again.
var probeID = []byte("strongroom-probe")

// checks tries everything, each as far as what is before it works.
func (t *token) checks(ctx context.Context, pin bool) []hsm.CheckReport {
	var out []hsm.CheckReport
	note := func(name, without string, err error, good string) bool {
		c := hsm.CheckReport{Name: name, Result: hsm.CheckGood, Detail: good}
		if err != nil {
			c.Result, c.Detail = without, err.Error()
		}
		out = append(out, c)
		return err == nil
	}
	if !note("AES keys and AES-GCM", hsm.CheckMissing, t.needs(pkcs11.CKM_AES_KEY_GEN, pkcs11.CKM_AES_GCM), "the token lists both mechanisms") {
		return out
	}
	if !pin {
		note("login", hsm.CheckSkipped, errors.New("without a PIN nothing more can be tried"), "")
		return out
	}
	started := t.start()
	if !errors.Is(started, hsm.ErrUnsupported) {
		if !note("login", hsm.CheckMissing, started, "the token takes the PIN") {
			return out
		}
	}
	whose := "the caller's nonces are used"
	if t.nonces == modules {
		whose = "the module makes the nonces itself"
	}
	if !note("AES-256-GCM", hsm.CheckMissing, started, "it encrypts and decrypts, refuses what was altered; "+whose) {
		return out
	}
	note("durable keys", hsm.CheckMissing, t.tryDurable(ctx), "made, found, used and deleted: sensitive, not extractable")
	_, err := t.Random(ctx, 32)
	note("random bytes", hsm.CheckLess, err, "the token gives them")
	note("sharing of keys", hsm.CheckLess, t.trySharing(ctx), "RSA pairs, RSA-OAEP, and keys that stop being extractable: the HSMs of a cluster can share keys")
	return out
}

func (t *token) tryDurable(ctx context.Context) error {
	if err := t.Destroy(ctx, probeID); err != nil && !errors.Is(err, hsm.ErrNoKey) { // of an earlier probe
		return err
	}
	if err := t.GenerateAES256(ctx, probeID, "strongroom probe"); err != nil {
		return err
	}
	sealed, err := t.EncryptGCM(ctx, probeID, nil, []byte("probe"))
	if err == nil {
		_, err = t.DecryptGCM(ctx, probeID, nil, sealed)
	}
	return errors.Join(err, t.Destroy(ctx, probeID))
}

// trySharing shares a key of the token with itself, under another id.
func (t *token) trySharing(ctx context.Context) error {
	from, to := append(slices.Clone(probeID), "-from"...), append(slices.Clone(probeID), "-to"...)
	pair, err := t.TransportKey(ctx)
	if err != nil {
		return err
	}
	if err := t.GenerateShareable(ctx, from, "strongroom probe"); err != nil {
		return err
	}
	wrapped, err := t.WrapFor(ctx, from, pair.Public)
	if err == nil {
		if err = t.Receive(ctx, pair.Number, to, "strongroom probe", wrapped); err == nil {
			err = errors.Join(t.Lock(ctx, from), t.Destroy(ctx, to))
		}
	}
	return errors.Join(err, t.Destroy(ctx, from))
}
