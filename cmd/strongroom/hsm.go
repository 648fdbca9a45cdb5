package main

// hsmCmd are the commands about hardware security modules.
type hsmCmd struct {
	Slot hsmSlotCmd `cmd:"" help:"The tokens that CloudHSM clusters are made of."`
}
