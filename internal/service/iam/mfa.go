package iam

import (
	"context"
	"encoding/base32"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"rsc.io/qr"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/totp"
)

// CreateVirtualMFADevice makes a virtual MFA device that nobody has yet. Its key is
// answered this once: as text in base32, and as a picture of the URI that
// authenticator apps read.
func (s *Service) CreateVirtualMFADevice(ctx context.Context, call *authz.Call, in *api.CreateVirtualMFADeviceInput) (*api.CreateVirtualMFADeviceOutput, error) {
	account, path := call.Principal.Account, pathOr(in.Path)
	serial := s.arn(account, mfaType, path, in.VirtualMFADeviceName)
	tags, err := s.mayCreateEntity(ctx, call, serial, "iam:TagMFADevice", in.Tags)
	if err != nil {
		return nil, err
	}
	if len(in.VirtualMFADeviceName) > maxDeviceName {
		return nil, awserr.Validationf("1 validation error detected: Value at 'virtualMFADeviceName' failed to satisfy constraint: Member must have length less than or equal to %d", maxDeviceName)
	}
	id, err := s.newID("")
	if err != nil {
		return nil, err
	}
	seed := make(secret.Bytes, mfaSeed)
	defer seed.Wipe()
	if _, err := io.ReadFull(s.Rand, seed); err != nil {
		return nil, err
	}
	record := mfaRecord{Name: in.VirtualMFADeviceName, Path: path, ID: id, Created: now(call), Tags: tags}
	if record.Seed, err = s.Secrets.Seal(s.Rand, seed, mfaBinding(account, id)); err != nil {
		return nil, err
	}
	text := base32.StdEncoding.EncodeToString(seed)
	label := "Strongroom:" + in.VirtualMFADeviceName + "@" + account
	picture, err := qr.Encode("otpauth://totp/"+url.PathEscape(label)+"?secret="+text+"&issuer=Strongroom", qr.M)
	if err != nil {
		return nil, err
	}
	key := strings.ToLower(record.Name)
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.CreateVirtualMFADeviceOutput, error) {
		_, err := mfaRecords.Get(tx, scopeOf(account), key)
		if err == nil {
			return nil, api.EntityAlreadyExistsException("MFADevice entity at the same path and name already exists.")
		}
		if !isNotFound(err) {
			return nil, err
		}
		others, _, err := mfaRecords.Scan(tx, scopeOf(account), "", maxDevices)
		if err != nil {
			return nil, err
		}
		if len(others) >= maxDevices {
			return nil, quota("VirtualMFADevicesPerAccount", maxDevices)
		}
		return &api.CreateVirtualMFADeviceOutput{VirtualMFADevice: &api.VirtualMFADevice{
			SerialNumber: serial, Base32StringSeed: secret.Bytes(text), QRCodePNG: picture.PNG(), Tags: shownTags(tags),
		}}, mfaRecords.Put(tx, scopeOf(account), key, record)
	})
}

var errWrongCodes = api.InvalidAuthenticationCodeException("Authentication code for device is not valid.")

// set takes two codes, one shown right after the other, for what a device shows now.
// Neither is taken again.
func (s *Service) set(call *authz.Call, d *mfaRecord, code1, code2 string) error {
	account := call.Principal.Account
	if !s.guesses.take(account, d.ID, call.Time) {
		return errWrongCodes
	}
	at := totp.Step(call.Time)
	for first := max(at-setDrift, d.Last+1); first <= at+setDrift; first++ {
		_, one, err := s.match(account, d, code1, first, first)
		if err != nil {
			return err
		}
		if !one {
			continue
		}
		_, two, err := s.match(account, d, code2, first+1, first+1)
		if err != nil {
			return err
		}
		if two {
			s.guesses.right(account, d.ID)
			d.Drift, d.Last = first+1-at, first+1
			return nil
		}
	}
	return errWrongCodes
}

// EnableMFADevice gives a device to a user, who shows that they have it by two codes.
func (s *Service) EnableMFADevice(ctx context.Context, call *authz.Call, in *api.EnableMFADeviceInput) (*api.EnableMFADeviceOutput, error) {
	account := call.Principal.Account
	return changeIdentity(ctx, s, call, identityChange[*api.EnableMFADeviceOutput]{
		kind: userKind, name: in.UserName,
		edit: edited[api.EnableMFADeviceOutput](func(tx *store.Tx, i *identity) error {
			item, err := s.findDevice(tx, account, in.SerialNumber)
			if err != nil {
				return err
			}
			if item.Value.User != "" {
				return api.EntityAlreadyExistsException("MFA Device is already in use.")
			}
			has, err := devicesOf(tx, account, i.ID)
			if err != nil {
				return err
			}
			if len(has) >= maxUserDevices {
				return quota("MFADevicesPerUser", maxUserDevices)
			}
			if err := s.set(call, &item.Value, in.AuthenticationCode1, in.AuthenticationCode2); err != nil {
				return err
			}
			item.Value.User, item.Value.Enabled = i.ID, now(call)
			return mfaRecords.Put(tx, scopeOf(account), item.ID, item.Value)
		}),
	})
}

