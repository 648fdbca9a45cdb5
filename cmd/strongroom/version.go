package main

import (
	"crypto/fips140"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct {
	JSON bool `help:"Print one JSON object."`
}

func (versionCmd) Help() string {
	return `Example:

    strongroom version --json`
}

// build is what is known of the build that runs.
type build struct {
	Version string `json:"version"`
	// Revision and Time are the commit's; Modified says that the sources differed
	// from it. They are absent from builds outside a checkout.
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// Tags are the build tags, with commas between.
	Tags string `json:"tags,omitempty"`
	FIPS fips   `json:"fips140"`
}

// fips is the state of the Go Cryptographic Module.
type fips struct {
	// Module is the module's version: "latest", or the frozen one that
	// GOFIPS140 chose when this was built.
	Module string `json:"module"`
	// Enabled is FIPS 140-3 mode; Enforced refuses everything outside it.
	Enabled  bool `json:"enabled"`
	Enforced bool `json:"enforced"`
}

func thisBuild() build {
	b := build{
		Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		FIPS: fips{Module: fips140.Version(), Enabled: fips140.Enabled(), Enforced: fips140.Enforced()},
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Revision = setting.Value
		case "vcs.time":
			b.Time = setting.Value
		case "-tags":
			b.Tags = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		}
	}
	return b
}

// Run implements the command.
func (c *versionCmd) Run(a *app) error {
	b := thisBuild()
	if c.JSON {
		return json.NewEncoder(a.stdout).Encode(b)
	}
	state := "off"
	switch {
	case b.FIPS.Enforced:
		state = "enforced"
	case b.FIPS.Enabled:
		state = "on"
	}
	_, err := fmt.Fprintf(a.stdout, "strongroom %s\n", b.Version)
	if err == nil && b.Revision != "" {
		modified := ""
		if b.Modified {
			modified = ", modified since"
		}
		_, err = fmt.Fprintf(a.stdout, "commit %s of %s%s\n", b.Revision, b.Time, modified)
	}
	if err == nil {
		_, err = fmt.Fprintf(a.stdout, "%s %s\nFIPS 140-3 mode %s, cryptographic module %s\n", b.Go, b.Platform, state, b.FIPS.Module)
	}
	if err == nil && b.Tags != "" {
		_, err = fmt.Fprintf(a.stdout, "build tags %s\n", b.Tags)
	}
	return err
}
