package postgrestest

import (
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
)

// Relay stands between clients and the database of a URL that [Server.URL] has returned,
// and returns the URL of the database through it. serve is called for each connection,
// in a goroutine of its own, with what leads to the client and to the database; it hands
// on what the two say, or does not, and closes both. What is still open when the test
// ends is closed then.
func Relay(t testing.TB, to string, serve func(client, database net.Conn)) (through string) {
	t.Helper()
	u, err := url.Parse(to)
	must(t, err)
	query := u.Query()
	socket := filepath.Join(query.Get("host"), ".s.PGSQL.5432")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var open []net.Conn // of the goroutine, until it has ended
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			open = append(open, client)
			database, err := net.Dial("unix", socket)
			if err != nil {
				_ = client.Close() // the database has ended
				continue
			}
			open = append(open, database)
			go serve(client, database)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
		for _, c := range open {
			_ = c.Close()
		}
	})
	query.Del("host")
	query.Set("sslmode", "disable")
	u.Host, u.RawQuery = l.Addr().String(), query.Encode()
	return u.String()
}
