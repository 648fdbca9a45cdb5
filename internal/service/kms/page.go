package kms

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
)

// page is what a list operation is asked to answer.
type page struct {
	after string // continue behind this id; "" from the start
	limit int
	seal  func(after string) string
}

// page reads Limit and Marker. An absent limit is usual; one above most, which
// the model lets through up to 1,000, counts as most.
//
// A marker is authenticated and bound to the operation, account and region that
// it was made for, so that no one can make up a place to continue at.
func (s *Service) page(call *authz.Call, limit *int32, marker string, usual, most int) (*page, error) {
	p := &page{limit: usual}
	if limit != nil {
		p.limit = min(int(*limit), most)
	}
	tag := func(after string) []byte {
		mac := hmac.New(sha256.New, s.MarkerKey)
		for _, part := range []string{call.Operation, call.Principal.Account, call.Region, after} {
			mac.Write([]byte(part))
			mac.Write([]byte{0})
		}
		return mac.Sum(nil)
	}
	p.seal = func(after string) string {
		return base64.RawURLEncoding.EncodeToString(append(tag(after), after...))
	}
	if marker == "" {
		return p, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(marker)
	if err != nil || len(raw) <= sha256.Size {
		return nil, api.InvalidMarkerException("")
	}
	p.after = string(raw[sha256.Size:])
	if !hmac.Equal(tag(p.after), raw[:sha256.Size]) {
		return nil, api.InvalidMarkerException("")
	}
	return p, nil
}

// next returns Truncated and NextMarker for a page that ended with the id last.
func (p *page) next(more bool, last string) (truncated bool, marker string) {
	if more {
		marker = p.seal(last)
	}
	return more, marker
}
