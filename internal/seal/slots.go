package seal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/strongroom/strongroom/internal/secret"
)

const (
	plainFormat         = 1       // no root has parameters
	parameterisedFormat = 2       // some have
	maxName             = 128     // characters in a deployment id or a root id
	maxSlots            = 1 << 20 // bytes of serialised slots
	maxParameters       = 4096    // bytes of a root's parameters
)

// keyslots is the stored form of the domain key: JSON with exactly these members
// in this order, roots ascending by id, versions ascending from 1, slots ascending
// by root, no white space. Anything else is refused, so that one state has one form.
type keyslots struct {
	Format     int    `json:"format"`
	Deployment string `json:"deployment"`
	Current    uint32 `json:"current"`
	// Roots are those roots that have parameters. Without any the format is 1, which
	// earlier releases know.
	Roots    []rootEntry `json:"roots,omitempty"`
	Versions []version   `json:"versions"`
	// MAC is HMAC-SHA256 under the current version, label keyslots, over this
	// form without MAC.
	MAC []byte `json:"mac"`
}

type rootEntry struct {
	ID         string `json:"id"`
	Parameters []byte `json:"parameters"`
}

type version struct {
	Version uint32 `json:"version"`
	Slots   []slot `json:"slots"`
}

type slot struct {
	Root    string `json:"root"`
	Wrapped []byte `json:"wrapped"`
}

func (v version) slot(root string) (slot, bool) {
	for _, s := range v.Slots {
		if s.Root == root {
			return s, true
		}
	}
	return slot{}, false
}

// macOf authenticates s under key, the domain key's current version.
func macOf(key *[keySize]byte, s keyslots) ([]byte, error) {
	s.MAC = nil
	body, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	derived := make(secret.Bytes, keySize)
	defer derived.Wipe()
	if err := derive(derived, key[:], []byte(deriveSalt), string(labelSlots)); err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, derived)
	h.Write(body)
	return h.Sum(nil), nil
}

// parseSlots reads the stored form. What it returns is well formed, not yet
// authentic. Its only error is ErrSlotsCorrupt.
func parseSlots(b []byte) (keyslots, error) {
	if len(b) > maxSlots {
		return keyslots{}, corrupt("they have %d bytes, more than %d", len(b), maxSlots)
	}
	var s keyslots
	if err := json.Unmarshal(b, &s); err != nil {
		return keyslots{}, corrupt("they are not the JSON that they were written as")
	}
	if s.Format != plainFormat && s.Format != parameterisedFormat {
		return keyslots{}, &Error{
			problem: fmt.Sprintf("the keyslots have format %d; this build knows formats %d and %d", s.Format, plainFormat, parameterisedFormat),
			hint:    "A newer release may have written them: start that one, or one newer still.",
			err:     ErrSlotsCorrupt,
		}
	}
	if again, err := json.Marshal(s); err != nil || !bytes.Equal(again, b) {
		return keyslots{}, corrupt("they are not the JSON that they were written as")
	}
	if !printable(s.Deployment) || len(s.Versions) == 0 || s.Current == 0 || uint64(s.Current) > uint64(len(s.Versions)) {
		return keyslots{}, corrupt("deployment or version is out of range")
	}
	if (s.Format == parameterisedFormat) != (len(s.Roots) > 0) {
		return keyslots{}, corrupt("the format does not fit the roots")
	}
	for i, r := range s.Roots {
		if _, slotted := s.Versions[0].slot(r.ID); !slotted || len(r.Parameters) == 0 || len(r.Parameters) > maxParameters || i > 0 && s.Roots[i-1].ID >= r.ID {
			return keyslots{}, corrupt("the roots are out of order")
		}
	}
	for i, v := range s.Versions {
		if uint64(v.Version) != uint64(i)+1 {
			return keyslots{}, corrupt("versions are missing or out of order")
		}
		for j, slot := range v.Slots {
			if !printable(slot.Root) || j > 0 && v.Slots[j-1].Root >= slot.Root {
				return keyslots{}, corrupt("the slots of version %d are out of order", v.Version)
			}
		}
	}
	return s, nil
}

func corrupt(format string, args ...any) error {
	return &Error{
		problem: "the keyslots are corrupt: " + fmt.Sprintf(format, args...),
		hint:    "Restore the data from a backup. Nothing was changed.",
		err:     ErrSlotsCorrupt,
	}
}

// printable reports whether s has 1 to maxName printable ASCII characters and no
// space.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}
