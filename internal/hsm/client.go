package hsm

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
)

const (
	// patience is how long a helper may take to start and log in.
	patience = 30 * time.Second
	// defaultStuck is after how long a call that is not answered is taken for one that
	// never will be. It is longer than any that is made here.
	defaultStuck = 30 * time.Second
	// longestRest is the longest pause between two attempts.
	longestRest = 10 * time.Second
	// The helper after one that has given so many answers, or has lived so long, is
	// started at once.
	proven  = 100
	lasting = time.Minute
)

// Client is a slot behind a helper process. It starts the helper, and another one
// whenever it ends, for as long as it is open: at once after one that had worked,
// and with growing pauses after one that had not. While there is none, calls fail
// at once with ErrUnavailable and the reason; while one starts, they wait for it.
type Client struct {
	cfg   Config
	start func() (*process, error) // of a helper
	// ctx ends with Close.
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{} // closed when run has ended
	refused secret.Bytes  // a PIN that the token did not take; run's own

	mu       sync.Mutex
	conn     *conn
	starting chan struct{} // closed when the attempt under way has ended; nil while there is none
	cause    error         // why there is no connection
}

var (
	_ Slot   = (*Client)(nil)
	_ Opener = Open
)

// Open starts a Client and waits for its first connection; it is an [Opener]. If
// that fails nothing is left, and the PIN, if it was refused, was tried once.
func Open(ctx context.Context, cfg Config) (Slot, error) {
	c, err := Start(cfg)
	if err != nil {
		return nil, err
	}
	if err := c.Ready(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Start returns a Client that connects by itself, now or when the HSM is there.
func Start(cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return startWith(cfg, func() (*process, error) { return spawn(cfg) }), nil
}

// check says what is wrong with the settings.
func (c Config) check() error {
	switch {
	case !filepath.IsAbs(c.Module):
		return fmt.Errorf("%w: %q is not an absolute path", ErrNoModule, c.Module)
	case c.Token == (Token{}):
		return fmt.Errorf("%w: none is named", ErrNoToken)
	case c.PIN == nil:
		return errors.New("hsm: Config.PIN must be set")
	case len(c.Helper) == 0:
		return errors.New("hsm: Config.Helper must be set: this program has no helper process")
	}
	return nil
}

func startWith(cfg Config, start func() (*process, error)) *Client {
	if cfg.Log == nil {
		cfg.Log = func(string, error) {}
	}
	c := &Client{cfg: cfg, start: start, done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.set(nil, nil, true)
	go c.run()
	return c
}

// Ready waits for the attempt to connect that is under way, and returns why there
// is no connection, or nil.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.connected(ctx)
	return err
}

// run keeps a connection.
func (c *Client) run() {
	defer close(c.done)
	for failures := 0; c.ctx.Err() == nil; failures++ {
		conn, err := c.connect()
		if err == nil {
			c.cfg.Log("the HSM answers", nil)
			c.set(conn, nil, false)
			if c.live(conn) || conn.answered.Load() >= proven {
				failures = 0
			}
			c.set(nil, conn.gone(), pause(failures) == 0)
			err = conn.close(ErrClosed)
		} else {
			failures = max(failures, 1) // what did not work is not tried again at once
		}
		if c.ctx.Err() != nil {
			break
		}
		c.cfg.Log("the HSM is not available", err)
		if wait := pause(failures); wait > 0 {
			c.set(nil, err, false)
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-c.ctx.Done():
			}
			timer.Stop()
		}
		c.set(nil, err, true)
	}
	c.set(nil, ErrClosed, false)
}

// live waits until a connection has ended, and reports whether it had lasted.
func (c *Client) live(conn *conn) (lasted bool) {
	timer := time.NewTimer(lasting)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			lasted = true
		case <-conn.dead:
			return lasted
		case <-c.ctx.Done():
			return lasted
		}
	}
}

// pause is how long is waited after so many failures in a row and one more.
func pause(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	return min(longestRest, 50*time.Millisecond<<min(failures-1, 10))
}

// set says how things stand: a connection, or why there is none and whether one is
// being made.
func (c *Client) set(conn *conn, cause error, starting bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn, c.cause = conn, cause
	switch {
	case starting && c.starting == nil:
		c.starting = make(chan struct{})
	case !starting && c.starting != nil:
		close(c.starting)
		c.starting = nil
	}
}

