// Package server wires Strongroom together: it opens a data folder, recovers
// what is in it and serves, for the daemon and for the public test kit alike.
package server

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	cloudhsmapi "github.com/strongroom/strongroom/api/cloudhsm"
	cloudtrailapi "github.com/strongroom/strongroom/api/cloudtrail"
	iamapi "github.com/strongroom/strongroom/api/iam"
	kmsapi "github.com/strongroom/strongroom/api/kms"
	stsapi "github.com/strongroom/strongroom/api/sts"
	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/deadline"
	"github.com/strongroom/strongroom/internal/delivery"
	"github.com/strongroom/strongroom/internal/front"
	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/journal/index"
	"github.com/strongroom/strongroom/internal/keyring/pkcs11"
	"github.com/strongroom/strongroom/internal/keyring/software"
	"github.com/strongroom/strongroom/internal/keyring/xks"
	"github.com/strongroom/strongroom/internal/metrics"
	"github.com/strongroom/strongroom/internal/oidc"
	"github.com/strongroom/strongroom/internal/operation"
	"github.com/strongroom/strongroom/internal/saml"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/service/cloudhsm"
	"github.com/strongroom/strongroom/internal/service/iam"
	"github.com/strongroom/strongroom/internal/service/kms"
	"github.com/strongroom/strongroom/internal/service/sts"
	trailservice "github.com/strongroom/strongroom/internal/service/trail"
	"github.com/strongroom/strongroom/internal/service/xksproxy"
	"github.com/strongroom/strongroom/internal/ship"
	"github.com/strongroom/strongroom/internal/spool"
	"github.com/strongroom/strongroom/internal/store"
)

// Server is a running server.
type Server struct {
	cfg     Config
	folder  *folder
	domain  *seal.Domain
	store   *store.Store
	journal *journal.Writer
	// appends takes the records of calls that change nothing.
	appends gateway.Records
	// Of a node of a database; nil for the embedded store.
	unfollow     func() // ends what keeps its lease
	local        *store.Store
	localJournal *journal.Writer
	spool        *spool.Spool

	records  *index.Index
	iam      *iam.Service
	kms      *kms.Service
	cloudhsm *cloudhsm.Service
	trail    *trailservice.Service
	delivery *delivery.Service
	ship     *ship.Service
	retain   *retention
	keys     trailKeys
	xks      *xksproxy.Service
	xksTo    *xks.Client
	xksFront *xksFront
	figures  *metrics.Registry
	metrics  *metricsFront
	disk     *disk
	clock    *clock.Shifted
	front    *front.Server
	admin    *admin.Server
	listener net.Listener

	root  rootWatch
	slots keyslots

	certificates certificates
	reload       chan struct{}

	// changes are made to accounts and to the seal one at a time: two rotations would
	// write one file.
	changes sync.Mutex
	// oldest is held for reading while the trail is copied, and for writing while its
	// oldest frames are removed.
	oldest sync.RWMutex

	background sync.WaitGroup
	stop       context.CancelFunc // ends what runs in the background
	stopping   sync.Once
	stopped    chan struct{}
	err        error
}

// Start opens, recovers and listens; it returns when the server can serve.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	// These first: a start that cannot have them leaves no folder behind.
	library, err := software.Ready()
	if err != nil {
		return nil, err
	}
	if library != "" {
		cfg.Log.Info("RSA signatures and decryption are done by a library outside the FIPS 140-3 module", "library", library)
	}
	listener, err := listen("--listen", cfg.Listen)
	if err != nil {
		return nil, err
	}
	s := newServer(cfg)
	s.listener = listener
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, listener.Close(), s.close())
	}
	return s, nil
}

// newServer returns a server that is not open yet.
func newServer(cfg Config) *Server {
	return &Server{
		slots: keyslots{ended: make(chan error, 1)},
		cfg:   cfg, clock: clock.Deployment(), stopped: make(chan struct{}), reload: make(chan struct{}, 1),
		figures: metrics.New(), disk: &disk{clock: machineClock, log: cfg.Log, probe: probeFolder(cfg.DataDir)},
	}
}

func listen(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, problem("the address "+address+" is taken by another program",
			"Stop that program, or choose another port; "+flag+" 127.0.0.1:0 takes a free one.", nil)
	case err != nil:
		return nil, problem("cannot listen on "+address, "Choose an address of this machine with "+flag+".", err)
	}
	return l, nil
}

