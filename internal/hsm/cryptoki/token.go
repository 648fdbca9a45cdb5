//go:build cgo

package cryptoki

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/secret"
)

// token is a token with its user logged in. It implements [hsm.Slot], in this
// process.
type token struct {
	p    *pkcs11.Ctx
	slot uint
	cfg  hsm.Config
	info hsm.Info
	// nonces says whose nonces GCM uses.
	nonces nonces

	sessions chan *session // the pool; a session that is not open yet is 0
	login    sync.Mutex

	making  sync.Mutex // one key at a time, so that no id is taken twice
	handles sync.Map   // of keys: string(id) → pkcs11.ObjectHandle
	pair    transport
}

var _ hsm.Slot = (*token)(nil)

// session is one of the pool.
type session struct {
	handle pkcs11.SessionHandle
	open   bool
}

// load loads a module.
func load(module string) (*pkcs11.Ctx, error) {
	p := pkcs11.New(module)
	if p == nil {
		return nil, fmt.Errorf("%w: %s is not there, is not for this machine, or has no C_GetFunctionList", hsm.ErrNoModule, module)
	}
	if err := p.Initialize(); err != nil && !is(err, pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED) {
		return nil, away(explain("C_Initialize", err))
	}
	return p, nil
}

// Open is an [hsm.Opener] that loads the module into this process, which can do so
// once for each module.
func Open(_ context.Context, cfg hsm.Config) (hsm.Slot, error) {
	if cfg.PIN == nil || cfg.Sessions < 1 {
		return nil, errors.New("cryptoki: Config.PIN and Config.Sessions must be set")
	}
	p, err := load(cfg.Module)
	if err != nil {
		return nil, err
	}
	t := &token{p: p, cfg: cfg}
	if err := t.start(); err != nil {
		return nil, errors.Join(err, explain("C_Finalize", p.Finalize()))
	}
	return t, nil
}

// start finds the token, logs in and tries what is needed.
func (t *token) start() error {
	slot, info, err := find(t.p, t.cfg.Token)
	if err != nil {
		return err
	}
	t.slot = slot
	if err := t.describe(info); err != nil {
		return err
	}
	if err := t.needs(pkcs11.CKM_AES_KEY_GEN, pkcs11.CKM_AES_GCM); err != nil {
		return err
	}
	n := t.cfg.Sessions
	// A limit of all ones says that none is told (§3.2).
	if most := info.MaxRwSessionCount; most > 0 && most < uint(n) {
		n = int(most)
	}
	t.info.Sessions = n
	t.sessions = make(chan *session, n)
	for range n {
		t.sessions <- &session{}
	}
	return t.with(func(sh pkcs11.SessionHandle) error {
		nonces, err := t.tryGCM(sh)
		t.nonces, t.info.ModuleNonce = nonces, nonces == modules
		return err
	})
}

// find returns the one slot whose token is as it is named.
func find(p *pkcs11.Ctx, named hsm.Token) (uint, pkcs11.TokenInfo, error) {
	slots, err := p.GetSlotList(true)
	if err != nil {
		return 0, pkcs11.TokenInfo{}, explain("C_GetSlotList", err)
	}
	var found []uint
	var its pkcs11.TokenInfo
	for _, slot := range slots {
		info, err := p.GetTokenInfo(slot)
		if err != nil {
			continue // another slot's trouble
		}
		if named.Label != "" && info.Label != named.Label || named.Serial != "" && info.SerialNumber != named.Serial ||
			named.Slot != nil && uint64(slot) != *named.Slot || info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
			continue
		}
		found, its = append(found, slot), info
	}
	switch len(found) {
	case 0:
		return 0, its, fmt.Errorf("%w: %v, among %d tokens", hsm.ErrNoToken, named, len(slots))
	case 1:
		return found[0], its, nil
	}
	return 0, its, fmt.Errorf("%w: %v is not the only one; it takes a serial number too", hsm.ErrNoToken, named)
}

func version(v pkcs11.Version) string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