// connect starts a helper and has it log in.
func (c *Client) connect() (*conn, error) {
	pin, err := c.cfg.PIN()
	if err != nil {
		return nil, err
	}
	defer pin.Wipe()
	if len(pin) == 0 || len(pin) > maxPIN {
		return nil, fmt.Errorf("%w: it has %d bytes; one has 1 to %d", ErrPIN, len(pin), maxPIN)
	}
	if c.refused != nil && c.refused.Equal(pin) {
		return nil, ErrPIN // tried once, and never again: that would lock the token
	}
	request, err := json.Marshal(openRequest{Module: c.cfg.Module, Token: c.cfg.Token, Sessions: sessions(c.cfg.Sessions)})
	if err != nil {
		return nil, err
	}
	p, err := c.start()
	if err != nil {
		return nil, fmt.Errorf("%w: starting the helper process: %w", ErrUnavailable, err)
	}
	conn := newConn(p, c.cfg.stuck)
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	if _, err := conn.call(ctx, opOpen, request, pin); err != nil {
		if errors.Is(err, ErrPIN) {
			c.refused = append(secret.Bytes(nil), pin...)
		}
		// What has ended the helper says more than that it has ended.
		if ended := conn.close(err); errors.Is(err, ErrUnavailable) {
			err = ended
		}
		return nil, err
	}
	return conn, nil
}

// connected returns the connection, and waits for one that is being made.
func (c *Client) connected(ctx context.Context) (*conn, error) {
	conn, starting, cause := c.stand()
	if conn == nil && starting != nil {
		select {
		case <-starting:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
		}
		conn, _, cause = c.stand()
	}
	switch {
	case c.ctx.Err() != nil:
		return nil, ErrClosed
	case conn == nil:
		return nil, unavailable(cause)
	}
	return conn, nil
}

func (c *Client) stand() (*conn, chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn, c.starting, c.cause
}

// unavailable is why there is no connection.
func unavailable(cause error) error {
	switch {
	case cause == nil:
		return ErrUnavailable
	case errors.Is(cause, ErrUnavailable):
		return cause
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, cause)
}

// Close implements [Slot]. It waits for the helper's end.
func (c *Client) Close() error {
	c.cancel()
	<-c.done
	return nil
}

// call asks the helper for results of that many fields.
func (c *Client) call(ctx context.Context, results int, op byte, fields ...[]byte) ([][]byte, error) {
	conn, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	f, err := conn.call(ctx, op, fields...)
	if err != nil {
		return nil, err
	}
	out, err := f.fields(results)
	if err != nil {
		conn.fail(err)
		return nil, unavailable(err)
	}
	return out, nil
}

func checkID(id []byte, label string) error {
	if len(id) == 0 || len(id) > MaxID || len(label) > MaxID {
		return ErrSize
	}
	return nil
}

// GenerateAES256 implements [Keys].
func (c *Client) GenerateAES256(ctx context.Context, id []byte, label string) error {
	if err := checkID(id, label); err != nil {
		return err
	}
	_, err := c.call(ctx, 0, opGenerate, id, []byte(label))
	return err
}

// GenerateShareable implements [Sharer].
func (c *Client) GenerateShareable(ctx context.Context, id []byte, label string) error {
	if err := checkID(id, label); err != nil {
		return err
	}
	_, err := c.call(ctx, 0, opShareable, id, []byte(label))
	return err
}

// Find implements [Keys].
func (c *Client) Find(ctx context.Context, id []byte) (key Key, err error) {
	if err := checkID(id, ""); err != nil {
		return Key{}, err
	}
	out, err := c.call(ctx, 1, opFind, id)
	if err != nil {
		return Key{}, err
	}
	return key, told(json.Unmarshal(out[0], &key))
}

// told is what is returned for an answer that is not to be understood.
func told(err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, errFrame, err)
	}
	return nil
}

// Destroy implements [Keys].
func (c *Client) Destroy(ctx context.Context, id []byte) error {
	if err := checkID(id, ""); err != nil {
		return err
	}
	_, err := c.call(ctx, 0, opDestroy, id)
	return err
}

// EncryptGCM implements [Keys].
func (c *Client) EncryptGCM(ctx context.Context, id, aad []byte, plaintext secret.Bytes) ([]byte, error) {
	if len(aad) > MaxMessage || len(plaintext) > MaxMessage || checkID(id, "") != nil {
		return nil, ErrSize
	}
	out, err := c.call(ctx, 1, opEncrypt, id, aad, plaintext)
	if err != nil {
		return nil, err
	}
	if len(out[0]) != len(plaintext)+Overhead {
		return nil, told(fmt.Errorf("%d bytes of %d", len(out[0]), len(plaintext)))
	}
	return out[0], nil
}