func (s *Server) open(ctx context.Context) error {
	var err error
	if s.folder, err = openFolder(ctx, &s.cfg); err != nil {
		return err
	}
	s.domain = s.folder.domain
	if err := s.openStore(ctx); err != nil {
		return err
	}
	if err := s.recheckRecords(ctx); err != nil {
		return err
	}
	if s.records, err = openRecords(ctx, s.folder, s.cfg.rand(), s.cfg.Log); err != nil {
		return err
	}
	gate, err := s.openServices(ctx)
	if err != nil {
		return err
	}
	return s.serve(gate)
}

// openStore puts the journal and the store together over the folder's backend.
func (s *Server) openStore(ctx context.Context) error {
	if !s.cfg.AcceptChangedRecords {
		if err := s.folder.checkNewest(ctx); err != nil {
			return err
		}
	}
	signer, err := journalSigner(s.domain)
	if err != nil {
		return err
	}
	if s.journal, err = s.openJournal(ctx, streamName, s.folder.backend, func() []byte { return s.store.LiveState() }); err != nil {
		return err
	}
	s.holdTime()
	public, err := journal.MarshalPublicKey(signer.Public().(ed25519.PublicKey))
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(s.cfg.DataDir, publicKeyFile), public, 0o644); err != nil {
		return fmt.Errorf("write the journal's public key: %w", err)
	}
	if err := s.openRecordStore(ctx); err != nil {
		return err
	}
	s.follow()
	if err := s.openSpool(ctx); err != nil {
		return err
	}
	s.holdTime() // the node's own stream may know a newer one
	if err := s.acceptClock(ctx); err != nil {
		return err
	}
	err = s.recordPending(ctx)
	if errors.Is(err, store.ErrFull) {
		s.cfg.Log.Warn("the last change of the seal is not in the audit trail yet: there is too little space", "error", err)
		err = nil
	}
	return err
}

// openJournal returns the writer of a stream, whose checkpoints sign state too; none if
// that is nil.
func (s *Server) openJournal(ctx context.Context, stream string, frames store.Backend, state func() []byte) (*journal.Writer, error) {
	version := s.domain.Current()
	sealing, err := s.domain.Derive(version, seal.LabelJournalSealing)
	if err != nil {
		return nil, err
	}
	signer, err := journalSigner(s.domain)
	if err != nil {
		return nil, err
	}
	return journal.Open(ctx, journal.Config{
		Deployment: s.domain.Deployment(),
		Stream:     stream,
		Key:        sealing,
		KeyVersion: version,
		PastKey:    journalKey(s.domain),
		Signer:     signer,
		Clock:      s.clock,
		Rand:       s.cfg.rand(),
		Frames:     frames,
		NotFound:   store.ErrNotFound,
		State:      state,
		Recent:     &s.folder.recent,
	})
}

// streamName is the stream of the store: the one that all read.
const streamName = "store"

// firstVersion of the domain key is where those keys come from that must outlast
// its rotation.
const firstVersion = 1

