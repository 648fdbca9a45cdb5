package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/strongroom/strongroom/e2e/binary"
)

// year is a dev server whose clock a test moves on, step by step.
type year struct {
	t           *testing.T
	server      *binary.Server
	here, there *kms.Client
	now         time.Time // the server's, but for the seconds that the test has taken
}

const aDay = 24 * time.Hour

// pass lets days pass.
func (y *year) pass(days int) {
	y.t.Helper()
	advance(y.t, y.server, (time.Duration(days) * aDay).String())
	y.now = y.now.Add(time.Duration(days) * aDay)
}

// until waits for what the server does by itself.
func (y *year) until(what string, done func() bool) {
	y.t.Helper()
	if err := binary.Until(what, untilDone, func() (bool, error) { return done(), nil }); err != nil {
		y.t.Fatal(err)
	}
}

// rotated waits until no rotation of the key is overdue.
func (y *year) rotated(c *kms.Client, key *types.KeyMetadata) {
	y.t.Helper()
	y.until("a rotation that is due", func() bool { return rotationStatus(y.t, c, key).NextRotationDate.After(y.now) })
}

// gone waits until a key is deleted.
func (y *year) gone(c *kms.Client, key *types.KeyMetadata) {
	y.t.Helper()
	var err error
	y.until("a deletion that is due", func() bool {
		_, err = c.DescribeKey(y.t.Context(), &kms.DescribeKeyInput{KeyId: key.KeyId})
		return err != nil
	})
	wantError(y.t, err, "NotFoundException", "Key '"+*key.Arn+"' does not exist")
}

// schedule makes a key pending deletion in so many days.
func (y *year) schedule(c *kms.Client, key *types.KeyMetadata, days int32) *kms.ScheduleKeyDeletionOutput {
	y.t.Helper()
	out, err := c.ScheduleKeyDeletion(y.t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key.KeyId, PendingWindowInDays: &days})
	if err != nil {
		y.t.Fatal(err)
	}
	return out
}

// sealed is a ciphertext and the material that it was made with.
type sealed struct {
	key      *types.KeyMetadata
	blob     []byte
	material string
}

func (y *year) seal(c *kms.Client, key *types.KeyMetadata) sealed {
	y.t.Helper()
	return sealed{key, encrypt(y.t, c, *key.KeyId, []byte("kept"), nil), *describe(y.t, c, key).CurrentKeyMaterialId}
}

func (y *year) opens(c *kms.Client, s sealed) {
	y.t.Helper()
	out, err := c.Decrypt(y.t.Context(), &kms.DecryptInput{CiphertextBlob: s.blob})
	if err != nil {
		y.t.Fatal(err)
	}
	if string(out.Plaintext) != "kept" || aws.ToString(out.KeyMaterialId) != s.material {
		y.t.Errorf("%q with material %s, want %s", out.Plaintext, aws.ToString(out.KeyMaterialId), s.material)
	}
}

