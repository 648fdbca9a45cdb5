package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/strongroom/strongroom/e2e/binary"
	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
)

// overdue are keys of which something falls due while no server runs. They are made on a
// dev server whose clock was set back: its next start goes by the machine's.
type overdue struct {
	t                          *testing.T
	doomed, imported, rotating *types.KeyMetadata
	under                      []byte // a ciphertext under the imported material
	sealed                     sealed // one under the first material of the key that rotates
}

func newOverdue(t *testing.T, s *binary.Server) *overdue {
	t.Helper()
	c := devClient(s, "test", defaultRegion)
	const back = 100 * aDay
	advance(t, s, (-back).String())
	y := &year{t: t, server: s, here: c, now: time.Now().Add(-back)}
	o := &overdue{t: t, doomed: createKey(t, c, nil), imported: externalKey(t, c, nil), rotating: createKey(t, c, nil)}
	y.schedule(c, o.doomed, 7)
	in := wrapped(t, c, o.imported, 1)
	in.ExpirationModel, in.ValidTo = "", aws.Time(y.now.Add(10*aDay))
	if _, err := c.ImportKeyMaterial(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	o.under = y.seal(c, o.imported).blob
	enableRotation(t, c, o.rotating, 90)
	o.sealed = y.seal(c, o.rotating)
	return o
}

// refused: no call brings the key back whose deletion is due, nor opens with material
// that has expired, whether the work is done or not.
func (o *overdue) refused(s *binary.Server) {
	o.t.Helper()
	c := devClient(s, "test", defaultRegion)
	_, err := c.CancelKeyDeletion(o.t.Context(), &kms.CancelKeyDeletionInput{KeyId: o.doomed.KeyId})
	wantError(o.t, err, "NotFoundException", "Key '"+*o.doomed.Arn+"' does not exist")
	_, err = c.Decrypt(o.t.Context(), &kms.DecryptInput{CiphertextBlob: o.under})
	wantError(o.t, err, "KMSInvalidStateException", *o.imported.Arn+" is pending import.")
}

// done tells whether all that was due is done.
func (o *overdue) done(s *binary.Server) bool {
	o.t.Helper()
	c := devClient(s, "test", defaultRegion)
	_, err := c.DescribeKey(o.t.Context(), &kms.DescribeKeyInput{KeyId: o.doomed.KeyId})
	list, failed := c.ListKeyRotations(o.t.Context(), &kms.ListKeyRotationsInput{KeyId: o.rotating.KeyId})
	if failed != nil {
		o.t.Fatal(failed)
	}
	return err != nil && describe(o.t, c, o.imported).KeyState == types.KeyStatePendingImport && len(list.Rotations) == 1
}

// once: it was done once, as the trail has it, and what was made before still opens.
func (o *overdue) once(s *binary.Server) {
	o.t.Helper()
	y := &year{t: o.t, server: s}
	c := devClient(s, "test", defaultRegion)
	y.opens(c, o.sealed)
	if now := y.seal(c, o.rotating); now.material == o.sealed.material {
		o.t.Error("the key goes on with the material that was to be rotated")
	}
	records, _ := export(o.t, s)
	got := map[string]int{}
	for _, r := range records {
		if len(r.Resources) == 1 && r.ErrorCode == "" {
			got[r.EventName+" "+r.Resources[0].ARN]++
		}
	}
	for _, what := range []string{"DeleteKey " + *o.doomed.Arn, "DeleteExpiredKeyMaterial " + *o.imported.Arn, "RotateKey " + *o.rotating.Arn} {
		if got[what] != 1 {
			o.t.Errorf("%s is recorded %d times", what, got[what])
		}
	}
	if n := got["CancelKeyDeletion "+*o.doomed.Arn]; n != 0 {
		o.t.Errorf("the deletion was cancelled after its date %d times", n)
	}
	verify(o.t, s)
}

// TestWhatFallsDueWhileTheServerIsStopped: a deletion, an expiry and a rotation whose
// time comes while no server runs are done by the next start, before its first answer
// unless it says that this would take too long; once, although that start is killed.
func TestWhatFallsDueWhileTheServerIsStopped(t *testing.T) {
	t.Parallel()
	s := start(t, "--dev")
	o := newOverdue(t, s)
	if o.done(s) {
		t.Fatal("nothing is due yet")
	}
	mustStop(t, s)
	s = startIn(t, s.Data, "--dev")
	if !o.done(s) {
		until(t, "the server to say that there was no time for it", func() bool {
			return strings.Contains(s.Output(), "is done only after its start") && strings.Contains(s.Output(), context.DeadlineExceeded.Error())
		})
	}
	o.refused(s)
	s.Kill()
	s = startIn(t, s.Data, "--dev")
	o.refused(s)
	until(t, "what was due to be done", func() bool { return o.done(s) })
	o.once(s)
}

// TestWhatFallsDueWhileAllNodesAreStopped is the same for several nodes, of which the
// one that led was killed: the others refuse what is overdue until one of them leads.
func TestWhatFallsDueWhileAllNodesAreStopped(t *testing.T) {
	t.Parallel()
	url := postgrestest.Start(t).URL(t)
	servers, _ := startNodesWith(t, url, 3, nodesLease, "--dev")
	o := newOverdue(t, servers[0])
	for _, s := range servers {
		s.Kill()
	}
	for i, s := range servers {
		servers[i] = startIn(t, s.Data, "--dev", "--store", url, "--lease", nodesLease)
		o.refused(servers[i])
	}
	for i, s := range servers {
		until(t, fmt.Sprintf("node %d to show that all is done", i), func() bool { o.refused(s); return o.done(s) })
	}
	// Another leads, and finds nothing left.
	servers[0].Kill()
	o.refused(servers[1])
	mustStop(t, servers[1])
	back := startIn(t, servers[1].Data, "--dev", "--store", url, "--lease", nodesLease)
	o.once(back)
}
