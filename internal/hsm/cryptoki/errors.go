//go:build cgo

package cryptoki

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/pkcs11"

	"github.com/strongroom/strongroom/internal/hsm"
)

// meanings are the return values (PKCS #11 2.40 §5.1) that stand for an error of
// package hsm. What is not here is a Failure.
var meanings = map[pkcs11.Error]error{
	pkcs11.CKR_PIN_INCORRECT: hsm.ErrPIN,
	pkcs11.CKR_PIN_INVALID:   hsm.ErrPIN,
	pkcs11.CKR_PIN_LEN_RANGE: hsm.ErrPIN,
	pkcs11.CKR_PIN_LOCKED:    hsm.ErrPINLocked,
	pkcs11.CKR_PIN_EXPIRED:   hsm.ErrPINLocked,

	pkcs11.CKR_USER_PIN_NOT_INITIALIZED:       hsm.ErrUser,
	pkcs11.CKR_USER_TYPE_INVALID:              hsm.ErrUser,
	pkcs11.CKR_USER_ANOTHER_ALREADY_LOGGED_IN: hsm.ErrLoggedIn,
	pkcs11.CKR_USER_TOO_MANY_TYPES:            hsm.ErrLoggedIn,

	pkcs11.CKR_MECHANISM_INVALID:       hsm.ErrUnsupported,
	pkcs11.CKR_MECHANISM_PARAM_INVALID: hsm.ErrUnsupported,
	pkcs11.CKR_FUNCTION_NOT_SUPPORTED:  hsm.ErrUnsupported,
	pkcs11.CKR_TOKEN_WRITE_PROTECTED:   hsm.ErrUnsupported,

	// The token is gone, or the library has lost its way: load it anew.
	pkcs11.CKR_DEVICE_REMOVED:            hsm.ErrUnavailable,
	pkcs11.CKR_DEVICE_ERROR:              hsm.ErrUnavailable,
	pkcs11.CKR_DEVICE_MEMORY:             hsm.ErrUnavailable,
	pkcs11.CKR_TOKEN_NOT_PRESENT:         hsm.ErrUnavailable,
	pkcs11.CKR_TOKEN_NOT_RECOGNIZED:      hsm.ErrUnavailable,
	pkcs11.CKR_SLOT_ID_INVALID:           hsm.ErrUnavailable,
	pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED:  hsm.ErrUnavailable,
	pkcs11.CKR_GENERAL_ERROR:             hsm.ErrUnavailable,
	pkcs11.CKR_FUNCTION_FAILED:           hsm.ErrUnavailable,
	pkcs11.CKR_HOST_MEMORY:               hsm.ErrUnavailable,
	pkcs11.CKR_OPERATION_ACTIVE:          hsm.ErrUnavailable,
	pkcs11.CKR_OPERATION_NOT_INITIALIZED: hsm.ErrUnavailable,
	pkcs11.CKR_SESSION_HANDLE_INVALID:    hsm.ErrUnavailable,
	pkcs11.CKR_SESSION_CLOSED:            hsm.ErrUnavailable,
	pkcs11.CKR_SESSION_COUNT:             hsm.ErrUnavailable,
	pkcs11.CKR_USER_NOT_LOGGED_IN:        hsm.ErrUnavailable,
}

// explain is the error of a function's return value; nil for nil.
func explain(function string, err error) error {
	if err == nil {
		return nil
	}
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return &hsm.Failure{Function: function, Code: err.Error()}
	}
	failure := &hsm.Failure{Function: function, Code: name(code)}
	if meaning := meanings[code]; meaning != nil {
		return fmt.Errorf("%w: %w", meaning, failure)
	}
	return failure
}

// away makes an error one that says that the HSM is not available.
func away(err error) error {
	if errors.Is(err, hsm.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", hsm.ErrUnavailable, err)
}

// name is the return value's, CKR_…, or its number.
func name(code pkcs11.Error) string {
	// The binding says "pkcs11: 0x5: CKR_GENERAL_ERROR".
	_, text, _ := strings.Cut(code.Error(), "CKR_")
	if text == "" {
		return fmt.Sprintf("%#x", uint(code))
	}
	return "CKR_" + text
}

func is(err error, codes ...pkcs11.Error) bool {
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return false
	}
	for _, c := range codes {
		if c == code {
			return true
		}
	}
	return false
}
