package iam

import (
	"context"
	"errors"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/totp"
)

const (
	mfaCollection = "iam-mfa-device"
	mfaType       = "mfa"
	byUser        = "by-user" // MFA devices: the unique id of their user

	// mfaSeed is the length of a device's key, in bytes: 64 characters of base32.
	mfaSeed = 40
	// maxDeviceName is how long a serial number lets a device's name be, in characters.
	maxDeviceName = 226
	// maxUserDevices is a quota (IAM quotas).
	maxUserDevices = 8
	maxDevices     = 10_000
	// usualDrift is how many steps a code may be early or late, setDrift how many
	// when a device is enabled or set right.
	usualDrift = 1
	setDrift   = 20
)

// mfaRecord is a virtual MFA device. Its id in the collection is the name in lower
// case.
type mfaRecord struct {
	Name    string    `json:"name"`
	Path    string    `json:"path"`
	ID      string    `json:"id"` // what the seed is bound to
	Created time.Time `json:"created"`
	// Seed is the device's key, sealed.
	Seed []byte `json:"seed"`
	Tags []tag  `json:"tags,omitempty"`
	// User is the unique id of the user that it is enabled for; empty for none.
	User    string    `json:"user,omitempty"`
	Enabled time.Time `json:"enabled,omitzero"`
	// Drift is how many time steps the device is ahead. Last is the step of the last
	// code that was taken: no code is taken twice.
	Drift int64 `json:"drift,omitempty"`
	Last  int64 `json:"last,omitempty"`
}

var (
	mfaRecords = store.NewCollection(mfaCollection, 1, store.Index[mfaRecord]{
		Name: byUser,
		Values: func(_ string, d mfaRecord) []string {
			if d.User == "" {
				return nil
			}
			return []string{d.User}
		},
	})
	mfaDevices = &entity[mfaRecord]{
		records: mfaRecords,
		tags:    func(r *mfaRecord) *[]tag { return &r.Tags },
		missing: func(serial string) *awserr.Error {
			return api.NoSuchEntityException("VirtualMFADevice with serial number " + serial + " doesn't exist.")
		},
	}
)

func mfaBinding(account, id string) []byte { return []byte("mfa/" + account + "/" + id) }

// mfaDevice names the device that a request means by its serial number, which is its
// ARN.
func (s *Service) mfaDevice(call *authz.Call, serial string) (one, func(*mfaRecord) string) {
	_, name := pathAndName(serial)
	if name == "" {
		name = "-/-" // no name: hardware devices are not known
	}
	return one{id: strings.ToLower(name), name: serial, arn: serial}, func(r *mfaRecord) string {
		if s.serial(call.Principal.Account, r) != serial {
			return ""
		}
		return serial
	}
}

// serial is a device's serial number.
func (s *Service) serial(account string, d *mfaRecord) string {
	return s.arn(account, mfaType, d.Path, d.Name)
}

// findDevice returns the device with that serial number, or the refusal of one that
// is not there.
func (s *Service) findDevice(r store.Reader, account, serial string) (store.Item[mfaRecord], error) {
	_, name := pathAndName(serial)
	if name == "" {
		return store.Item[mfaRecord]{}, mfaDevices.missing(serial)
	}
	item, err := mfaRecords.GetItem(r, scopeOf(account), strings.ToLower(name))
	if isNotFound(err) || errors.Is(err, store.ErrKey) || err == nil && s.serial(account, &item.Value) != serial {
		return item, mfaDevices.missing(serial)
	}
	return item, err
}

// devicesOf returns the devices of a user.
func devicesOf(r store.Reader, account, user string) ([]store.Item[mfaRecord], error) {
	items, _, err := mfaRecords.ScanIndex(r, scopeOf(account), byUser, user, "", maxUserDevices)
	return items, err
}

// match returns the time step of a device that code is of.
func (s *Service) match(account string, d *mfaRecord, code string, first, last int64) (int64, bool, error) {
	seed, err := s.Secrets.Open(d.Seed, mfaBinding(account, d.ID))
	if err != nil {
		return 0, false, err
	}
	defer seed.Wipe()
	step, ok := totp.Match(seed, code, first, last)
	return step, ok, nil
}

// VerifyCode checks the one-time code that a call of a user brings with the serial
// number of a device. It returns what spends the code, inside the commit of the
// call's effect; a code that was spent is no code. ok is false for a code that
// proves nothing, whatever the reason.
func (s *Service) VerifyCode(ctx context.Context, call *authz.Call, serial, code string) (spend func(tx *store.Tx) (bool, error), ok bool, err error) {
	account := call.Principal.Account
	user, _, _ := strings.Cut(call.Principal.ID, ":")
	var device store.Item[mfaRecord]
	err = s.Store.View(ctx, func(r store.Reader) error {
		var err error
		device, err = s.findDevice(r, account, serial)
		return err
	})
	if awserr.Code(err) == noSuchEntity || err == nil && (device.Value.User == "" || device.Value.User != user) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if !s.guesses.take(account, device.Value.ID, call.Time) {
		return nil, false, nil
	}
	at := totp.Step(call.Time) + device.Value.Drift
	step, right, err := s.match(account, &device.Value, code, max(at-usualDrift, device.Value.Last+1), at+usualDrift)
	if err != nil {
		return nil, false, err
	}
	if right {
		s.guesses.right(account, device.Value.ID)
	}
	return func(tx *store.Tx) (bool, error) {
		now, err := mfaRecords.GetItem(tx, scopeOf(account), device.ID)
		if isNotFound(err) || err == nil && (now.Value.ID != device.Value.ID || now.Value.User != user || now.Value.Last >= step) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		now.Value.Last = step
		return true, mfaRecords.Put(tx, scopeOf(account), device.ID, now.Value)
	}, right, nil
}
