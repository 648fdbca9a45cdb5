package main

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/strongroom/strongroom/bench/load"
	"github.com/strongroom/strongroom/e2e/binary"
)

// fleet is the servers of a run. Each is started when it is first needed.
type fleet struct {
	self        string // this executable, which is the empty servers
	work        string // folder for all that the servers write
	certificate *certificate
	servers     map[string]*binary.Server
	databases   []*database
	points      map[string]*point
}

func newFleet(work string) (*fleet, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f := &fleet{self: self, work: work, servers: map[string]*binary.Server{}, points: map[string]*point{}}
	f.certificate, err = newCertificate(work)
	return f, err
}

// stop ends the servers.
func (f *fleet) stop() error {
	for _, s := range f.servers {
		s.Kill()
	}
	var err error
	for _, d := range f.databases {
		err = errors.Join(err, d.stop())
	}
	return err
}

// start returns the server of that name, which is started if there is none yet.
func (f *fleet) start(name string, cfg binary.Config) (*binary.Server, error) {
	if s := f.servers[name]; s != nil {
		return s, nil
	}
	s, err := binary.Start(cfg)
	if err != nil {
		return nil, err
	}
	f.servers[name] = s
	return s, nil
}

// emptyKind is an empty server.
type emptyKind struct {
	library string // nethttp or fasthttp
	secured bool   // over TLS
	reply   int    // bytes of an answer
}

// empty returns an empty server.
func (f *fleet) empty(kind emptyKind) (*binary.Server, error) {
	args := []string{"-serve", kind.library, "-reply", strconv.Itoa(kind.reply)}
	if kind.secured {
		args = append(args, "-cert", f.certificate.certFile, "-key", f.certificate.keyFile)
	}
	name := kind.library + "-" + strconv.FormatBool(kind.secured) + "-" + strconv.Itoa(kind.reply)
	return f.start(name, binary.Config{Path: f.self, Bare: true, Args: args})
}

// strongroom is an executable that is measured.
type strongroom struct {
	fleet *fleet
	// name tells executables apart: "A" and "B", or nothing where there is one.
	name, path string
	signers    map[bool]*load.Signer
	keys       map[string]string // by what they are: their ids
}

func newStrongroom(f *fleet, name, path string) *strongroom {
	return &strongroom{fleet: f, name: name, path: path, signers: map[bool]*load.Signer{}, keys: map[string]string{}}
}

// server returns the running server, and what signs requests to it.
func (s *strongroom) server(secured bool) (*binary.Server, *load.Signer, error) {
	name := "strongroom" + s.name
	cfg := binary.Config{Path: s.path}
	if secured {
		name += "-tls"
		cfg.Args = []string{"--tls-cert", s.fleet.certificate.certFile, "--tls-key", s.fleet.certificate.keyFile}
	}
	cfg.Data = filepath.Join(s.fleet.work, name)
	server, err := s.fleet.start(name, cfg)
	if err != nil || s.signers[secured] != nil {
		return server, s.signers[secured], err
	}
	id, secret, err := binary.Credentials(server.Data)
	if err != nil {
		return nil, nil, err
	}
	signer := &load.Signer{Addr: server.Addr(), AccessKeyID: id, SecretAccessKey: secret}
	if secured {
		signer.TLS = s.fleet.certificate.client
	}
	s.signers[secured] = signer
	return server, signer, nil
}

// key returns a key of the server; params are those of its CreateKey.
func (s *strongroom) key(ctx context.Context, secured bool, params string) (string, error) {
	name := params + strconv.FormatBool(secured)
	if id := s.keys[name]; id != "" {
		return id, nil
	}
	_, signer, err := s.server(secured)
	if err != nil {
		return "", err
	}
	var created struct{ KeyMetadata struct{ KeyID string } }
	if err := signer.Call(ctx, "CreateKey", params, &created); err != nil {
		return "", err
	}
	if created.KeyMetadata.KeyID == "" {
		return "", errors.New("CreateKey answers without an id")
	}
	s.keys[name] = created.KeyMetadata.KeyID
	return s.keys[name], nil
}

// client is how to speak TLS with a server; nil for one that does not.
func (f *fleet) client(secured bool) *tls.Config {
	if secured {
		return f.certificate.client
	}
	return nil
}

// known returns the point of that name, which is made once.
func (f *fleet) known(of, name string, empty *point, measure func(context.Context, time.Duration) (*sample, error)) *point {
	if of != "" {
		name = of + ": " + name
	}
	if p := f.points[name]; p != nil {
		return p
	}
	f.points[name] = &point{name: name, empty: empty, measure: measure}
	return f.points[name]
}
