package hsm

import "github.com/strongroom/strongroom/internal/secret"

// ProbeRequest says which module to look at, and how closely.
type ProbeRequest struct {
	// Module is the absolute path of the PKCS #11 library; must be set.
	Module string `json:"module"`
	// Token is the one to try; if it names none, the module's tokens are listed.
	Token Token `json:"token"`
	// PIN of the token's user; without it nothing is tried that needs a login. It is
	// not part of the JSON form.
	PIN secret.Bytes `json:"-"`
}

// Report is what a probe has found.
type Report struct {
	Module          string        `json:"module"`
	Library         string        `json:"library"`
	LibraryVersion  string        `json:"libraryVersion"`
	LibraryMaker    string        `json:"libraryMaker"`
	CryptokiVersion string        `json:"cryptokiVersion"`
	Slots           []SlotReport  `json:"slots"`
	Token           *TokenReport  `json:"token,omitempty"`
	Checks          []CheckReport `json:"checks,omitempty"`
}

// SlotReport is a slot with a token in it.
type SlotReport struct {
	Slot        uint64 `json:"slot"`
	Description string `json:"description"`
	TokenLabel  string `json:"tokenLabel"`
	TokenSerial string `json:"tokenSerial"`
	TokenModel  string `json:"tokenModel"`
	TokenMaker  string `json:"tokenMaker"`
	// Initialised is false of a token that has no label and no users yet.
	Initialised bool `json:"initialised"`
	// UserPIN is false of a token whose user cannot log in yet.
	UserPIN bool `json:"userPin"`
	// PINLow, PINFinalTry and PINLocked warn of wrong PINs.
	PINLow      bool `json:"pinLow,omitempty"`
	PINFinalTry bool `json:"pinFinalTry,omitempty"`
	PINLocked   bool `json:"pinLocked,omitempty"`
}

// TokenReport is what the token that was asked for can do.
type TokenReport struct {
	Slot        uint64            `json:"slot"`
	MaxSessions uint64            `json:"maxSessions,omitempty"` // 0: no limit, or none that is told
	Mechanisms  []MechanismReport `json:"mechanisms"`
}

// MechanismReport is one mechanism of a token.
type MechanismReport struct {
	Name string `json:"name"` // CKM_…, or its number
	// The key sizes as the token has them: bits or bytes, by the mechanism.
	MinKeySize uint64 `json:"minKeySize,omitempty"`
	MaxKeySize uint64 `json:"maxKeySize,omitempty"`
	// UsedFor says what Strongroom uses it for; empty for those that it does not use.
	UsedFor string `json:"usedFor,omitempty"`
}

// The results of a check.
const (
	CheckGood    = "good"    // it works
	CheckMissing = "missing" // it does not, and Strongroom needs it
	CheckLess    = "less"    // it does not, and Strongroom does without, with less
	CheckSkipped = "skipped" // it could not be tried
)

// CheckReport is one thing that was tried on the token.
type CheckReport struct {
	Name   string `json:"name"`
	Result string `json:"result"`
	// Detail says what was found, and what follows from it.
	Detail string `json:"detail"`
}

// Usable reports whether keys can be kept in the token, as far as it was tried.
func (r Report) Usable() bool {
	tried := false
	for _, c := range r.Checks {
		if c.Result == CheckMissing {
			return false
		}
		tried = tried || c.Result == CheckGood
	}
	return tried
}
