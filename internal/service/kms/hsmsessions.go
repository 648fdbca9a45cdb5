package kms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/store"
)

// hsmSessions are the HSMs that this process is logged in to, by the key stores that
// they are of. Whether a key store is connected stands in its record alone: a session
// is made when it is needed and is not there, as after a restart.
type hsmSessions struct {
	mu   sync.Mutex
	open map[string]*hsmSession
}

// hsmSession is kmsuser, logged in to the HSMs of a cluster.
type hsmSession struct {
	// turn is held by whoever logs in or out.
	turn chan struct{}
	// members are the HSMs that were tried, by their ids; under turn.
	members map[string]*hsmMember
	// now is what callers use.
	now atomic.Pointer[hsmGroup]
}

// hsmMember is an HSM that was tried: slot, or err.
type hsmMember struct {
	slot hsm.Slot
	err  error
	// hopeless says that trying again does harm: a wrong password locks the user.
	hopeless bool
}

// hsmGroup is what is logged in to, as of a version of the cluster and a login.
type hsmGroup struct {
	cluster *Cluster
	login   string
	// keys is nil if no HSM could be logged in to, for which failed is the reason.
	keys   *hsm.Group
	failed error
	slots  map[string]hsm.Slot
	// missing is how many HSMs of the cluster could not be logged in to.
	missing int
}

// has tells whether an HSM is logged in to.
func (g *hsmGroup) has(id string) bool { return g.slots[id] != nil }

// loginOf is what a login was made with: another one is another session.
func (r *keyStoreRecord) loginOf() string { return r.Cluster + "/" + string(r.Password) }

func (h *hsmSessions) of(r *keyStoreRecord) *hsmSession {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := r.Account + "/" + r.Region + "/" + r.ID
	if h.open == nil {
		h.open = map[string]*hsmSession{}
	}
	one := h.open[key]
	if one == nil {
		one = &hsmSession{turn: make(chan struct{}, 1), members: map[string]*hsmMember{}}
		h.open[key] = one
	}
	return one
}

// names are the key stores that have a session, as their scopes and ids.
func (h *hsmSessions) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []string
	for name := range h.open {
		names = append(names, name)
	}
	return names
}

// drop logs out of a key store's HSMs, once whoever is logging in has done so.
func (h *hsmSessions) drop(name string) error {
	h.mu.Lock()
	one := h.open[name]
	delete(h.open, name)
	h.mu.Unlock()
	if one == nil {
		return nil
	}
	one.turn <- struct{}{}
	defer func() { <-one.turn }()
	one.now.Store(nil)
	var err error
	for id := range one.members {
		err = errors.Join(err, one.forget(id))
	}
	return err
}

func (h *hsmSessions) close() error {
	var err error
	for _, name := range h.names() {
		err = errors.Join(err, h.drop(name))
	}
	return err
}

// forget closes a member; under turn.
func (o *hsmSession) forget(id string) error {
	m := o.members[id]
	delete(o.members, id)
	if m.slot == nil {
		return nil
	}
	return m.slot.Close()
}

