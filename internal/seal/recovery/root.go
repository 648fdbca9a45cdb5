package recovery

import (
	"bytes"
	"context"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

// Limits of a set: how many shares are needed at least, and made at most.
const (
	MinNeeded = 2
	MaxShares = 32
)

const keySize = 32 // bytes of a private key of MLKEM768-X25519

const suite = "MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"

// Set is a recovery key without its private half, as the keyslots keep it: JSON
// with exactly these members in this order.
type Set struct {
	Suite string `json:"suite"`
	// Needed of Shares shares open.
	Needed int `json:"needed"`
	Shares int `json:"shares"`
	// Made is when, in UTC and seconds.
	Made      time.Time `json:"made"`
	PublicKey []byte    `json:"publicKey"`
}

// ID is the set's root id: "recovery:" and 32 hex digits of a hash of the public
// key.
func (s Set) ID() string {
	sum := sha256.Sum256(append([]byte("strongroom/seal/recovery/set/v1"), s.PublicKey...))
	return string(seal.KindRecovery) + ":" + hex.EncodeToString(sum[:16])
}

// Name is the beginning of ID that shares carry: 8 hex digits.
func (s Set) Name() string { return fmt.Sprintf("%x", s.tag()) }

func (s Set) tag() (tag [setTag]byte) {
	sum := sha256.Sum256(append([]byte("strongroom/seal/recovery/set/v1"), s.PublicKey...))
	copy(tag[:], sum[:])
	return tag
}

func tagOf(deployment string) (tag [deploymentTag]byte) {
	sum := sha256.Sum256([]byte("strongroom/seal/recovery/deployment/v1" + deployment))
	copy(tag[:], sum[:])
	return tag
}

// Root is a recovery key: the public half, which wraps, and with enough shares the
// private one, which unwraps. It is safe for concurrent use.
type Root struct {
	set        Set
	parameters []byte
	public     hpke.PublicKey
	private    hpke.PrivateKey // nil unless Combine has made it
}

var (
	_ seal.Root          = (*Root)(nil)
	_ seal.Parameterised = (*Root)(nil)
	_ seal.WrapOnly      = (*Root)(nil)
)

// New makes a recovery key for a deployment, and the shares of its private half,
// which is then forgotten. randomness gives both, and must be set.
func New(deployment string, needed, shares int, now time.Time, randomness io.Reader) (*Root, []Share, error) {
	if needed < MinNeeded || shares < needed || shares > MaxShares {
		return nil, nil, seal.NewError(
			fmt.Sprintf("there is no set of %d shares of which %d are needed: at least %d are needed, and at most %d made", shares, needed, MinNeeded, MaxShares),
			"For one: strongroom recovery init --shares 5 --needed 3", seal.ErrRootMalformed)
	}
	seed := make(secret.Bytes, keySize)
	defer seed.Wipe()
	if _, err := io.ReadFull(randomness, seed); err != nil {
		return nil, nil, fmt.Errorf("recovery: making a key: %w", err)
	}
	private, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	if err != nil {
		return nil, nil, fmt.Errorf("recovery: making a key: %w", err)
	}
	root, err := newRoot(Set{
		Suite: suite, Needed: needed, Shares: shares, Made: now.UTC().Truncate(time.Second), PublicKey: private.PublicKey().Bytes(),
	})
	if err != nil {
		return nil, nil, err
	}
	points, err := split(seed, needed, shares, randomness)
	if err != nil {
		return nil, nil, fmt.Errorf("recovery: sharing a key: %w", err)
	}
	all := make([]Share, len(points))
	for i, p := range points {
		all[i] = Share{deployment: tagOf(deployment), set: root.set.tag(), needed: needed, point: p}
	}
	return root, all, nil
}

func newRoot(s Set) (*Root, error) {
	parameters, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return Open(seal.RootInfo{ID: s.ID(), Kind: seal.KindRecovery, Parameters: parameters})
}

// Open returns the public half that the keyslots keep: a root that only wraps. Its
// only error is [seal.ErrSlotsCorrupt].
func Open(stored seal.RootInfo) (*Root, error) {
	wrong := seal.NewError("the keyslots are corrupt: the recovery key is not as it was written", "Restore the data from a backup. Nothing was changed.", seal.ErrSlotsCorrupt)
	var s Set
	if err := json.Unmarshal(stored.Parameters, &s); err != nil {
		return nil, wrong
	}
	if again, err := json.Marshal(s); err != nil || !bytes.Equal(again, stored.Parameters) {
		return nil, wrong
	}
	if s.Suite != suite || s.Needed < MinNeeded || s.Shares < s.Needed || s.Shares > MaxShares || s.ID() != stored.ID {
		return nil, wrong
	}
	public, err := hpke.MLKEM768X25519().NewPublicKey(s.PublicKey)
	if err != nil {
		return nil, wrong
	}
	return &Root{set: s, parameters: bytes.Clone(stored.Parameters), public: public}, nil
}

// Combine returns the whole of the recovery key that the keyslots keep, of enough
// of its shares in any order. The error names the share that is of no use, by its
// place in shares from 1, and is a [*seal.Error].
func Combine(stored seal.RootInfo, deployment string, shares []Share) (*Root, error) {
	root, err := Open(stored)
	if err != nil {
		return nil, err
	}
	if err := root.check(deployment, shares); err != nil {
		return nil, err
	}
	points := make([]point, len(shares))
	for i, s := range shares {
		points[i] = s.point
	}
	enough := points[:root.set.Needed]
	seed := at(0, enough)
	defer seed.Wipe()
	private, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	if err != nil || !bytes.Equal(private.PublicKey().Bytes(), root.set.PublicKey) {
		return nil, refusal("these shares do not make the recovery key: one of them is not what was handed out", "Try again with other shares of the set, one exchanged at a time.")
	}
	for i, p := range points[root.set.Needed:] {
		if !at(p.x, enough).Equal(p.y) {
			return nil, refusal(fmt.Sprintf("share %d is not what was handed out", root.set.Needed+i+1), "The others open. Replace the set: strongroom recovery init --replace")
		}
	}
	root.private = private
	return root, nil
}

func refusal(problem, hint string) error {
	return seal.NewError(problem, hint, seal.ErrWrongRoot)
}

func (r *Root) check(deployment string, shares []Share) error {
	seen := map[byte]int{}
	for i, s := range shares {
		switch {
		case s.deployment != tagOf(deployment):
			return refusal(fmt.Sprintf("share %d is of another deployment", i+1), "This is deployment "+deployment+".")
		case s.set != r.set.tag() || s.needed != r.set.Needed:
			return refusal(fmt.Sprintf("share %d is of set %s, and the set in force is %s", i+1, s.Set(), r.set.Name()), "Shares of a set that was replaced open only copies of the data folder from before.")
		case seen[s.point.x] != 0:
			return refusal(fmt.Sprintf("shares %d and %d are the same one", seen[s.point.x], i+1), "Each holder's share counts once.")
		}
		seen[s.point.x] = i + 1
	}
	if len(shares) < r.set.Needed {
		return refusal(fmt.Sprintf("%d shares are too few: %d are needed", len(shares), r.set.Needed), "Ask the other holders of set "+r.set.Name()+".")
	}
	return nil
}

// Set returns what the keyslots keep of the key.
func (r *Root) Set() Set { return r.set }

// ID implements [seal.Root].
func (r *Root) ID() string { return r.set.ID() }

// Describe implements [seal.Root].
func (r *Root) Describe() string { return "the recovery key of set " + r.set.Name() }

// Parameters implements [seal.Parameterised].
func (r *Root) Parameters() []byte { return bytes.Clone(r.parameters) }

// WrapOnly implements [seal.WrapOnly].
func (r *Root) WrapOnly() bool { return r.private == nil }

func (r *Root) info(place seal.Place) []byte {
	return append([]byte("strongroom/seal/recovery/v1"), place.AAD(r.ID())...)
}

// Wrap implements [seal.Root].
func (r *Root) Wrap(_ context.Context, plaintext secret.Bytes, place seal.Place) ([]byte, error) {
	return hpke.Seal(r.public, hpke.HKDFSHA256(), hpke.AES256GCM(), r.info(place), plaintext)
}

var errPublic = errors.New("recovery: the shares have not been given")

// Unwrap implements [seal.Root].
func (r *Root) Unwrap(_ context.Context, wrapped []byte, place seal.Place) (secret.Bytes, error) {
	if r.private == nil {
		return nil, errPublic
	}
	opened, err := hpke.Open(r.private, hpke.HKDFSHA256(), hpke.AES256GCM(), r.info(place), wrapped)
	if err != nil {
		return nil, seal.ErrUnwrap
	}
	return opened, nil
}

// Format implements fmt.Formatter: fmt would print unexported fields raw.
func (r *Root) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.Describe()) }