func (s *Server) openServices(ctx context.Context) (*gateway.Gateway, error) {
	partition := authz.PartitionOf(s.cfg.Regions[0])
	secrets, err := s.domain.Box(seal.LabelSigV4Secrets)
	if err != nil {
		return nil, err
	}
	tokens, err := s.domain.Box(seal.LabelSessionTokens)
	if err != nil {
		return nil, err
	}
	issuers := oidc.New(oidc.Config{Clock: machineClock, Log: s.cfg.Log})
	s.iam = iam.New(iam.Config{
		Store: s.store, Secrets: secrets, Tokens: tokens, Issuers: issuers, Uses: accesses{s.records}, Partition: partition, Clock: s.clock, Rand: s.cfg.rand(),
		AnyAccount: s.cfg.Dev,
	})
	err = s.ensureCredentials(ctx)
	if errors.Is(err, store.ErrFull) {
		err = fullDisk(s.cfg.DataDir, err)
	}
	if err != nil {
		return nil, err
	}
	ring, err := software.New(software.Config{Domain: s.domain, Rand: s.cfg.rand(), CacheSize: min(s.cfg.cachedKeys(), mostUnwrapped)})
	if err != nil {
		return nil, err
	}
	markers, err := s.domain.Derive(firstVersion, seal.LabelPagination)
	if err != nil {
		return nil, err
	}
	grantTokens, err := s.domain.Derive(firstVersion, seal.LabelGrantTokens)
	if err != nil {
		return nil, err
	}
	limits, err := kms.ParseLimits(s.cfg.Limits)
	if err != nil {
		return nil, err
	}
	verifier, err := s.attestationVerifier()
	if err != nil {
		return nil, err
	}
	storeSecrets, err := s.domain.Box(seal.LabelKeyStoreSecrets)
	if err != nil {
		return nil, err
	}
	if s.xksTo, err = s.cfg.xksClient(ring, s.figures.Proxies); err != nil {
		return nil, err
	}
	s.cloudhsm = cloudhsm.New(cloudhsm.Config{
		Store: s.store, Account: s.cfg.Account, Regions: s.cfg.Regions, Clock: s.clock, Rand: s.cfg.rand(), MarkerKey: markers,
	})
	inHSMs, err := pkcs11.New(ring)
	if err != nil {
		return nil, err
	}
	s.kms = kms.New(kms.Config{
		ExternalKeys: s.xksTo, KeyStoreSecrets: storeSecrets, Clusters: clusters{s.cloudhsm}, HSMKeys: inHSMs, OpenHSM: s.openHSM,
		Store: s.store, Keyring: ring, Principals: s.iam, Identities: s.iam, Uses: lastUses{s.records, s.store}, Clock: s.clock, Rand: s.cfg.rand(),
		Regions: s.cfg.Regions, MarkerKey: markers, GrantTokenKey: grantTokens, Limits: limits,
		CachedKeys: s.cfg.cachedKeys(), Attestation: verifier, Actions: actions, Log: s.cfg.Log, LeastWindow: s.leastWindow,
	})
	if err := s.openDelivery(); err != nil {
		return nil, err
	}
	lookups, err := s.domain.Box(seal.LabelLookupTokens)
	if err != nil {
		return nil, err
	}
	s.trail = trailservice.New(trailservice.Config{
		Store: s.store, Clock: s.clock, Rand: s.cfg.rand(), Regions: s.cfg.Regions, MarkerKey: markers, Deliveries: s.delivery,
		Records: s.records, Tokens: lookups, Keys: &s.keys,
	})
	if s.xks, err = s.openXKS(ring); err != nil {
		return nil, err
	}
	cfg := gateway.Config{
		Services: []*operation.Service{
			cloudhsmapi.Table(s.cloudhsm), cloudtrailapi.Table(s.trail), iamapi.Table(s.iam), kmsapi.Table(s.kms), stsapi.Table(sts.New(sts.Config{
				Sessions: s.iam, Store: s.store, Verifier: issuers,
				Responses: saml.New(saml.Config{Clock: machineClock, Partition: partition, Audiences: s.cfg.SAMLAudiences}),
			})),
		},
		Regions:       s.cfg.Regions,
		Authenticator: &gateway.Strict{Credentials: s.iam, Clock: machineClock},
		Directory:     s.iam,
		Store:         s.appends,
		Clock:         s.clock,
		Rand:          s.cfg.rand(),
		Log:           s.cfg.Log,
		Ready:         s.ready,
		Warnings:      s.warnings,
		Calls:         s.figures.Calls,
	}
	if limits.Throttle() {
		cfg.Throttle = s.kms.Throttle
	}
	if s.cfg.Dev {
		tools := &devTools{clock: s.clock, reset: s.reset}
		cfg.Authenticator = &lenient{strict: cfg.Authenticator, clock: machineClock, partition: partition, account: s.cfg.Account}
		cfg.Local = tools.serve
		cfg.Disturb = tools.disturb
	}
	s.keys.gate = gateway.New(cfg)
	return s.keys.gate, nil
}

// reset empties a dev server.
func (s *Server) reset(ctx context.Context) error {
	return errors.Join(s.kms.Reset(ctx), s.cloudhsm.Reset(ctx), s.iam.Reset(ctx), s.delivery.Reset(ctx), s.xks.Reset(ctx))
}

