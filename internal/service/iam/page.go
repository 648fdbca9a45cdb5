package iam

import (
	"encoding/base64"
	"strings"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
)

// usualItems is how many items a list answers when it is not told.
const usualItems = 100

// page is what a list operation is asked to answer.
type page struct {
	operation string
	after     string // continue behind this; "" from the start
	limit     int
}

// newPage reads Marker and MaxItems. A marker is bound to the operation and the
// account that it was made for. It says nothing that its reader may not know, and
// one that is made up only starts the same list elsewhere.
func newPage(call *authz.Call, marker string, maxItems *int32) (page, error) {
	p := page{operation: call.Operation + "\x00" + call.Principal.Account + "\x00", limit: usualItems}
	if maxItems != nil {
		p.limit = int(*maxItems)
	}
	if marker == "" {
		return p, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(marker)
	after, ok := strings.CutPrefix(string(raw), p.operation)
	if err != nil || !ok || after == "" {
		return p, awserr.Validation("Invalid Marker.")
	}
	p.after = after
	return p, nil
}

// marker returns the marker that continues behind after.
func (p page) marker(after string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.operation + after))
}

// cut returns the page of a list that is sorted by key, IsTruncated and Marker.
func cut[T any](p page, all []T, key func(T) string) (part []T, truncated bool, marker string) {
	part = []T{}
	for _, item := range all {
		if p.after != "" && key(item) <= p.after {
			continue
		}
		if len(part) == p.limit {
			return part, true, p.marker(key(part[len(part)-1]))
		}
		part = append(part, item)
	}
	return part, false, ""
}
