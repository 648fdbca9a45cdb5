package server

import (
	"context"
	"time"

	"github.com/strongroom/strongroom/internal/front"
)

// certificates are those that the listeners show, by the listener's name.
type certificates []listenerCertificate

type listenerCertificate struct {
	listener string
	*front.Certificate
}

func (c certificates) each(fn func(listener string, notAfter time.Time)) {
	for _, one := range c {
		fn(one.listener, one.NotAfter())
	}
}

// certificate reads the certificate of a listener, and sees to it from then on.
func (s *Server) certificate(listener, certFile, keyFile string) (*front.Certificate, error) {
	c, err := front.LoadCertificate(certFile, keyFile, s.cfg.Log)
	if err != nil {
		return nil, err
	}
	s.certificates = append(s.certificates, listenerCertificate{listener, c})
	return c, nil
}

// certificatesEvery is how often the files of certificates are looked at.
const certificatesEvery = 10 * time.Second

// followCertificates reads certificates again whose files have changed, and when
// Reload asks.
func (s *Server) followCertificates(ctx context.Context) {
	for ctx.Err() == nil {
		wake, stop := machineClock.Wake(machineClock.Now().Add(certificatesEvery))
		select {
		case <-wake:
		case <-s.reload:
		case <-ctx.Done():
		}
		stop()
		for _, c := range s.certificates {
			c.Reload()
		}
	}
}

// Reload has the files of certificates looked at now.
func (s *Server) Reload() {
	select {
	case s.reload <- struct{}{}:
	default: // it is about to happen
	}
}
