package tpm

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/seal/tpm/tpmtest"
	"github.com/strongroom/strongroom/internal/secret"
)

func mustCreate(t *testing.T, s Settings) (*Root, *seal.Domain, []byte) {
	t.Helper()
	r, err := Create(t.Context(), s, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d, slots, err := seal.Create(t.Context(), r, "deployment-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, d, slots
}

// reopen opens slots as a later start does.
func reopen(ctx context.Context, slots []byte, s Settings) (*seal.Domain, error) {
	info, err := seal.Read(slots)
	if err != nil {
		return nil, err
	}
	r, err := Open(info.Roots[0], s, rand.Reader)
	if err != nil {
		return nil, err
	}
	return seal.Open(ctx, r, slots)
}

func refuses(t *testing.T, err, want error, text string) {
	t.Helper()
	var refusal *seal.Error
	if !errors.Is(err, want) || !strings.Contains(fmt.Sprint(err), text) || !errors.As(err, &refusal) || refusal.Hint() == "" {
		t.Errorf("%v; want %v with %q and a hint", err, want, text)
	}
}

// nothingLeft checks that the TPM holds no objects and no sessions of ours.
func nothingLeft(t *testing.T, tpm *tpmtest.TPM) {
	t.Helper()
	tpm.Do(func(tpm transport.TPM) error {
		for _, first := range []tpm2.TPMHandle{0x80000000, 0x02000000, 0x03000000} { // transient, loaded and saved sessions
			got, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: uint32(first), PropertyCount: 8}.Execute(tpm)
			if err != nil {
				return err
			}
			handles, err := got.CapabilityData.Data.Handles()
			if err != nil {
				return err
			}
			if len(handles.Handle) > 0 {
				t.Errorf("the TPM still holds %x", handles.Handle)
			}
		}
		return nil
	})
}

func TestRoot(t *testing.T) {
	for name, s := range map[string]Settings{
		"plain": {}, "auth": {Auth: secret.Bytes("1234")}, "pcrs": {PCRs: []int{0, 7, 23}},
		"auth and pcrs": {Auth: secret.Bytes("an auth value that is longer than a hash is"), PCRs: []int{7}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tpm := tpmtest.Start(t)
			s.Device = tpm.Path
			r, d, slots := mustCreate(t, s)
			if !strings.HasPrefix(r.ID(), "tpm:") || len(r.ID()) != 36 || !strings.Contains(r.Describe(), tpm.Path) {
				t.Errorf("%s, %s", r.ID(), r.Describe())
			}
			// Many versions, and each time the machine starts again.
			for range 3 {
				change, err := d.Prepare(t.Context(), []seal.Root{r}, true, nil)
				if err != nil {
					t.Fatal(err)
				}
				change.Apply()
				slots = change.Slots
			}
			tpm.Reboot()
			opened, err := reopen(t.Context(), slots, s)
			if err != nil {
				t.Fatal(err)
			}
			if opened.Current() != 4 {
				t.Errorf("version %d", opened.Current())
			}
			if err := opened.Proves(t.Context(), r); err != nil {
				t.Error(err)
			}
			if r.held != nil || r.holders != 0 {
				t.Error("the key is still in memory")
			}
			nothingLeft(t, tpm)
		})
	}
}

func TestAnotherTPM(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	_, _, slots := mustCreate(t, Settings{Device: tpm.Path})
	other := tpmtest.Start(t)
	_, err := reopen(t.Context(), slots, Settings{Device: other.Path})
	refuses(t, err, seal.ErrWrongRoot, "is not the one that holds the root")
	nothingLeft(t, other)
	tpm.Clear()
	_, err = reopen(t.Context(), slots, Settings{Device: tpm.Path})
	refuses(t, err, seal.ErrWrongRoot, "or it was cleared since")
	nothingLeft(t, tpm)
}