// TestAYearOfKeys passes a year on a server's clock in steps of five days: a key that
// rotates every 90 days, a multi-Region key that rotates every 120, imported material
// that expires and comes back, a key that is deleted, and a multi-Region key whose
// replica and then its primary are.
func TestAYearOfKeys(t *testing.T) {
	s := start(t, "--dev", "--regions", defaultRegion+","+secondRegion)
	y := &year{t: t, server: s, here: devClient(s, "test", defaultRegion), there: devClient(s, "test", secondRegion), now: time.Now()}

	rotating := createKey(t, y.here, nil)
	enableRotation(t, y.here, rotating, 90)
	primary := createKey(t, y.here, &kms.CreateKeyInput{MultiRegion: aws.Bool(true)})
	enableRotation(t, y.here, primary, 120)
	y.now = time.Now() // not before the schedules begin, so that what is due is waited for
	replica := y.replicate(primary)
	imported := externalKey(t, y.here, nil)
	in := wrapped(t, y.here, imported, 1)
	in.ExpirationModel, in.ValidTo = "", aws.Time(y.now.Add(200*aDay))
	if _, err := y.here.ImportKeyMaterial(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	underImported := y.seal(y.here, imported)
	doomed := createKey(t, y.here, nil)
	if _, err := y.here.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/doomed"), TargetKeyId: doomed.KeyId}); err != nil {
		t.Fatal(err)
	}
	y.schedule(y.here, doomed, 30)
	leaving := createKey(t, y.here, &kms.CreateKeyInput{MultiRegion: aws.Bool(true)})
	leavingReplica := y.replicate(leaving)
	if out := y.schedule(y.here, leaving, 7); out.KeyState != types.KeyStatePendingReplicaDeletion || out.DeletionDate != nil {
		t.Errorf("%+v", out)
	}

	var blobs []sealed
	for day := 0; day <= 365; day += 5 {
		y.rotated(y.here, rotating)
		y.rotated(y.here, primary)
		y.rotated(y.there, replica)
		blobs = append(blobs, y.seal(y.here, rotating), y.seal(y.there, replica))
		switch day {
		case 25:
			if state := describe(t, y.here, doomed).KeyState; state != types.KeyStatePendingDeletion {
				t.Errorf("five days before its deletion a key is %s", state)
			}
		case 35:
			y.gone(y.here, doomed)
			_, err := y.here.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("alias/doomed")})
			wantError(t, err, "NotFoundException", "Alias arn:aws:kms:us-east-1:000000000000:alias/doomed is not found.")
		case 100: // the primary's waiting period has not begun: it has a replica
			if now := describe(t, y.here, leaving); now.KeyState != types.KeyStatePendingReplicaDeletion || now.DeletionDate != nil {
				t.Errorf("%+v", now)
			}
			y.schedule(y.there, leavingReplica, 10)
		case 115:
			y.gone(y.there, leavingReplica)
			now := describe(t, y.here, leaving)
			if now.KeyState != types.KeyStatePendingDeletion || now.DeletionDate == nil {
				t.Errorf("%+v", now)
			}
		case 125:
			y.gone(y.here, leaving)
		case 195:
			y.opens(y.here, underImported)
		case 205:
			y.until("the expiry of material", func() bool { return describe(t, y.here, imported).KeyState == types.KeyStatePendingImport })
			_, err := y.here.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: underImported.blob})
			wantError(t, err, "KMSInvalidStateException", *imported.Arn+" is pending import.")
		case 210:
			in.ExpirationModel, in.ValidTo = types.ExpirationModelTypeKeyMaterialDoesNotExpire, nil
			_, err := y.here.ImportKeyMaterial(t.Context(), in)
			wantError(t, err, "ExpiredImportTokenException", "*")
			importMaterial(t, y.here, imported, 1)
			y.opens(y.here, underImported)
		}
		y.pass(5)
	}

	for _, one := range blobs {
		y.opens(y.here, one)
		if one.key == replica {
			y.opens(y.there, one)
		}
	}
	for _, one := range []struct {
		c    *kms.Client
		key  *types.KeyMetadata
		want int
	}{{y.here, rotating, 4}, {y.here, primary, 3}, {y.there, replica, 3}} {
		list, err := one.c.ListKeyRotations(t.Context(), &kms.ListKeyRotationsInput{KeyId: one.key.KeyId})
		if err != nil || len(list.Rotations) != one.want {
			t.Errorf("%s: %d rotations, want %d, %v", *one.key.Arn, len(list.Rotations), one.want, err)
		}
		for _, rotation := range list.Rotations {
			if rotation.RotationType != types.RotationTypeAutomatic {
				t.Errorf("%+v", rotation)
			}
		}
	}
	y.trail(map[string]int{
		"RotateKey " + *rotating.Arn:                 4,
		"RotateKey " + *primary.Arn:                  3,
		"DeleteKey " + *doomed.Arn:                   1,
		"DeleteKey " + *leavingReplica.Arn:           1,
		"DeleteKey " + *leaving.Arn:                  1,
		"DeleteExpiredKeyMaterial " + *imported.Arn:  1,
		"SynchronizeMultiRegionKey " + *primary.Arn:  4, // the replica's creation first
		"ImportKeyMaterial " + *imported.Arn:         2,
		"ImportKeyMaterial " + *imported.Arn + " !":  1, // the token was too old
		"ScheduleKeyDeletion " + *doomed.Arn:         1,
		"ScheduleKeyDeletion " + *leaving.Arn:        1,
		"ScheduleKeyDeletion " + *leavingReplica.Arn: 1,
	})
}

// replicate makes a replica in the second region and waits until it is enabled.
func (y *year) replicate(primary *types.KeyMetadata) *types.KeyMetadata {
	y.t.Helper()
	out, err := y.here.ReplicateKey(y.t.Context(), &kms.ReplicateKeyInput{KeyId: primary.KeyId, ReplicaRegion: aws.String(secondRegion)})
	if err != nil {
		y.t.Fatal(err)
	}
	y.until("a replica", func() bool { return describe(y.t, y.there, out.ReplicaKeyMetadata).Enabled })
	return out.ReplicaKeyMetadata
}

// trail compares how often the audit trail has what changes keys; "!" marks what was
// refused. All of it lies within the year that passed on the server's clock.
func (y *year) trail(want map[string]int) {
	y.t.Helper()
	records, text := export(y.t, y.server)
	got := map[string]int{}
	for _, r := range records {
		if len(r.Resources) == 0 {
			continue
		}
		name := r.EventName + " " + r.Resources[0].ARN
		if r.ErrorCode != "" {
			name += " !"
		}
		got[name]++
		at, err := time.Parse(time.RFC3339, r.EventTime)
		if err != nil || at.After(y.now.Add(time.Hour)) || at.Before(y.now.Add(-375*aDay)) {
			y.t.Errorf("%s at %s: %v", name, r.EventTime, err)
		}
	}
	for name, n := range want {
		if got[name] != n {
			y.t.Errorf("%s is recorded %d times, want %d", name, got[name], n)
		}
	}
	for line := range strings.Lines(text) {
		var event struct {
			EventType, EventName string
			UserIdentity         struct{ InvokedBy string }
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			y.t.Fatal(err)
		}
		if service := event.EventType == "AwsServiceEvent"; service != (event.UserIdentity.InvokedBy == "AWS Internal") {
			y.t.Errorf("a record that says two things of who made it: %s", line)
		}
	}
	verify(y.t, y.server)
}
