package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/secret"
)

type sealCmd struct {
	Status  sealStatusCmd  `cmd:"" help:"Say what opens the keys."`
	Rotate  sealRotateCmd  `cmd:"" help:"Make a new version of the domain key."`
	Migrate sealMigrateCmd `cmd:"" help:"Put another root in the place of the one that there is."`
}

// withSeals runs use on the seal of the folder: through the server that runs on it,
// or on the folder itself when none does.
func (f folder) withSeals(a *app, use func(ctx context.Context, s admin.Seals, by admin.Peer) error) error {
	ctx := context.Background()
	if err := f.exists(); err != nil {
		return err
	}
	by := admin.Peer{UID: uint32(os.Getuid()), PID: int32(os.Getpid())}
	client, err := admin.Connect(f.Data)
	if err == nil {
		return use(ctx, client, by)
	}
	if !errors.Is(err, admin.ErrNotRunning) {
		return err
	}
	o, err := a.openOperator(ctx, f.asServer(a))
	if err != nil {
		return err
	}
	return errors.Join(use(ctx, o, by), o.Close())
}

func describeSeal(s admin.Seal) string {
	var text strings.Builder
	fmt.Fprintf(&text, "deployment %s\ndomain key version %d\n", s.Deployment, s.Version)
	for _, r := range s.Roots {
		fmt.Fprintf(&text, "root %s", r.ID)
		if r.Where != "" {
			fmt.Fprintf(&text, " (%s)", r.Where)
		}
		text.WriteByte('\n')
		if r.Problem != "" {
			fmt.Fprintf(&text, "  PROBLEM: %s\n  The server that runs goes on without it, the next start does not. A new root: strongroom seal migrate\n", r.Problem)
		}
	}
	if r := s.Recovery; r != nil {
		fmt.Fprintf(&text, "recovery set %s: any %d of %d shares, made %s\n", r.Set, r.Needed, r.Shares, r.Made.Format(time.RFC3339))
	} else {
		text.WriteString("no recovery key; to make one: strongroom recovery init\n")
	}
	return text.String()
}

type sealStatusCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`
}

func (sealStatusCmd) Help() string {
	return `Example:

    strongroom seal status`
}

// Run implements the command.
func (c *sealStatusCmd) Run(a *app) error {
	return c.withSeals(a, func(ctx context.Context, s admin.Seals, _ admin.Peer) error {
		status, err := s.Seal(ctx)
		if err != nil {
			return err
		}
		return c.print(a, status, func() string { return describeSeal(status) })
	})
}

type sealRotateCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`
}

func (sealRotateCmd) Help() string {
	return `From then on everything is sealed under the new version. What is stored already stays as it is and goes on to open; no data is touched, and a server goes on serving.

Example:

    strongroom seal rotate`
}

// Run implements the command.
func (c *sealRotateCmd) Run(a *app) error {
	return c.withSeals(a, func(ctx context.Context, s admin.Seals, by admin.Peer) error {
		status, err := s.RotateDomainKey(ctx, by)
		if err != nil {
			return err
		}
		return c.print(a, status, func() string {
			return fmt.Sprintf("The domain key has version %d now. Earlier versions still open.\n", status.Version)
		})
	})
}

type sealMigrateCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`

	To               string `required:"" placeholder:"KIND" help:"What the root is to be: file, passphrase, aws-kms, pkcs11 or tpm. The kind that there is makes a new root of that kind."`
	ToPassphraseFile string `placeholder:"FILE" help:"A file that holds the new passphrase. Default: a question."`
	ToKMSKey         string `name:"to-kms-key" placeholder:"KEY" help:"The key of another KMS: its id, alias or ARN."`
	ToKMSEndpoint    string `name:"to-kms-endpoint" placeholder:"URL" help:"That KMS. Default: AWS's own."`
	ToKMSRegion      string `name:"to-kms-region" placeholder:"REGION" help:"Its region. Default: that of the key's ARN, or of the AWS settings of the process that asks it."`
	ToTPMDevice      string `name:"to-tpm-device" placeholder:"PATH" help:"The TPM. Default: /dev/tpmrm0."`
	ToTPMAuthFile    string `name:"to-tpm-auth-file" placeholder:"FILE" help:"A file that holds the auth value that the new root is to have. Default: none."`
	ToTPMPCRs        string `name:"to-tpm-pcrs" placeholder:"N,N" help:"The PCRs whose present values the new root is bound to. Default: none."`
	ToPKCS11Module   string `name:"to-pkcs11-module" type:"path" placeholder:"FILE" help:"The PKCS #11 library of an HSM."`
	ToPKCS11Token    string `name:"to-pkcs11-token" placeholder:"LABEL" help:"The token there, by its label."`
	ToPKCS11Serial   string `name:"to-pkcs11-serial" placeholder:"NUMBER" help:"The token's serial number, where its label is not the only one."`
	ToPKCS11PINFile  string `name:"to-pkcs11-pin-file" type:"path" placeholder:"FILE" help:"A file that holds the PIN of the token's user."`
}

func (sealMigrateCmd) Help() string {
	return `The new root opens every version of the domain key when this command is done, and the old one none. No data is touched, and a server goes on serving; start it with the settings of the new root from then on.

Whoever has the old root and an older copy of the data folder can still open that copy, and what was sealed under the same versions since: if the old root may be known to others, rotate the domain key afterwards.

Examples:

    strongroom seal migrate --to passphrase
    strongroom seal migrate --to aws-kms --to-kms-key alias/root --to-kms-endpoint https://kms.example.com
    strongroom seal migrate --to tpm --to-tpm-pcrs 7
    strongroom seal migrate --to pkcs11 --to-pkcs11-module /usr/lib/softhsm/libsofthsm2.so --to-pkcs11-token kms --to-pkcs11-pin-file pin
    strongroom seal migrate --to file`
}

// Run implements the command.
func (c *sealMigrateCmd) Run(a *app) error {
	in := admin.NewSeal{Kind: c.To, KMSKey: c.ToKMSKey, KMSEndpoint: c.ToKMSEndpoint, KMSRegion: c.ToKMSRegion,
		PKCS11Module: c.ToPKCS11Module, PKCS11Token: c.ToPKCS11Token, PKCS11Serial: c.ToPKCS11Serial, PKCS11PINFile: c.ToPKCS11PINFile}
	if c.To == "passphrase" {
		passphrase, err := a.newPassphrase(c.ToPassphraseFile)
		if err != nil {
			return err
		}
		defer passphrase.Wipe()
		in.Passphrase = passphrase
	}
	if c.To == "tpm" {
		in.TPMDevice, in.TPMPCRs = c.ToTPMDevice, c.ToTPMPCRs
		if c.ToTPMAuthFile != "" {
			auth, err := a.readPassphrase(c.ToTPMAuthFile)
			if err != nil {
				return err
			}
			defer auth.Wipe()
			if len(auth) == 0 {
				return &problem{what: "the file " + c.ToTPMAuthFile + " holds no auth value: it is empty", hint: "leave --to-tpm-auth-file out for a root without one"}
			}
			in.TPMAuth = auth
		}
	}
	return c.withSeals(a, func(ctx context.Context, s admin.Seals, by admin.Peer) error {
		status, err := s.MigrateSeal(ctx, by, in)
		if err != nil {
			return err
		}
		return c.print(a, status, func() string {
			return describeSeal(status) + "The old root opens the data folder no longer. Start the server with --seal " + c.To + " from now on.\n" +
				"If others may have had the old root: strongroom seal rotate\n"
		})
	})
}

// newPassphrase reads the passphrase of a new root from a file, or asks for it.
func (a *app) newPassphrase(file string) (secret.Bytes, error) {
	if file == "" {
		return a.askPassphrase("New passphrase", true)
	}
	return a.readPassphrase(file)
}