// machineClock judges signatures, also where the deployment's clock was moved.
var machineClock clock.Clock = clock.System()

// serve starts everything that runs.
func (s *Server) serve(gate *gateway.Gateway) error {
	var tlsConfig *tls.Config
	if s.cfg.TLSCert != "" {
		certificate, err := s.certificate("main", s.cfg.TLSCert, s.cfg.TLSKey)
		if err != nil {
			return problem("the TLS certificate cannot be used", "Check --tls-cert and --tls-key: PEM files that belong together and that this user can read.", err)
		}
		tlsConfig = front.TLSConfig(certificate)
	}
	var err error
	s.front, err = front.New(front.Config{Handler: s.bounded(gate.Serve), TLS: tlsConfig, Log: s.cfg.Log})
	if err != nil {
		return err
	}
	s.catchUp()
	s.figures.Collect(s.collectFigures)
	background, stop := context.WithCancel(context.Background())
	s.stop = stop
	if err := s.serveXKS(); err != nil {
		return err
	}
	if err := s.serveMetrics(); err != nil {
		return errors.Join(err, s.xksFront.shutdown(background))
	}
	if s.admin, err = s.listenAdmin(); err != nil {
		return errors.Join(err, s.xksFront.shutdown(background), s.metrics.shutdown(background))
	}
	if err := s.store.Ready(background); err != nil {
		s.cfg.Log.Warn("every call is refused until there is more free space", "error", err)
	}
	s.background.Go(func() { s.watchRecords(background) })
	s.background.Go(func() { s.onOneNode(background, s.kms.Run) })
	s.background.Go(func() { s.kms.Tend(background) })
	s.background.Go(func() { s.onOneNode(background, s.delivery.Run) })
	s.background.Go(func() { s.onOneNode(background, s.ship.Run) })
	s.background.Go(func() { s.onOneNode(background, s.retain.run) })
	s.background.Go(func() { s.signIdleTail(background) })
	s.background.Go(func() { s.keepNewest(background) })
	rootCheck := s.clock.Now().Add(rootCheckInterval)
	s.background.Go(func() { s.watchRoot(background, rootCheck) })
	s.warnOfLoneRoot()
	if s.spool != nil {
		s.background.Go(func() { s.spool.Run(background) })
		s.background.Go(func() { s.endWithSeal(background) })
		s.background.Go(func() { s.onOneNode(background, s.recordOrphans) })
	}
	s.background.Go(func() { s.records.Run(background, machineClock) })
	s.background.Go(func() { s.watchClock(background, machineClock) })
	s.background.Go(func() { s.disk.Run(background) })
	s.background.Go(func() { s.followCertificates(background) })
	go func() {
		if err := s.front.Serve(s.listener); err != nil {
			s.cfg.Log.Error("the server stopped serving", "error", err)
			s.finish(err)
		}
	}()
	return nil
}

// catchUpTime is how long a start may take for what fell due while the server was
// stopped. Key stores are connected and material in HSMs is destroyed with it, which
// may have to wait for others.
const catchUpTime = time.Second

// catchUp does that before the first call. Of several nodes the one that leads does it,
// soon after its start; deleted keys and expired material are refused by their dates
// until then.
func (s *Server) catchUp() {
	if s.folder.local != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(s.cfg.catchUp, catchUpTime))
	defer cancel()
	s.kms.CatchUp(ctx)
}

// signAgainAfter is how long signing rests after it failed, on a full disk for one.
const signAgainAfter = 10 * time.Second

// signIdleTail signs what the journal holds when no traffic does. It goes by the
// clock that the journal goes by.
func (s *Server) signIdleTail(ctx context.Context) {
	var rest time.Time
	for ctx.Err() == nil {
		at, unsigned := s.journal.CheckpointDue()
		if !unsigned {
			at = s.clock.Now().Add(journal.CheckpointInterval)
		}
		if at.Before(rest) {
			at = rest
		}
		wake, stop := s.clock.Wake(at)
		select {
		case <-wake:
		case <-ctx.Done():
		}
		stop()
		if ctx.Err() == nil && s.journal.NeedsCheckpoint() {
			if err := s.store.Checkpoint(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("the journal's tail could not be signed; it will be tried again", "error", err)
				rest = s.clock.Now().Add(signAgainAfter)
			}
		}
	}
}

