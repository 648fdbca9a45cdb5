package main

import (
	"strings"
	"time"

	"github.com/strongroom/strongroom/bench/load"
	"github.com/strongroom/strongroom/e2e/binary"
)

// server is the server under measurement.
type server struct {
	*binary.Server
	signer *load.Signer
	// readyAfter is how long it took from the start of the process to its ready line.
	readyAfter time.Duration
}

// start starts the server on a folder.
func start(path, data string) (*server, error) {
	began := time.Now()
	s, err := binary.Start(binary.Config{Path: path, Data: data, Args: []string{"--log-level", "debug"}})
	if err != nil {
		return nil, err
	}
	ready := time.Since(began)
	id, secret, err := binary.Credentials(data)
	if err != nil {
		s.Kill()
		return nil, err
	}
	return &server{Server: s, signer: &load.Signer{Addr: s.Addr(), AccessKeyID: id, SecretAccessKey: secret}, readyAfter: ready}, nil
}

// checked reports whether the comparison of all records with their hash, which a
// server makes after its start, is over.
func (s *server) checked() bool {
	return strings.Contains(s.Output(), "all records are as they were left")
}
