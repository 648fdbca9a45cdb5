package seal

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

const (
	slotsFormat = 1
	maxName     = 128     // characters in a deployment id or a root id
	maxSlots    = 1 << 20 // bytes of serialised slots
)

// keyslots is the stored form of the domain key: JSON with exactly these members
// in this order, versions ascending from 1, slots ascending by root, no white
// space. Anything else is refused, so that one state has one form.
type keyslots struct {
	Format     int       `json:"format"`
	Deployment string    `json:"deployment"`
	Current    uint32    `json:"current"`
	Versions   []version `json:"versions"`
	// MAC is HMAC-SHA256 under the current version, label keyslots, over this
	// form without MAC.
	MAC []byte `json:"mac"`
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

// wrap returns the stored form of d with one slot for root in each version.
func (d *Domain) wrap(ctx context.Context, root Root) ([]byte, error) {
	id := root.ID()
	if !printable(id) {
		return nil, fmt.Errorf("seal: a root id has 1 to %d printable ASCII characters", maxName)
	}
	s := keyslots{Format: slotsFormat, Deployment: d.deployment, Current: d.current}
	for _, n := range slices.Sorted(maps.Keys(d.keys)) {
		wrapped, err := root.Wrap(ctx, d.keys[n][:], slotAAD(d.deployment, n, id))
		if err != nil {
			return nil, fmt.Errorf("seal: asking %s to wrap version %d of the domain key: %w", root.Describe(), n, err)
		}
		s.Versions = append(s.Versions, version{Version: n, Slots: []slot{{Root: id, Wrapped: wrapped}}})
	}
	mac, err := d.mac(s)
	if err != nil {
		return nil, err
	}
	s.MAC = mac
	return json.Marshal(s)
}

func (d *Domain) mac(s keyslots) ([]byte, error) {
	s.MAC = nil
	body, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	key, err := d.Derive(s.Current, labelSlots)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	h := hmac.New(sha256.New, key)
	h.Write(body)
	return h.Sum(nil), nil
}

func (d *Domain) authentic(s keyslots) bool {
	mac, err := d.mac(s)
	return err == nil && hmac.Equal(mac, s.MAC)
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
	if s.Format != slotsFormat {
		return keyslots{}, &Error{
			problem: fmt.Sprintf("the keyslots have format %d; this build knows format %d", s.Format, slotsFormat),
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

// slotAAD binds a slot to its place: a label, then deployment and root with their
// lengths, and the version.
func slotAAD(deployment string, version uint32, root string) []byte {
	aad := []byte("strongroom/seal/slot/v1")
	for _, s := range []string{deployment, root} {
		aad = binary.BigEndian.AppendUint32(aad, uint32(len(s)))
		aad = append(aad, s...)
	}
	return binary.BigEndian.AppendUint32(aad, version)
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