func TestChangedPCRs(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	s := Settings{Device: tpm.Path, PCRs: []int{4, 7, 11}}
	r, _, slots := mustCreate(t, s)
	tpm.Extend(5)
	if _, err := reopen(t.Context(), slots, s); err != nil {
		t.Errorf("after a PCR that it is not bound to: %v", err)
	}
	tpm.Extend(11)
	tpm.Extend(4)
	_, err := reopen(t.Context(), slots, s)
	refuses(t, err, seal.ErrWrongRoot, "PCRs 4, 11 have other values")
	nothingLeft(t, tpm)

	// It is the TPM that refuses, not our comparison.
	forged := r.stored
	forged.PCRs, err = conversation(r, func(t transport.TPM) ([]register, error) { return readPCRs(t, []int{4, 7, 11}) })
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]parameters{"the values": forged, "no PCRs": {Primary: r.stored.Primary, Public: r.stored.Public, Private: r.stored.Private}} {
		_, err = conversation(r, func(t transport.TPM) (secret.Bytes, error) { return unsealed(t, p, nil) })
		if err == nil {
			t.Errorf("unsealed with %s made up", name)
		}
		refuses(t, r.explain(err), map[string]error{"the values": seal.ErrWrongRoot, "no PCRs": seal.ErrSlotsCorrupt}[name], "")
		nothingLeft(t, tpm)
	}
	tpm.Reboot()
	if _, err := reopen(t.Context(), slots, s); err != nil {
		t.Errorf("with the first values again: %v", err)
	}
	_, err = reopen(t.Context(), slots, Settings{Device: tpm.Path, PCRs: []int{7}})
	refuses(t, err, seal.ErrWrongRoot, "is not bound to PCRs 7 but to 4, 7, 11")
}

func conversation[T any](r *Root, do func(transport.TPM) (T, error)) (T, error) {
	return ask(context.Background(), r.device, do)
}