// URL is where the server answers.
func (s *Server) URL() string {
	scheme := "http"
	if s.cfg.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + s.listener.Addr().String()
}

// FirstStart says whether this start made the data folder.
func (s *Server) FirstStart() bool { return s.folder.fresh }

// CredentialsFile is the path of DIR/credentials. Of the nodes of a database one alone
// has it: the one that made the deployment.
func (s *Server) CredentialsFile() string { return filepath.Join(s.cfg.DataDir, credentialsFile) }

// Clock is the deployment's clock, which a dev server's tests may move.
func (s *Server) Clock() *clock.Shifted { return s.clock }

// Notices are the sentences that say what relaxes security.
func (s *Server) Notices() []string {
	var notices []string
	if s.cfg.Dev {
		notices = append(notices, "DEV SERVER: anyone who reaches it is root with the credentials test/test. Never put real keys into it.")
	}
	if s.cfg.DevListenAny {
		notices = append(notices, "--dev-listen-any: the dev server answers beyond this machine.")
	}
	if s.cfg.AcceptChangedRecords {
		notices = append(notices, "--accept-changed-records: records that were changed behind the server's back are taken as they are. Start without it from now on.")
	}
	if s.cfg.AcceptEarlierClock {
		notices = append(notices, "--accept-earlier-clock: the machine's clock is taken as it is, although the audit trail was ahead of it. Start without it from now on.")
	}
	if s.folder.local != nil && s.cfg.Database.NotDurable {
		notices = append(notices, "--store-not-durable: the database may lose what was acknowledged, keys among it.")
	}
	if s.folder.local != nil && s.cfg.Database.PlainTransport {
		notices = append(notices, "--store-plain-transport: whoever is between here and the database may change what it says.")
	}
	if s.cfg.InsecureHTTP && s.cfg.TLSCert == "" {
		notices = append(notices, "--insecure-http: plaintexts and data keys cross the network unencrypted.")
	}
	return notices
}

// Wait returns when the server has stopped: nil after Shutdown.
func (s *Server) Wait() error {
	<-s.stopped
	return s.err
}

// Shutdown finishes what is under way and stops the server. When ctx ends first,
// what is still under way is cut off; what was acknowledged is durable all the
// same.
func (s *Server) Shutdown(ctx context.Context) error {
	err := errors.Join(s.front.Shutdown(ctx), s.xksFront.shutdown(ctx), s.metrics.shutdown(ctx))
	if adminErr := s.admin.Shutdown(ctx); err == nil {
		err = adminErr
	}
	s.finish(nil)
	return errors.Join(err, s.err)
}

// finish closes everything, once.
func (s *Server) finish(cause error) {
	s.stopping.Do(func() {
		s.err = errors.Join(cause, s.close())
		close(s.stopped)
	})
}

func (s *Server) close() error {
	if s.stop != nil {
		s.stop()
	}
	s.background.Wait()
	if s.delivery != nil {
		s.delivery.Close()
	}
	if s.kms != nil {
		s.kms.Close()
	}
	if s.cloudhsm != nil {
		s.cloudhsm.Close()
	}
	if s.xks != nil {
		s.xks.Close()
	}
	if s.xksTo != nil {
		s.xksTo.Close()
	}
	if s.iam != nil {
		s.iam.Close()
	}
	err := s.closeSpool()
	if s.store != nil {
		if _, unsigned := s.journal.CheckpointDue(); unsigned {
			ctx, cancel := context.WithTimeout(context.Background(), deadline.Waiting)
			// All that was acknowledged is durable without it.
			if err := s.store.Checkpoint(ctx); err != nil {
				s.cfg.Log.Warn("the journal's tail could not be signed; the next start signs it", "error", err)
			}
			cancel()
		}
		if s.unfollow != nil {
			s.unfollow()
		}
		err = errors.Join(err, s.store.Close())
		if s.front != nil && err == nil { // it has served
			if err := s.folder.writeNewest(context.Background()); err != nil {
				s.cfg.Log.Warn("what the journal has come to could not be written beside it", "file", newestFile, "error", err)
			}
		}
	}
	if s.folder != nil {
		err = errors.Join(err, s.folder.close())
	}
	return err
}
