package cluster

import (
	"net"
	"sync"
)

// forwarder carries connections to a database until it is cut: then it loses, without
// a word, what comes from either side, and gives it on when it is mended, as TCP does.
type forwarder struct {
	listener net.Listener
	socket   func() string // of the database now

	mu   sync.Mutex
	more *sync.Cond
	cut  bool
}

func newForwarder(socket func() string) (*forwarder, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &forwarder{listener: listener, socket: socket}
	f.more = sync.NewCond(&f.mu)
	go f.run()
	return f, nil
}

func (f *forwarder) run() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return // it is closed
		}
		go f.carry(client)
	}
}

func (f *forwarder) carry(client net.Conn) {
	f.pass()
	server, err := net.Dial("unix", f.socket())
	if err != nil {
		_ = client.Close()
		return
	}
	go f.copy(server, client)
	f.copy(client, server)
}

// pass returns when nothing is cut.
func (f *forwarder) pass() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.cut {
		f.more.Wait()
	}
}

// copy carries one direction to its end, and then ends both.
func (f *forwarder) copy(to, from net.Conn) {
	bytes := make([]byte, 64<<10)
	for {
		n, err := from.Read(bytes)
		f.pass()
		if n > 0 {
			if _, err := to.Write(bytes[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_, _ = to.Close(), from.Close()
}

func (f *forwarder) set(cut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = cut
	f.more.Broadcast()
}