// changeDevice changes the device of a user.
func changeDevice[T any](ctx context.Context, s *Service, call *authz.Call, userName, serial string, edit func(d *mfaRecord) error) (*T, error) {
	account := call.Principal.Account
	return changeIdentity(ctx, s, call, identityChange[*T]{
		kind: userKind, name: userName,
		edit: edited[T](func(tx *store.Tx, i *identity) error {
			item, err := s.findDevice(tx, account, serial)
			if err != nil {
				return err
			}
			if item.Value.User != i.ID {
				return api.NoSuchEntityException("MFA device with serial number " + serial + " is not enabled for user " + i.Name + ".")
			}
			if err := edit(&item.Value); err != nil {
				return err
			}
			return mfaRecords.Put(tx, scopeOf(account), item.ID, item.Value)
		}),
	})
}

// ResyncMFADevice sets right what the server takes for a device's time.
func (s *Service) ResyncMFADevice(ctx context.Context, call *authz.Call, in *api.ResyncMFADeviceInput) (*api.ResyncMFADeviceOutput, error) {
	return changeDevice[api.ResyncMFADeviceOutput](ctx, s, call, in.UserName, in.SerialNumber, func(d *mfaRecord) error {
		return s.set(call, d, in.AuthenticationCode1, in.AuthenticationCode2)
	})
}

// DeactivateMFADevice takes a device from a user. Sessions that were made with it
// stay what they are until they end.
func (s *Service) DeactivateMFADevice(ctx context.Context, call *authz.Call, in *api.DeactivateMFADeviceInput) (*api.DeactivateMFADeviceOutput, error) {
	name, err := userOf(call, in.UserName)
	if err != nil {
		return nil, err
	}
	return changeDevice[api.DeactivateMFADeviceOutput](ctx, s, call, name, in.SerialNumber, func(d *mfaRecord) error {
		d.User, d.Enabled, d.Drift = "", time.Time{}, 0
		return nil
	})
}

// userOf returns the name that an operation on a user's devices means; the root has
// none.
func userOf(call *authz.Call, name string) (string, error) {
	name, err := ownName(call, name)
	if err == nil && name == "" {
		err = api.NoSuchEntityException("The root has no MFA devices here. Name a user.")
	}
	return name, err
}

// DeleteVirtualMFADevice deletes a device that nobody has.
func (s *Service) DeleteVirtualMFADevice(ctx context.Context, call *authz.Call, in *api.DeleteVirtualMFADeviceInput) (*api.DeleteVirtualMFADeviceOutput, error) {
	o, arn := s.mfaDevice(call, in.SerialNumber)
	return changeEntity[mfaRecord, api.DeleteVirtualMFADeviceOutput](ctx, s, call, mfaDevices, o, arn,
		func(_ *store.Tx, d *mfaRecord) (*mfaRecord, error) {
			if d.User != "" {
				return nil, api.DeleteConflictException("MFA VirtualDevice in use. Must deactivate first.")
			}
			return nil, nil
		})
}

