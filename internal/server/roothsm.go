package server

import (
	"path/filepath"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/seal/pkcs11"
)

// PKCS11Settings say which token of an HSM.
type PKCS11Settings struct {
	// Module is the path of the vendor's library, Token the token's label, and Serial
	// its serial number, which may be empty where the label is the only one.
	Module, Token, Serial string
	// PINFile holds the PIN of the token's user, with or without an end of line.
	PINFile string
}

// checkPKCS11 says what is wrong with the settings, as a [*SettingError].
func (r RootSettings) checkPKCS11() error {
	s := r.PKCS11
	switch {
	case s.Module == "":
		return refuse("seal-pkcs11-module", "for one: --seal-pkcs11-module /usr/lib/softhsm/libsofthsm2.so", "the PKCS #11 library of the HSM is not named")
	case s.Token == "" && s.Serial == "":
		return refuse("seal-pkcs11-token", "to list those that there are: strongroom hsm probe --module "+s.Module, "the token that holds the root is not named")
	case s.PINFile == "":
		return refuse("seal-pkcs11-pin-file", "", "the file that holds the PIN of the token is not named")
	case len(r.HSMHelper) == 0:
		return refuse("seal", "", "this program cannot load PKCS #11 libraries")
	}
	return nil
}

// hsm is the token that holds the root.
func (r RootSettings) hsm() pkcs11.Config {
	module, err := filepath.Abs(r.PKCS11.Module)
	if err != nil {
		module = r.PKCS11.Module // which is then refused
	}
	return pkcs11.Config{Open: hsm.Open, HSM: hsm.Config{
		Module: module, Token: hsm.Token{Label: r.PKCS11.Token, Serial: r.PKCS11.Serial},
		PIN: hsm.PINFile(r.PKCS11.PINFile), Helper: r.HSMHelper, Sessions: 1,
	}}
}
