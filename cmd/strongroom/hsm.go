package main

import (
	"os"
	"runtime"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/hsm/cryptoki"
)

// hsmCmd are the commands about hardware security modules.
type hsmCmd struct {
	Probe  hsmProbeCmd  `cmd:"" help:"Say what a PKCS #11 module and a token can do."`
	Slot   hsmSlotCmd   `cmd:"" help:"The tokens that CloudHSM clusters are made of."`
	Helper hsmHelperCmd `cmd:"" hidden:"" help:"Load a PKCS #11 library for the server that has started this."`
}

// helperCommand starts this program as the process that loads a PKCS #11 library.
func helperCommand() []string {
	// On Linux this is the file that runs, also when another has taken its name.
	if runtime.GOOS == "linux" {
		return []string{"/proc/self/exe", "hsm", "helper"}
	}
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return []string{self, "hsm", "helper"}
}

type hsmHelperCmd struct{}

// Run implements the command. What it holds is as secret as what the server does.
func (hsmHelperCmd) Run(a *app) error {
	_ = a.lockMemory() // the server has said in its log when it may not
	return hsm.ServeProcess(cryptoki.Library())
}
