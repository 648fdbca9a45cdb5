package server

import (
	"crypto/rand"
	"io"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Config is what a server is started with.
type Config struct {
	DataDir string
	Listen  string
	Account string
	Regions []string
	// Seal is the kind of the root: file, passphrase, aws-kms, pkcs11 or tpm; Root says where it is.
	Seal string
	Root RootSettings
	// Store is "pebble", for records in the data folder, or the URL of a database that
	// this node shares with others, to which Database applies.
	Store                           string
	Database                        DatabaseSettings
	TLSCert, TLSKey                 string
	Dev, DevListenAny, InsecureHTTP bool
	// Limits are the entries of --limits, as kms.ParseLimits reads them; without any,
	// only AWS's quotas per key hold.
	Limits []string
	// AttestationRoots is a PEM file of the roots of attestation documents; without
	// it, requests with a Recipient are refused.
	AttestationRoots string
	// SAMLAudiences are what SAML responses name as their audience and recipient;
	// without any, AWS's sign-in endpoints.
	SAMLAudiences []string
	// AuditShip are the sinks that audit records are shipped to, as package ship
	// reads them; Stdout is what "stdout" is among them, and must be set then.
	AuditShip []string
	Stdout    io.Writer
	// AuditRetention is after how many days audit records are removed; 0 for never.
	AuditRetention int
	// CachedKeys is how many keys are kept in memory, most of them packed; if 0,
	// defaultCachedKeys.
	CachedKeys int
	// XKSListen is where keys are offered as external key stores; empty for not at
	// all. It speaks TLS with XKSTLSCert and XKSTLSKey. XKSClientCA, if set, makes
	// callers show a certificate of its authorities; XKSClientNames are the names
	// that it may have, any if there are none.
	XKSListen, XKSTLSCert, XKSTLSKey, XKSClientCA string
	XKSClientNames                                []string
	// XKSRoutes say where the proxies of external key stores are, NAME=HOST:PORT
	// with the name of a host or of a VPC endpoint service. XKSCA has authorities
	// that their certificates are verified with beside the system's; XKSCert and
	// XKSKey are what they are shown when they ask.
	XKSRoutes              []string
	XKSCA, XKSCert, XKSKey string
	// AcceptChangedRecords starts on records that were changed, removed or put back
	// behind Strongroom's back, as they are.
	AcceptChangedRecords bool
	// AcceptEarlierClock starts by the machine's clock although it is behind the newest
	// audit record.
	AcceptEarlierClock bool
	// Metrics is where metrics and profiles are shown; empty for nowhere. It speaks TLS
	// if MetricsTLSCert is set. Whoever asks shows the token in the data folder or, if
	// MetricsClientCA is set, a certificate of its authorities.
	Metrics, MetricsTLSCert, MetricsTLSKey, MetricsClientCA string
	// Log must be set.
	Log *slog.Logger

	// Of tests: the file system of the store, how long a call may wait for it, and how
	// long a start may take for what is overdue. If not set, the machine's,
	// deadline.Waiting and catchUpTime.
	files             vfs.FS
	patience, catchUp time.Duration
}

func (cfg *Config) folder() Folder {
	return Folder{Dir: cfg.DataDir, Seal: cfg.Seal, Root: cfg.Root, Store: cfg.Store, Database: cfg.Database}
}

// What --cached-keys may be.
const (
	defaultCachedKeys = 100_000
	leastCachedKeys   = 100
	mostCachedKeys    = 10_000_000
	// mostUnwrapped bounds the keys whose material is kept unwrapped, some 1 KB each.
	mostUnwrapped = 10_000
)

// cachedKeys is how many keys are kept in memory.
func (cfg *Config) cachedKeys() int {
	if cfg.CachedKeys == 0 {
		return defaultCachedKeys
	}
	return cfg.CachedKeys
}

// rand is the source of all randomness that is handed on.
func (cfg *Config) rand() io.Reader { return rand.Reader }