// ListMFADevices lists the devices of a user; without a name, the caller's.
func (s *Service) ListMFADevices(ctx context.Context, call *authz.Call, in *api.ListMFADevicesInput) (*api.ListMFADevicesOutput, error) {
	name, err := ownName(call, in.UserName)
	if err != nil {
		return nil, err
	}
	out := &api.ListMFADevicesOutput{MFADevices: []api.MFADevice{}}
	if name == "" {
		return out, s.authorize(ctx, call, "", call.Principal.ARN, nil)
	}
	i, err := s.lookup(ctx, call, userKind, name, nil)
	if err != nil {
		return nil, err
	}
	p, err := newPage(call, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var devices []store.Item[mfaRecord]
	err = s.Store.View(ctx, func(r store.Reader) error {
		var err error
		devices, err = devicesOf(r, call.Principal.Account, i.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	part, truncated, marker := cut(p, devices, func(d store.Item[mfaRecord]) string { return d.ID })
	for _, d := range part {
		out.MFADevices = append(out.MFADevices, api.MFADevice{
			UserName: i.Name, SerialNumber: s.serial(call.Principal.Account, &d.Value), EnableDate: d.Value.Enabled,
		})
	}
	out.IsTruncated, out.Marker = truncated, marker
	return out, nil
}

// GetMFADevice tells whose a device is and since when.
func (s *Service) GetMFADevice(ctx context.Context, call *authz.Call, in *api.GetMFADeviceInput) (*api.GetMFADeviceOutput, error) {
	name, err := userOf(call, in.UserName)
	if err != nil {
		return nil, err
	}
	i, err := s.lookup(ctx, call, userKind, name, nil)
	if err != nil {
		return nil, err
	}
	var device store.Item[mfaRecord]
	err = s.Store.View(ctx, func(r store.Reader) error {
		var err error
		device, err = s.findDevice(r, call.Principal.Account, in.SerialNumber)
		return err
	})
	if err != nil {
		return nil, err
	}
	if device.Value.User != i.ID {
		return nil, mfaDevices.missing(in.SerialNumber)
	}
	return &api.GetMFADeviceOutput{UserName: i.Name, SerialNumber: in.SerialNumber, EnableDate: &device.Value.Enabled}, nil
}

// ListVirtualMFADevices lists the account's devices, with the users that have them.
// Keys are not part of the answer.
func (s *Service) ListVirtualMFADevices(ctx context.Context, call *authz.Call, in *api.ListVirtualMFADevicesInput) (*api.ListVirtualMFADevicesOutput, error) {
	account := call.Principal.Account
	if err := s.authorize(ctx, call, "", s.arn(account, mfaType, "/", ""), nil); err != nil {
		return nil, err
	}
	p, err := newPage(call, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &api.ListVirtualMFADevicesOutput{VirtualMFADevices: []api.VirtualMFADevice{}}
	err = s.Store.View(ctx, func(r store.Reader) error {
		items, _, err := mfaRecords.Scan(r, scopeOf(account), "", maxDevices)
		if err != nil {
			return err
		}
		items = slices.DeleteFunc(items, func(d store.Item[mfaRecord]) bool {
			return in.AssignmentStatus == api.AssignmentStatusTypeAssigned && d.Value.User == "" ||
				in.AssignmentStatus == api.AssignmentStatusTypeUnassigned && d.Value.User != ""
		})
		var part []store.Item[mfaRecord]
		part, out.IsTruncated, out.Marker = cut(p, items, func(d store.Item[mfaRecord]) string { return d.ID })
		for _, d := range part {
			shown := api.VirtualMFADevice{SerialNumber: s.serial(account, &d.Value)}
			if d.Value.User != "" {
				item, err := identityRecords.GetItem(r, scopeOf(account), d.Value.User)
				if err != nil {
					return err
				}
				shown.User, shown.EnableDate = s.identityOf(account, item).user(), &d.Value.Enabled
				shown.User.Tags, shown.User.PermissionsBoundary = nil, nil
			}
			out.VirtualMFADevices = append(out.VirtualMFADevices, shown)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// TagMFADevice adds tags to a device, or gives them new values.
func (s *Service) TagMFADevice(ctx context.Context, call *authz.Call, in *api.TagMFADeviceInput) (*api.TagMFADeviceOutput, error) {
	o, arn := s.mfaDevice(call, in.SerialNumber)
	return tagEntity[mfaRecord, api.TagMFADeviceOutput](ctx, s, call, mfaDevices, o, arn, in.Tags)
}

// UntagMFADevice removes tags from a device.
func (s *Service) UntagMFADevice(ctx context.Context, call *authz.Call, in *api.UntagMFADeviceInput) (*api.UntagMFADeviceOutput, error) {
	o, arn := s.mfaDevice(call, in.SerialNumber)
	return untagEntity[mfaRecord, api.UntagMFADeviceOutput](ctx, s, call, mfaDevices, o, arn, in.TagKeys)
}

// ListMFADeviceTags lists a device's tags by their keys.
func (s *Service) ListMFADeviceTags(ctx context.Context, call *authz.Call, in *api.ListMFADeviceTagsInput) (*api.ListMFADeviceTagsOutput, error) {
	o, arn := s.mfaDevice(call, in.SerialNumber)
	tags, truncated, marker, err := listEntityTags(ctx, s, call, mfaDevices, o, arn, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListMFADeviceTagsOutput{Tags: tags, IsTruncated: truncated, Marker: marker}, nil
}