// TestWrongAuth gives wrong auth values until the TPM locks itself.
func TestWrongAuth(t *testing.T) {
	for name, pcrs := range map[string][]int{"alone": nil, "with PCRs": {7}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tpm := tpmtest.Start(t)
			s := Settings{Device: tpm.Path, Auth: secret.Bytes("1234"), PCRs: pcrs}
			plain, _, _ := mustCreate(t, Settings{Device: tpm.Path})
			_, _, slots := mustCreate(t, s)
			_, err := reopen(t.Context(), slots, Settings{Device: tpm.Path})
			refuses(t, err, seal.ErrWrongRoot, "none is given")
			wrong := Settings{Device: tpm.Path, Auth: secret.Bytes("1235")}
			_, err = reopen(t.Context(), slots, wrong)
			refuses(t, err, seal.ErrWrongRoot, "the auth value does not open")
			for tries := 0; !errors.Is(err, tpm2.TPMRCLockout); tries++ {
				if tries > 40 {
					t.Fatal("the TPM takes as many guesses as one likes")
				}
				_, err = reopen(t.Context(), slots, wrong)
			}
			refuses(t, err, seal.ErrRootUnreachable, "refuses every auth value for a while")
			_, err = reopen(t.Context(), slots, s)
			refuses(t, err, seal.ErrRootUnreachable, "refuses every auth value for a while")
			nothingLeft(t, tpm)
			// A root without an auth value is not locked by the guesses at another.
			if release, err := plain.Hold(t.Context()); err != nil {
				t.Error(err)
			} else {
				release()
			}
			tpm.Unlock()
			if _, err := reopen(t.Context(), slots, s); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAuthThatIsNotAskedFor(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	_, _, slots := mustCreate(t, Settings{Device: tpm.Path})
	_, err := reopen(t.Context(), slots, Settings{Device: tpm.Path, Auth: secret.Bytes("1234")})
	refuses(t, err, seal.ErrWrongRoot, "was made without one")
}

// TestDamagedObject flips each byte of what the keyslots keep of a root.
func TestDamagedObject(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	r, _, _ := mustCreate(t, Settings{Device: tpm.Path})
	try := func(name string, p parameters) {
		bad := *newRoot(Settings{Device: tpm.Path}, rand.Reader)
		bad.stored, bad.id = p, r.id
		release, err := bad.Hold(t.Context())
		if err == nil {
			release()
			t.Errorf("%s: unsealed", name)
		} else if !errors.Is(err, seal.ErrSlotsCorrupt) && !errors.Is(err, seal.ErrWrongRoot) {
			t.Errorf("%s: %v", name, err)
		}
	}
	flipped := func(b []byte, i int) []byte {
		b = bytes.Clone(b)
		b[i] ^= 0x10
		return b
	}
	for i := range r.stored.Private {
		p := r.stored
		p.Private = flipped(p.Private, i)
		try(fmt.Sprintf("private byte %d", i), p)
	}
	for i := range r.stored.Public {
		p := r.stored
		p.Public = flipped(p.Public, i)
		try(fmt.Sprintf("public byte %d", i), p)
	}
	p := r.stored
	p.Primary = flipped(p.Primary, 20)
	try("storage key", p)
	p = r.stored
	p.Private = p.Private[:len(p.Private)-1]
	try("cut", p)
	// Another object of the same TPM, in this one's place.
	other, _, _ := mustCreate(t, Settings{Device: tpm.Path})
	try("exchanged", other.stored)
	nothingLeft(t, tpm)
}

// TestOwnerAuth: a TPM whose owner hierarchy is closed needs a storage key that was
// made beforehand.
func TestOwnerAuth(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	_, _, slots := mustCreate(t, Settings{Device: tpm.Path})
	var srk *tpm2.CreatePrimaryResponse
	tpm.Do(func(tpm transport.TPM) (err error) {
		srk, err = tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
		if err != nil {
			return err
		}
		_, err = tpm2.HierarchyChangeAuth{AuthHandle: tpm2.TPMRHOwner, NewAuth: tpm2.TPM2BAuth{Buffer: []byte("owner")}}.Execute(tpm)
		return err
	})
	s := Settings{Device: tpm.Path}
	_, err := reopen(t.Context(), slots, s)
	refuses(t, err, seal.ErrRootUnreachable, "asks for an auth value")
	if _, err := Create(t.Context(), s, rand.Reader); !errors.Is(err, seal.ErrRootUnreachable) {
		t.Errorf("made a root: %v", err)
	}
	tpm.Do(func(tpm transport.TPM) error {
		_, err := tpm2.EvictControl{
			Auth:         tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth([]byte("owner"))},
			ObjectHandle: tpm2.NamedHandle{Handle: srk.ObjectHandle, Name: srk.Name}, PersistentHandle: provisionedKey,
		}.Execute(tpm)
		if err == nil {
			_, err = tpm2.FlushContext{FlushHandle: srk.ObjectHandle}.Execute(tpm)
		}
		return err
	})
	if _, err := reopen(t.Context(), slots, s); err != nil {
		t.Error(err)
	}
	_, _, slots = mustCreate(t, s)
	tpm.Reboot()
	if _, err := reopen(t.Context(), slots, s); err != nil {
		t.Error(err)
	}
	nothingLeft(t, tpm)
}

// TestNoTPM: nothing there, no right to it, nobody who listens, one that hangs.
func TestNoTPM(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	r, d, slots := mustCreate(t, Settings{Device: tpm.Path})
	_, err := reopen(t.Context(), slots, Settings{Device: filepath.Join(t.TempDir(), "none")})
	refuses(t, err, seal.ErrRootUnreachable, "there is no TPM at")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = reopen(t.Context(), slots, Settings{Device: file})
	refuses(t, err, seal.ErrRootUnreachable, "not a device")

	tpm.Pause()
	for range 2 { // the second finds the first still waiting
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = d.Prepare(ctx, []seal.Root{r}, true, nil)
		refuses(t, err, seal.ErrRootUnreachable, "does not answer")
	}
	if d.Current() != 1 {
		t.Error("the domain key has rotated")
	}
	tpm.Resume()
	if _, err = d.Prepare(t.Context(), []seal.Root{r}, true, nil); err != nil {
		t.Errorf("after it has answered again: %v", err)
	}
	tpm.Remove()
	_, err = reopen(t.Context(), slots, Settings{Device: tpm.Path})
	refuses(t, err, seal.ErrRootUnreachable, "there is no TPM at")
	// What is kept needs no TPM.
	if _, err := d.Prepare(t.Context(), []seal.Root{r}, false, nil); err != nil {
		t.Errorf("slots that are kept: %v", err)
	}
}

// bus relays to a TPM and keeps what went by, or answers with garbage.
type bus struct {
	path string
	mu   sync.Mutex
	seen []byte
	// keys are those that sessions were salted with.
	keys []tpm2.TPMHandle
}

func startBus(t *testing.T, tpm string, garbage []byte) *bus {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	b := &bus{path: filepath.Join(dir, "socket")}
	listener, err := net.Listen("unix", b.path)
	if err != nil {
		t.Fatal(err)
	}
	var relays sync.WaitGroup
	relays.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			relays.Go(func() { b.relay(t, c, tpm, garbage) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		relays.Wait()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bus) relay(t *testing.T, c net.Conn, path string, garbage []byte) {
	defer c.Close()
	command := make([]byte, 4096)
	n, err := c.Read(command)
	if err != nil {
		t.Error(err)
		return
	}
	if garbage != nil {
		_, _ = c.Write(garbage)
		return
	}
	tpm, err := net.Dial("unix", path)
	if err != nil {
		t.Error(err)
		return
	}
	defer tpm.Close()
	answer := make([]byte, 4096)
	if _, err := tpm.Write(command[:n]); err != nil {
		t.Error(err)
	}
	m, err := tpm.Read(answer)
	if err != nil {
		t.Error(err)
	}
	b.mu.Lock()
	b.seen = append(append(b.seen, command[:n]...), answer[:m]...)
	if n > 14 && binary.BigEndian.Uint32(command[6:]) == uint32(tpm2.TPMCCStartAuthSession) {
		b.keys = append(b.keys, tpm2.TPMHandle(binary.BigEndian.Uint32(command[10:])))
	}
	b.mu.Unlock()
	if _, err := c.Write(answer[:m]); err != nil {
		t.Error(err)
	}
}

// TestNothingOnTheBus listens between processor and TPM.
func TestNothingOnTheBus(t *testing.T) {
	for name, pcrs := range map[string][]int{"session": nil, "policy": {7}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBus(t, tpmtest.Start(t).Path, nil)
			s := Settings{Device: b.path, Auth: secret.Bytes("open sesame"), PCRs: pcrs}
			key := bytes.Repeat([]byte("the root"), 4)
			r, err := Create(t.Context(), s, io.MultiReader(bytes.NewReader(key), rand.Reader))
			if err != nil {
				t.Fatal(err)
			}
			release, err := r.Hold(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			release()
			if len(b.seen) < 1000 || !bytes.Contains(b.seen, r.stored.Private) {
				t.Fatalf("the bus has seen %d bytes", len(b.seen))
			}
			// Without a salt the session's key could be computed from what went by.
			if len(b.keys) != 3 || slices.Contains(b.keys, tpm2.TPMRHNull) {
				t.Errorf("sessions are salted with %x", b.keys)
			}
			for what, bytesOf := range map[string][]byte{"the key": key, "half of it": key[:16], "the auth value": authValue(s.Auth), "its text": s.Auth} {
				if bytes.Contains(b.seen, bytesOf) {
					t.Errorf("%s crosses the bus", what)
				}
			}
		})
	}
}

// TestGarbageFromTheTPM: what answers is no TPM.
func TestGarbageFromTheTPM(t *testing.T) {
	t.Parallel()
	for _, garbage := range [][]byte{
		{}, {0}, {0x80, 0x01, 0, 0, 0, 10, 0, 0, 0, 0}, {0x80, 0x02, 0, 0, 0, 10, 0, 0, 0, 0},
		{0x80, 0x02, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		bytes.Repeat([]byte{0xff}, 4096),
	} {
		b := startBus(t, "", garbage)
		_, err := Create(t.Context(), Settings{Device: b.path}, rand.Reader)
		refuses(t, err, seal.ErrRootUnreachable, "cannot be used")
	}
}

func TestParsePCRs(t *testing.T) {
	for text, want := range map[string]string{"": "[]", "7": "[7]", "11, 4,7,4": "[4 7 11]", "0,23": "[0 23]"} {
		got, err := ParsePCRs(text)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{",", "24", "-1", "a", "1,,2", "0x7"} {
		if got, err := ParsePCRs(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func FuzzParameters(f *testing.F) {
	f.Add([]byte(`{"primary":"AAsAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==","public":"AA==","private":"AA==","auth":false,"pcrs":[]}`))
	f.Add([]byte(`{"primary":"AAsAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==","public":"AA==","private":"AA==","auth":true,"pcrs":[{"pcr":7,"value":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Open(seal.RootInfo{ID: "tpm:0", Kind: seal.KindTPM, Parameters: b}, Settings{Device: "/nonexistent"}, rand.Reader)
		if err != nil {
			if !errors.Is(err, seal.ErrSlotsCorrupt) && !errors.Is(err, seal.ErrWrongRoot) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(r.Parameters(), b) {
			t.Errorf("%s is kept as %s", b, r.Parameters())
		}
		_ = r.Describe()
	})
}
