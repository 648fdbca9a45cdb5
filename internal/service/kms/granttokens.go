package kms

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// A grant token points at a grant. It is the base64 form of
//
//	version (1) ‖ kind of key id (1) ‖ key id (16) ‖ grant id (32) ‖ epoch (8) ‖ nonce (18) ‖ HMAC-SHA256 (32)
//
// where the epoch is the least at which the grant holds, and the MAC also covers
// the region. It is never a right in itself: what it points at is looked up, and
// whoever presents it must be the grantee. So a node whose copy of the key is
// older than the epoch reads the key again, and that is all that a token does.
// The MAC keeps anyone from making nodes do so for grants that never were.
type grantToken struct {
	key   string // canonical key id
	grant string // 64 hex digits
	epoch uint64
}

const (
	tokenVersion = 1
	tokenNonce   = 18
	tokenBody    = 1 + 1 + 16 + 32 + 8 + tokenNonce
	tokenSize    = tokenBody + sha256.Size

	plainKeyID       = 0
	multiRegionKeyID = 1
)

var tokenEncoding = base64.StdEncoding.Strict()

// seal writes the token for region. Two tokens of one grant differ by their
// nonces.
func (t grantToken) seal(macKey []byte, region string, nonce [tokenNonce]byte) (string, error) {
	if len(macKey) != sha256.Size {
		return "", errTokenKey
	}
	raw := make([]byte, 0, tokenSize)
	digits, multiRegion := strings.CutPrefix(t.key, multiRegionPrefix)
	kind := byte(plainKeyID)
	if multiRegion {
		kind = multiRegionKeyID
	}
	raw = append(raw, tokenVersion, kind)
	for _, part := range []string{strings.ReplaceAll(digits, "-", ""), t.grant} {
		var err error
		if raw, err = hex.AppendDecode(raw, []byte(part)); err != nil {
			return "", err
		}
	}
	raw = binary.BigEndian.AppendUint64(raw, t.epoch)
	raw = append(raw, nonce[:]...)
	if len(raw) != tokenBody {
		return "", errors.New("kms: the ids of a grant token have the wrong length")
	}
	return tokenEncoding.EncodeToString(append(raw, tokenMAC(macKey, region, raw)...)), nil
}

var errTokenKey = errors.New("kms: the key of grant tokens must have 32 bytes")

// parseGrantToken opens a token of this deployment and region; ok is false for
// everything else.
func parseGrantToken(macKey []byte, region, text string) (t grantToken, ok bool) {
	if len(macKey) != sha256.Size || len(text) != tokenEncoding.EncodedLen(tokenSize) {
		return t, false
	}
	raw, err := tokenEncoding.DecodeString(text)
	if err != nil || len(raw) != tokenSize {
		return t, false
	}
	body := raw[:tokenBody]
	if !hmac.Equal(tokenMAC(macKey, region, body), raw[tokenBody:]) || body[0] != tokenVersion {
		return t, false
	}
	id := hex.EncodeToString(body[2:18])
	switch body[1] {
	case plainKeyID:
		t.key = id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
	case multiRegionKeyID:
		t.key = multiRegionPrefix + id
	default:
		return t, false
	}
	t.grant = hex.EncodeToString(body[18:50])
	t.epoch = binary.BigEndian.Uint64(body[50:58])
	return t, true
}

func tokenMAC(macKey []byte, region string, body []byte) []byte {
	mac := hmac.New(sha256.New, macKey)
	mac.Write([]byte{byte(len(region))})
	mac.Write([]byte(region))
	mac.Write(body)
	return mac.Sum(nil)
}

// findFor is find, and then withTokens. Tokens that are none are refused before
// anything is looked up: after it, the refusal would tell another account that the
// key is there.
func (s *Service) findFor(ctx context.Context, call *authz.Call, id string, forms naming, tokens []string) (found, error) {
	if err := s.checkTokens(call, tokens); err != nil {
		return found{}, err
	}
	k, err := s.find(ctx, call, id, forms)
	if err != nil {
		return found{}, err
	}
	return s.withTokens(ctx, call, k, tokens)
}

// checkTokens refuses tokens that this deployment did not make for the region.
func (s *Service) checkTokens(call *authz.Call, tokens []string) error {
	for _, text := range tokens {
		if _, ok := parseGrantToken(s.GrantTokenKey, call.Region, text); !ok {
			return api.InvalidGrantTokenException("")
		}
	}
	return nil
}

// withTokens returns k as new as the grant tokens of a request know it. A token
// that this deployment did not make for the region is refused; one of another key,
// or of a grant that is gone, has no effect.
func (s *Service) withTokens(ctx context.Context, call *authz.Call, k found, tokens []string) (found, error) {
	for _, text := range tokens {
		t, ok := parseGrantToken(s.GrantTokenKey, call.Region, text)
		if !ok {
			return k, api.InvalidGrantTokenException("")
		}
		if t.key != k.ID || t.epoch <= k.Version {
			continue
		}
		err := s.Store.View(ctx, func(r store.Reader) error {
			now, err := readKey(r, k.Account, k.Region, k.ID)
			if err == nil {
				k.key = now
			}
			return err
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return k, err
		}
	}
	return k, nil
}