func (t *token) describe(info pkcs11.TokenInfo) error {
	library, err := t.p.GetInfo()
	if err != nil {
		return explain("C_GetInfo", err)
	}
	t.info = hsm.Info{
		Library: library.LibraryDescription, LibraryVersion: version(library.LibraryVersion),
		LibraryMaker: library.ManufacturerID, CryptokiVersion: version(library.CryptokiVersion),
		Slot: uint64(t.slot), TokenLabel: info.Label, TokenSerial: info.SerialNumber, TokenModel: info.Model,
		TokenMaker: info.ManufacturerID, FirmwareVersion: version(info.FirmwareVersion),
	}
	return nil
}

// needs checks that the token has mechanisms.
func (t *token) needs(mechanisms ...uint) error {
	has, err := t.p.GetMechanismList(t.slot)
	if err != nil {
		return explain("C_GetMechanismList", err)
	}
	known := map[uint]bool{}
	for _, m := range has {
		known[m.Mechanism] = true
	}
	for _, m := range mechanisms {
		if !known[m] {
			return fmt.Errorf("%w: it has no %s", hsm.ErrUnsupported, mechanismName(m))
		}
	}
	return nil
}

// with uses a session of the pool. One that the token does not know any more is
// opened again, once, and use runs a second time: a token may end sessions that are
// idle.
func (t *token) with(use func(pkcs11.SessionHandle) error) error {
	s := <-t.sessions
	defer func() { t.sessions <- s }()
	for again := range 2 {
		if err := t.open(s); err != nil {
			return err
		}
		err := use(s.handle)
		if again > 0 || !is(failureOf(err), pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_USER_NOT_LOGGED_IN) {
			return err
		}
		s.open = false
	}
	return nil
}

// call is an error with the return value that it came from.
type call struct {
	error
	code error
}

func (c *call) Unwrap() error { return c.error }

// failed is explain that remembers the return value, for with.
func failed(function string, err error) error {
	if err == nil {
		return nil
	}
	return &call{explain(function, err), err}
}

func failureOf(err error) error {
	var c *call
	if errors.As(err, &c) {
		return c.code
	}
	return nil
}

// open opens a session and logs in, if that is not done.
func (t *token) open(s *session) error {
	if s.open {
		return nil
	}
	handle, err := t.p.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return explain("C_OpenSession", err)
	}
	// All sessions of a process are logged in together; a token may have ended that.
	t.login.Lock()
	defer t.login.Unlock()
	pin, err := t.cfg.PIN()
	if err != nil {
		return err
	}
	defer pin.Wipe()
	err = t.p.Login(handle, pkcs11.CKU_USER, string(pin))
	if err != nil && !is(err, pkcs11.CKR_USER_ALREADY_LOGGED_IN) {
		_ = t.p.CloseSession(handle) // what Login says is what matters
		return explain("C_Login", err)
	}
	s.handle, s.open = handle, true
	return nil
}

// Info implements [hsm.Slot].
func (t *token) Info(context.Context) (hsm.Info, error) { return t.info, nil }

// present asks the module whether the token is still the one that we logged in to.
func (t *token) present() error {
	info, err := t.p.GetTokenInfo(t.slot)
	if err != nil {
		return away(explain("C_GetTokenInfo", err))
	}
	if info.SerialNumber != t.info.TokenSerial || info.Label != t.info.TokenLabel {
		return fmt.Errorf("%w: another token is in slot %d", hsm.ErrUnavailable, t.slot)
	}
	return nil
}

// Health implements [hsm.Keys].
func (t *token) Health(context.Context) error {
	if err := t.present(); err != nil {
		return err
	}
	return t.with(func(sh pkcs11.SessionHandle) error {
		_, err := t.p.GetSessionInfo(sh)
		return failed("C_GetSessionInfo", err)
	})
}

// Random implements [hsm.Keys].
func (t *token) Random(_ context.Context, n int) (random secret.Bytes, err error) {
	if n < 1 || n > hsm.MaxRandom {
		return nil, hsm.ErrSize
	}
	err = t.with(func(sh pkcs11.SessionHandle) (err error) {
		random, err = t.p.GenerateRandom(sh, n)
		return failed("C_GenerateRandom", err)
	})
	if err == nil && len(random) != n {
		err = fmt.Errorf("%w: C_GenerateRandom gave %d bytes of %d", hsm.ErrUnavailable, len(random), n)
	}
	return random, err
}

// Close implements [hsm.Slot].
func (t *token) Close() error {
	err := explain("C_Finalize", t.p.Finalize())
	t.p.Destroy()
	return err
}
