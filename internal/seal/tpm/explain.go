package tpm

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/google/go-tpm/tpm2"

	"github.com/strongroom/strongroom/internal/seal"
)

const (
	unchanged = " Nothing was changed."
	orShares  = " If it is gone for good, recovery shares open the folder: strongroom recovery open."
)

// explain says of an error of a conversation with the TPM what to do about it.
func (r *Root) explain(err error) error {
	var pcrs errPCRs
	device := "the TPM " + r.device.path
	switch {
	case errors.Is(err, errNoAnswer):
		return seal.NewError(device+" does not answer", "Look at it: tpm2_getrandom --hex 8. Another program may hold it, or it needs a restart of the machine."+unchanged, errors.Join(seal.ErrRootUnreachable, err))
	case errors.Is(err, fs.ErrNotExist):
		return seal.NewError("there is no TPM at "+r.device.path, "Name it with --seal-tpm-device; ls -l /dev/tpm* shows those that there are."+orShares+unchanged, errors.Join(seal.ErrRootUnreachable, err))
	case errors.Is(err, fs.ErrPermission):
		return seal.NewError("this user may not use "+device, "On most systems the group tss may: usermod -a -G tss USER."+unchanged, errors.Join(seal.ErrRootUnreachable, err))
	case errors.Is(err, errAnotherTPM):
		return seal.NewError(device+" is not the one that holds the root of this deployment, or it was cleared since",
			"Start on the machine whose TPM it was made with."+orShares+unchanged, seal.ErrWrongRoot)
	case errors.Is(err, errOwnerAuth):
		return seal.NewError("the owner hierarchy of "+device+" asks for an auth value, and there is no storage key to use without it",
			"Make the standard one persistent, once: tpm2_createprimary -C o -P OWNER-AUTH -G ecc256:aes128cfb -g sha256 -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt' -c srk.ctx && tpm2_evictcontrol -C o -P OWNER-AUTH -c srk.ctx 0x81000001."+unchanged,
			errors.Join(seal.ErrRootUnreachable, err))
	case errors.As(err, &pcrs), errors.Is(err, tpm2.TPMRCPolicyFail), errors.Is(err, tpm2.TPMRCPCRChanged):
		what := ""
		if len(pcrs) > 0 {
			what = " " + listed(pcrs)
		}
		return seal.NewError("the root in "+device+" does not open: PCRs"+what+" have other values than when it was made, so that other firmware, settings or boot software was started",
			"If that was meant, open the folder with recovery shares, which makes a new root: strongroom recovery open --seal tpm. If it was not, somebody may have changed the machine."+unchanged, seal.ErrWrongRoot)
	case errors.Is(err, errNoBank):
		return seal.NewError(device+" has no SHA-256 values of these PCRs", "tpm2_getcap pcrs shows the banks that are active; the firmware's settings choose them."+unchanged, errors.Join(seal.ErrRootUnreachable, err))
	case errors.Is(err, tpm2.TPMRCLockout):
		return seal.NewError(device+" refuses every auth value for a while, because too many wrong ones were given",
			"tpm2_getcap properties-variable shows after how many seconds it forgets one (TPM2_PT_LOCKOUT_INTERVAL); its owner can end it: tpm2_dictionarylockout --clear-lockout."+unchanged,
			errors.Join(seal.ErrRootUnreachable, err))
	case errors.Is(err, tpm2.TPMRCAuthFail), errors.Is(err, tpm2.TPMRCBadAuth):
		return seal.NewError("the auth value does not open the root in "+device, "Check the file that --seal-tpm-auth-file names. Each try counts: after some the TPM refuses even the right one for a while."+unchanged, seal.ErrWrongRoot)
	case errors.Is(err, errNotItsOwn), errors.Is(err, errWrongContent), errors.Is(err, tpm2.TPMRCAuthUnavailable), errors.Is(err, tpm2.TPMRCAuthType):
		return corrupt()
	}
	hint := "tpm2_getcap properties-variable shows what state it is in." + unchanged
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		hint = "Nothing listens there: start the emulator." + unchanged
	case errors.Is(err, syscall.EBUSY):
		hint = "Another program has it; with /dev/tpmrm0 several can use it at once." + unchanged
	case errors.Is(err, tpm2.TPMRCInitialize):
		hint = "Its firmware has not started it: tpm2_startup -c does for an emulator." + unchanged
	}
	return seal.NewError(fmt.Sprintf("%s cannot be used: %v", device, err), hint, errors.Join(seal.ErrRootUnreachable, err))
}