// DecryptGCM implements [Keys].
func (c *Client) DecryptGCM(ctx context.Context, id, aad, sealed []byte) (secret.Bytes, error) {
	if len(aad) > MaxMessage || len(sealed) > MaxMessage+Overhead || checkID(id, "") != nil {
		return nil, ErrSize
	}
	if len(sealed) < Overhead {
		return nil, ErrDecrypt
	}
	out, err := c.call(ctx, 1, opDecrypt, id, aad, sealed)
	if err != nil {
		return nil, err
	}
	if len(out[0]) != len(sealed)-Overhead {
		return nil, told(fmt.Errorf("%d bytes of %d", len(out[0]), len(sealed)))
	}
	return out[0], nil
}

// Random implements [Keys].
func (c *Client) Random(ctx context.Context, n int) (secret.Bytes, error) {
	if n < 1 || n > MaxRandom {
		return nil, ErrSize
	}
	out, err := c.call(ctx, 1, opRandom, binary.BigEndian.AppendUint32(nil, uint32(n)))
	if err != nil {
		return nil, err
	}
	if len(out[0]) != n {
		return nil, told(io.ErrUnexpectedEOF)
	}
	return out[0], nil
}

// Health implements [Keys].
func (c *Client) Health(ctx context.Context) error {
	_, err := c.call(ctx, 0, opHealth)
	return err
}

// Info implements [Slot].
func (c *Client) Info(ctx context.Context) (info Info, err error) {
	out, err := c.call(ctx, 1, opInfo)
	if err != nil {
		return Info{}, err
	}
	return info, told(json.Unmarshal(out[0], &info))
}

// TransportKey implements [Sharer].
func (c *Client) TransportKey(ctx context.Context) (TransportKey, error) {
	out, err := c.call(ctx, 2, opTransport)
	if err != nil {
		return TransportKey{}, err
	}
	if len(out[0]) != 8 {
		return TransportKey{}, told(io.ErrUnexpectedEOF)
	}
	return TransportKey{Number: binary.BigEndian.Uint64(out[0]), Public: out[1]}, nil
}

// WrapFor implements [Sharer].
func (c *Client) WrapFor(ctx context.Context, id, public []byte) ([]byte, error) {
	if len(public) > MaxMessage || checkID(id, "") != nil {
		return nil, ErrSize
	}
	out, err := c.call(ctx, 1, opWrap, id, public)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// Receive implements [Sharer].
func (c *Client) Receive(ctx context.Context, pair uint64, id []byte, label string, wrapped []byte) error {
	if len(wrapped) > MaxMessage || checkID(id, label) != nil {
		return ErrSize
	}
	_, err := c.call(ctx, 0, opReceive, binary.BigEndian.AppendUint64(nil, pair), id, []byte(label), wrapped)
	return err
}

// Lock implements [Sharer].
func (c *Client) Lock(ctx context.Context, id []byte) error {
	if err := checkID(id, ""); err != nil {
		return err
	}
	_, err := c.call(ctx, 0, opLock, id)
	return err
}

// ProbeModule has a helper of its own look at a module. Of c, Token and PIN may be
// unset; see [ProbeRequest].
func ProbeModule(ctx context.Context, c Config) (Report, error) {
	if !filepath.IsAbs(c.Module) {
		return Report{}, fmt.Errorf("%w: %q is not an absolute path", ErrNoModule, c.Module)
	}
	var pin secret.Bytes
	if c.PIN != nil {
		var err error
		if pin, err = c.PIN(); err != nil {
			return Report{}, err
		}
		defer pin.Wipe()
	}
	request, err := json.Marshal(ProbeRequest{Module: c.Module, Token: c.Token})
	if err != nil {
		return Report{}, err
	}
	p, err := spawn(c)
	if err != nil {
		return Report{}, fmt.Errorf("%w: starting the helper process: %w", ErrUnavailable, err)
	}
	conn := newConn(p, 0)
	f, err := conn.call(ctx, opProbe, request, pin)
	if err != nil {
		if ended := conn.close(err); errors.Is(err, ErrUnavailable) && ctx.Err() == nil {
			err = ended
		}
		return Report{}, err
	}
	out, err := f.fields(1)
	if err = conn.close(err); out == nil {
		return Report{}, err
	}
	var report Report
	return report, told(json.Unmarshal(out[0], &report))
}

// inEnv is the helper's environment: without what is the server's own.
func (c Config) inEnv(own []string) []string {
	if c.Env != nil {
		return c.Env
	}
	env := make([]string, 0, len(own))
	for _, entry := range own {
		if !strings.HasPrefix(entry, "STRONGROOM_") && !strings.HasPrefix(entry, "AWS_") {
			env = append(env, entry)
		}
	}
	return env
}