// session returns what is logged in to of a key store's cluster. HSMs that were not
// tried before are tried now; those that failed only if again is set. Error:
// store.ErrNotFound for a cluster that is gone.
func (s *Service) session(ctx context.Context, r *keyStoreRecord, again bool) (*hsmGroup, error) {
	if s.Clusters == nil {
		return nil, store.ErrNotFound
	}
	c, err := s.Clusters.Cluster(ctx, r.Account, r.Region, r.Cluster)
	if err != nil {
		return nil, err
	}
	one := s.sessions.of(r)
	if g := one.now.Load(); g != nil && !again && g.cluster.Version == c.Version && g.login == r.loginOf() {
		return g, nil
	}
	select {
	case one.turn <- struct{}{}:
		defer func() { <-one.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", hsm.ErrUnavailable, ctx.Err())
	}
	old := one.now.Load()
	if old != nil && !again && old.cluster.Version == c.Version && old.login == r.loginOf() {
		return old, nil // somebody else has done it
	}
	if err := s.renew(ctx, one, old, c, r, again); err != nil {
		return nil, err
	}
	return one.now.Load(), nil
}

// renew logs in to the HSMs of c and out of others, and says in the session what came
// of it; under turn.
func (s *Service) renew(ctx context.Context, one *hsmSession, old *hsmGroup, c *Cluster, r *keyStoreRecord, again bool) error {
	wanted := map[string]bool{}
	for _, h := range c.HSMs {
		wanted[h.ID] = true
	}
	for id := range one.members {
		if !wanted[id] || old != nil && old.login != r.loginOf() {
			if err := one.forget(id); err != nil {
				s.Log.Warn("logging out of an HSM has failed", "store", r.Name, "hsm", id, "error", err)
			}
		}
	}
	g := &hsmGroup{cluster: c, login: r.loginOf(), slots: map[string]hsm.Slot{}}
	var slots []hsm.Slot
	for i := range c.HSMs {
		h := &c.HSMs[i]
		m := one.members[h.ID]
		if m == nil || m.slot == nil && again && !m.hopeless {
			m = s.logIn(ctx, r, h, m)
			if m.slot == nil && ctx.Err() != nil {
				// Nothing was learnt of the HSM.
				return fmt.Errorf("%w: %w", hsm.ErrUnavailable, ctx.Err())
			}
			one.members[h.ID] = m
		}
		if m.slot == nil {
			g.missing++
			// What makes trying again harmful is the reason to name.
			if g.failed == nil || m.hopeless {
				g.failed = m.err
			}
			continue
		}
		g.slots[h.ID] = m.slot
		slots = append(slots, m.slot)
	}
	if len(slots) > 0 {
		var err error
		if g.keys, err = hsm.NewGroup(0, slots...); err != nil {
			return err
		}
	}
	one.now.Store(g)
	return nil
}

// logIn logs in to an HSM. before is what came of it the last time, nil if nothing did.
func (s *Service) logIn(ctx context.Context, r *keyStoreRecord, h *ClusterHSM, before *hsmMember) *hsmMember {
	password, err := s.password(r)
	if err != nil {
		return &hsmMember{err: err}
	}
	defer password.Wipe()
	bounded, cancel := context.WithTimeout(ctx, logInPatience)
	defer cancel()
	slot, err := s.OpenHSM(bounded, hsm.Config{Module: h.Module, Token: h.Token, PIN: hsm.FixedPIN(password)})
	if err == nil {
		s.Clusters.Report(h.ID, "")
		return &hsmMember{slot: slot}
	}
	if ctx.Err() == nil {
		s.Clusters.Report(h.ID, unanswered(err))
	}
	if before == nil || before.err == nil || before.err.Error() != err.Error() {
		s.Log.Warn("cannot log in to an HSM of a custom key store", "store", r.Name, "cluster", r.Cluster, "hsm", h.ID, "error", err)
	}
	hopeless := errors.Is(err, hsm.ErrPIN) || errors.Is(err, hsm.ErrPINLocked) || errors.Is(err, hsm.ErrUser)
	return &hsmMember{err: err, hopeless: hopeless}
}

// logInPatience is how long an HSM may take to be logged in to.
const logInPatience = 20 * time.Second

// logInErrors are how a login fails, with what DescribeCustomKeyStores and
// DescribeClusters say of it.
var logInErrors = []struct {
	err  error
	code api.ConnectionErrorCodeType
	why  string
}{
	{hsm.ErrPIN, api.ConnectionErrorCodeTypeInvalidCredentials, "The password of kmsuser is wrong."},
	{hsm.ErrPINLocked, api.ConnectionErrorCodeTypeUserLockedOut, "kmsuser is locked out."},
	{hsm.ErrUser, api.ConnectionErrorCodeTypeUserNotFound, "There is no kmsuser."},
	{hsm.ErrLoggedIn, api.ConnectionErrorCodeTypeUserLoggedIn, "Another user is logged in."},
	{hsm.ErrNoModule, api.ConnectionErrorCodeTypeInternalError, "The PKCS #11 module cannot be loaded."},
	{hsm.ErrUnavailable, api.ConnectionErrorCodeTypeNetworkErrors, "The HSM does not answer."},
	{hsm.ErrNoToken, api.ConnectionErrorCodeTypeNetworkErrors, "The HSM does not answer."},
	{store.ErrNotFound, api.ConnectionErrorCodeTypeClusterNotFound, ""},
}

// logInError is why a key store cannot be connected to its cluster.
func logInError(err error) api.ConnectionErrorCodeType {
	for _, e := range logInErrors {
		if errors.Is(err, e.err) {
			return e.code
		}
	}
	return api.ConnectionErrorCodeTypeInternalError
}

// unanswered says what to show of an HSM that cannot be used.
func unanswered(err error) string {
	for _, e := range logInErrors {
		if e.why != "" && errors.Is(err, e.err) {
			return e.why
		}
	}
	return "The HSM cannot be used."
}

// tryCluster logs in to the HSMs of a key store that is being connected, afresh. One
// is enough, unless a password is refused: that is the same for all.
func (s *Service) tryCluster(ctx context.Context, r *keyStoreRecord) (api.ConnectionErrorCodeType, error) {
	if err := s.sessions.drop(r.Account + "/" + r.Region + "/" + r.ID); err != nil {
		s.Log.Warn("logging out of the HSMs of a custom key store has failed", "store", r.Name, "error", err)
	}
	g, err := s.session(ctx, r, false)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return logInError(err), nil
	case len(g.cluster.HSMs) == 0:
		return api.ConnectionErrorCodeTypeInsufficientCloudhsmHsms, nil
	case g.failed == nil:
		return "", nil
	}
	if code := logInError(g.failed); g.keys == nil || code != api.ConnectionErrorCodeTypeNetworkErrors {
		return code, s.sessions.drop(r.Account + "/" + r.Region + "/" + r.ID)
	}
	return "", nil
}

// scopeOf splits the name of a session.
func scopeOf(name string) (in store.Scope, id string) {
	parts := strings.SplitN(name, "/", 3)
	return scope(parts[0], parts[1]), parts[2]
}
