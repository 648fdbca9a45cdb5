package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/server"
)

// passphraseVariable holds the passphrase of the seal. It is no setting: it has no
// flag, whose value every user of the machine could read, and no line in a file
// that is not made for secrets.
const passphraseVariable = envPrefix + "SEAL_PASSPHRASE"

// rootSettings are what the flags say of the root.
func (f folder) rootSettings() server.RootSettings {
	return server.RootSettings{
		PassphraseFile: f.SealPassphraseFile,
		KMSKey:         f.SealKMSKey, KMSEndpoint: f.SealKMSEndpoint, KMSRegion: f.SealKMSRegion,
		TPM: server.TPMSettings{Device: f.SealTPMDevice, AuthFile: f.SealTPMAuthFile, PCRs: f.SealTPMPCRs},
		PKCS11: server.PKCS11Settings{
			Module: f.SealPKCS11Module, Token: f.SealPKCS11Token, Serial: f.SealPKCS11Serial, PINFile: f.SealPKCS11PINFile,
		},
		HSMHelper: helperCommand(),
	}
}

// asServer is the folder for commands that open it themselves.
func (f folder) asServer(a *app) server.Folder {
	root := f.rootSettings()
	root.Ask = a.passphrase(f.Seal, f.SealPassphraseFile)
	return server.Folder{Dir: f.Data, Seal: f.Seal, Root: root, Store: f.Store, Database: f.database()}
}

// database is what the flags say of a database.
func (f folder) database() server.DatabaseSettings {
	return server.DatabaseSettings{Lease: f.Lease, PlainTransport: f.StorePlainTransport, NotDurable: f.StoreNotDurable}
}

// passphrase is how the passphrase is had when no file holds it; nil when there is
// no need of one.
func (a *app) passphrase(kind, file string) func(fresh bool) (secret.Bytes, error) {
	if kind != "passphrase" || file != "" {
		return nil
	}
	return func(fresh bool) (secret.Bytes, error) {
		for _, entry := range a.env {
			if value, ok := strings.CutPrefix(entry, passphraseVariable+"="); ok && value != "" {
				return secret.Bytes(value), nil
			}
		}
		return a.askPassphrase("Passphrase", fresh)
	}
}

// askPassphrase asks on the terminal, twice for a fresh one.
func (a *app) askPassphrase(name string, fresh bool) (secret.Bytes, error) {
	if a.hidden == nil {
		return nil, &problem{
			what: "there is no passphrase, and no terminal to ask for it",
			hint: "name a file that holds it: --seal-passphrase-file FILE, or for a new one --to-passphrase-file FILE",
		}
	}
	first, err := a.askHidden(name + ": ")
	if err != nil || !fresh {
		return first, err
	}
	second, err := a.askHidden(name + ", once more: ")
	if err != nil {
		return nil, err
	}
	defer second.Wipe()
	if !first.Equal(second) {
		first.Wipe()
		return nil, &problem{what: "the two passphrases differ", hint: "nothing was changed; try again"}
	}
	return first, nil
}

func (a *app) askHidden(question string) (secret.Bytes, error) {
	if _, err := fmt.Fprint(a.stderr, question); err != nil {
		return nil, err
	}
	line, err := a.hidden()
	_, printErr := fmt.Fprintln(a.stderr)
	return line, errors.Join(err, printErr)
}

// hidden reads from the terminal on stdin, if there is one.
func hidden() func() (secret.Bytes, error) {
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return nil
	}
	return func() (secret.Bytes, error) {
		shown, err := term.GetState(fd)
		if err != nil {
			return nil, err
		}
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
		defer signal.Stop(stop)
		type line struct {
			text secret.Bytes
			err  error
		}
		read := make(chan *line, 1)
		go func() {
			text, err := term.ReadPassword(fd)
			read <- &line{text, err}
		}()
		select {
		case l := <-read:
			return l.text, l.err
		case <-stop: // the terminal must not stay without an echo
			return nil, errors.Join(&problem{what: "stopped; nothing was changed"}, term.Restore(fd, shown))
		}
	}
}
