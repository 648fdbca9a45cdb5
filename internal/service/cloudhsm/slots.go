package cloudhsm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	api "github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/internal/store"
)

// Problem is a refusal that an operator has to act on.
type Problem struct{ what, hint string }

func (p *Problem) Error() string { return p.what }

// Hint says what to do, or which command to type next; it may be empty.
func (p *Problem) Hint() string { return p.hint }

func refuse(hint, format string, args ...any) error {
	return &Problem{fmt.Sprintf(format, args...), hint}
}

// Slot is a token that can become an HSM of a cluster.
type Slot struct {
	// Name is what the operator calls it.
	Name string
	Device
	// Zone is the Availability Zone that it is in: a region of the deployment and a
	// letter.
	Zone string
	// Account is who may have it; if empty, the deployment's first account.
	Account string
	// Cluster and HSM say what it is now, if it is in a cluster.
	Cluster, HSM string
}

// Bounds of what an operator configures. PKCS #11 has labels of 32 bytes and serial
// numbers of 16 (C_GetTokenInfo).
const (
	maxSlots  = 1000
	maxModule = 4096
	maxLabel  = 32
	maxSerial = 16
)

var (
	slotName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)
	accounts = regexp.MustCompile(`^[0-9]{12}$`)
)

func (s *Service) checkSlot(slot *Slot) error {
	region, letter := "", byte(0)
	if n := len(slot.Zone); n > 0 {
		region, letter = slot.Zone[:n-1], slot.Zone[n-1]
	}
	switch {
	case !slotName.MatchString(slot.Name):
		return refuse("for example: rack-1", "%q is not the name of a slot: 1 to 40 lower-case letters, digits and dashes", slot.Name)
	case !filepath.IsAbs(slot.Module) || filepath.Clean(slot.Module) != slot.Module || len(slot.Module) > maxModule || !printable(slot.Module):
		return refuse("for example: /usr/lib/softhsm/libsofthsm2.so", "%q is not the absolute path of a PKCS #11 library", slot.Module)
	case slot.Label == "" && slot.Serial == "" && slot.Number == nil:
		return refuse("give --token-label, --token-serial or --slot-id", "nothing says which token the slot is")
	case len(slot.Label) > maxLabel || len(slot.Serial) > maxSerial || !printable(slot.Label) || !printable(slot.Serial):
		return refuse("", "a token's label has at most %d bytes, its serial number at most %d", maxLabel, maxSerial)
	case !slices.Contains(s.Regions, region) || letter < 'a' || letter > 'z':
		return refuse("an Availability Zone is a region of this server and a letter: "+s.Regions[0]+"a", "%q is not an Availability Zone of this server", slot.Zone)
	case !accounts.MatchString(slot.Account):
		return refuse("strongroom account list", "%q is not an account id: it has 12 digits", slot.Account)
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// AddSlot makes a token known.
func (s *Service) AddSlot(ctx context.Context, slot Slot) (Slot, error) {
	if slot.Account == "" {
		slot.Account = s.Account
	}
	if err := s.checkSlot(&slot); err != nil {
		return Slot{}, err
	}
	record := slotRecord{Name: slot.Name, Device: slot.Device, Zone: slot.Zone, Account: slot.Account, Added: s.Clock.Now()}
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		items, _, err := slotRecords.Scan(tx, everywhere, "", maxSlots)
		if err != nil {
			return err
		}
		if len(items) == maxSlots {
			return refuse("strongroom hsm slot remove", "there are %d slots already", maxSlots)
		}
		for _, item := range items {
			switch other := item.Value; {
			case other.Name == slot.Name:
				return refuse("strongroom hsm slot list", "there is a slot %s already", slot.Name)
			case other.Module == slot.Module && other.Label == slot.Label && other.Serial == slot.Serial && same(other.Number, slot.Number):
				return refuse("strongroom hsm slot list", "the slot %s is this token already", other.Name)
			}
		}
		return slotRecords.Put(tx, everywhere, record.Name, record)
	})
	return record.describe(), err
}

func same(a, b *uint64) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

// RemoveSlot forgets a token that is in no cluster. What it holds stays in it.
func (s *Service) RemoveSlot(ctx context.Context, name string) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		r, err := slotRecords.Get(tx, everywhere, name)
		if errors.Is(err, store.ErrNotFound) {
			return refuse("strongroom hsm slot list", "there is no slot %q", name)
		}
		if err != nil {
			return err
		}
		if r.HSM != "" {
			return refuse("aws cloudhsmv2 delete-hsm --cluster-id "+r.Cluster+" --hsm-id "+r.HSM, "the slot %s is the HSM %s of cluster %s", name, r.HSM, r.Cluster)
		}
		return slotRecords.Delete(tx, everywhere, name)
	})
}

// Slots shows all slots, by name.
func (s *Service) Slots(ctx context.Context) ([]Slot, error) {
	var all []Slot
	err := s.Store.View(ctx, func(r store.Reader) error {
		items, _, err := slotRecords.Scan(r, everywhere, "", maxSlots)
		for _, item := range items {
			all = append(all, item.Value.describe())
		}
		return err
	})
	return all, err
}

func (r *slotRecord) describe() Slot {
	return Slot{Name: r.Name, Device: r.Device, Zone: r.Zone, Account: r.Account, Cluster: r.Cluster, HSM: r.HSM}
}

// take gives an HSM the first slot, by name, that is free in its zone.
func take(tx *store.Tx, r *clusterRecord, h *hsmRecord) error {
	items, _, err := slotRecords.Scan(tx, everywhere, "", maxSlots)
	if err != nil {
		return err
	}
	for _, item := range items {
		slot := item.Value
		if slot.HSM != "" || slot.Zone != h.Zone || slot.Account != r.Account {
			continue
		}
		slot.Cluster, slot.HSM = r.ID, h.ID
		h.Slot, h.Device = slot.Name, slot.Device
		return slotRecords.Put(tx, everywhere, slot.Name, slot)
	}
	return api.CloudHsmServiceException("There is no free HSM in " + h.Zone + ".")
}

// free gives a slot back.
func free(tx *store.Tx, name string) error {
	slot, err := slotRecords.Get(tx, everywhere, name)
	if err != nil {
		return err
	}
	slot.Cluster, slot.HSM = "", ""
	return slotRecords.Put(tx, everywhere, name, slot)
}
