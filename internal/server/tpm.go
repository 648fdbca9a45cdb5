package server

import (
	"context"
	"io"

	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/seal/tpm"
	"github.com/strongroom/strongroom/internal/secret"
)

// TPMSettings say where the TPM is that holds a root; see [tpm.Settings].
type TPMSettings struct {
	Device string
	// AuthFile holds the auth value, with or without an end of line; Auth, if set, is
	// the value itself.
	AuthFile string
	Auth     secret.Bytes
	// PCRs are numbers with commas between them.
	PCRs string
}

func (t TPMSettings) check() error {
	if _, err := tpm.ParsePCRs(t.PCRs); err != nil {
		return refuse("seal-tpm-pcrs", "for one: --seal-tpm-pcrs 0,2,4,7", "%v", err)
	}
	return nil
}

func (t TPMSettings) read() (tpm.Settings, error) {
	pcrs, err := tpm.ParsePCRs(t.PCRs)
	if err != nil {
		return tpm.Settings{}, err
	}
	s := tpm.Settings{Device: t.Device, Auth: t.Auth, PCRs: pcrs}
	if len(s.Auth) > 0 || t.AuthFile == "" {
		return s, nil
	}
	if s.Auth, err = ReadPassphrase(t.AuthFile); err == nil && len(s.Auth) == 0 {
		err = problem("the file "+t.AuthFile+" holds no auth value: it is empty", "Leave --seal-tpm-auth-file out where there is none. Nothing was created.", seal.ErrRootMissing)
	}
	return s, err
}

func (t TPMSettings) create(ctx context.Context, rand io.Reader) (seal.Root, error) {
	s, err := t.read()
	if err != nil {
		return nil, err
	}
	root, err := tpm.Create(ctx, s, rand)
	if err != nil {
		return nil, err // and not a root that is nil but for its type
	}
	return root, nil
}

func (t TPMSettings) open(stored seal.RootInfo, rand io.Reader) (seal.Root, error) {
	s, err := t.read()
	if err != nil {
		return nil, err
	}
	root, err := tpm.Open(stored, s, rand)
	if err != nil {
		return nil, err
	}
	return root, nil
}
