package server

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/backup"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

var _ admin.Backups = (*Server)(nil)

// backupKey authenticates backups. It outlasts the domain key's rotation.
func backupKey(domain *seal.Domain) (secret.Bytes, error) {
	return domain.Derive(firstVersion, seal.LabelBackup)
}

// CreateBackup implements [admin.Backups]. Records that were changed behind the
// server's back are not backed up.
func (s *Server) CreateBackup(ctx context.Context, out io.Writer) error {
	key, err := backupKey(s.domain)
	if err != nil {
		return err
	}
	live, err := s.folder.liveKey()
	if err != nil {
		return err
	}
	var id [16]byte
	if _, err := io.ReadFull(s.cfg.rand(), id[:]); err != nil {
		return err
	}
	reader, err := s.folder.journalReader()
	if err != nil {
		return err
	}
	s.oldest.RLock()
	defer s.oldest.RUnlock()
	return s.store.Image(ctx, func(image *store.Image) error {
		report, err := image.Check(ctx, live)
		if err == nil {
			err = report.Err()
		}
		if errors.Is(err, store.ErrRolledBack) || errors.Is(err, store.ErrCorrupt) {
			return changedRecords(err)
		}
		if err != nil {
			return err
		}
		meta, err := s.folder.backend.Meta(ctx)
		if err != nil {
			return err
		}
		delete(meta, metaSuspect)
		checkpoint, err := reader.CheckpointAt(ctx, image.Frame)
		if err != nil {
			return err
		}
		w, err := backup.NewWriter(out, key, backup.Header{
			ID: hex.EncodeToString(id[:]), Deployment: s.domain.Deployment(), Made: s.clock.Now().UTC().Truncate(time.Second),
			Epoch: image.Epoch, Frame: image.Frame, Checkpoint: checkpoint.String(), Meta: meta,
		})
		if err != nil {
			return err
		}
		if err := image.Records(ctx, w.Record); err != nil {
			return err
		}
		if err := image.Frames(ctx, w.Frame); err != nil {
			return err
		}
		_, err = w.Close()
		return err
	})
}

// BackupOperator is a deployment that no server has open, of which a backup can be
// taken.
type BackupOperator interface {
	admin.Backups
	io.Closer
}

// OpenBackups opens a data folder to take backups of it. It is refused while a
// server has the folder.
func OpenBackups(ctx context.Context, in Folder) (BackupOperator, error) {
	f, err := openExisting(ctx, in)
	if err != nil {
		return nil, err
	}
	o, err := newOperator(ctx, in, f)
	if err != nil {
		return nil, err
	}
	return stoppedBackups{o}, nil
}

type stoppedBackups struct{ *operator }

// CreateBackup records the backup before it begins.
func (b stoppedBackups) CreateBackup(ctx context.Context, out io.Writer) error {
	event := b.ownEvent("CreateBackup", nil)
	event.ReadOnly = true
	if err := b.recordAdmin(ctx, event); err != nil {
		return err
	}
	return b.Server.CreateBackup(ctx, out)
}

// BackupFile is a backup, and what opens it.
type BackupFile struct {
	// Path is the file; it must be set.
	Path string
	// In names the root. Its folder need not exist; a root file is looked for there
	// unless In.Root.File names another.
	In Folder
	// Shares of the recovery key open the backup in the place of the root, if there
	// are any.
	Shares []string
	// Progress, if not nil, is called with the bytes that were read, of total.
	Progress func(done, total uint64)
}

// BackupInfo is what a backup was found to hold.
type BackupInfo struct {
	ID         string    `json:"id"`
	Deployment string    `json:"deployment"`
	Made       time.Time `json:"made"`
	Epoch      uint64    `json:"epoch"`
	Records    uint64    `json:"records"`
	Frames     uint64    `json:"frames"`
	// AuditRecords is how many audit records its trail has, Checkpoint the last
	// checkpoint.
	AuditRecords uint64 `json:"auditRecords"`
	Checkpoint   string `json:"checkpoint"`
	// OpenedBy is the id of the root, or the recovery key, that opened it.
	OpenedBy string `json:"openedBy"`
}

// checkedBackup is a file that was found whole, and its opened domain key.
type checkedBackup struct {
	file     BackupFile
	header   backup.Header
	manifest backup.Manifest
	domain   *seal.Domain
	root     seal.Root // that opened it
	info     BackupInfo
}

// VerifyBackup proves that a file is a whole backup that its root opens, or shares of
// its recovery key: every block, every record, and the audit trail.
func VerifyBackup(ctx context.Context, file BackupFile) (BackupInfo, error) {
	c, err := checkBackup(ctx, file)
	if err != nil {
		return BackupInfo{}, err
	}
	return c.info, nil
}

func badBackup(path string, err error) error {
	return problem(fmt.Sprintf("%s is no backup that can be restored", path),
		"Take another backup, or another copy of this one. Nothing was changed.", err)
}

// open opens the keyslots of a backup.
func (f BackupFile) open(ctx context.Context, slots []byte) (root seal.Root, domain *seal.Domain, err error) {
	known, err := seal.Read(slots)
	if err != nil {
		return nil, nil, err
	}
	if len(f.Shares) > 0 {
		root, err = combine(known, f.Shares)
	} else {
		in := f.In
		in.Root.File, in.Dir = in.rootPath(), f.Path // what refusals are about
		root, err = in.open(ctx, known, rand.Reader)
	}
	if err != nil {
		return nil, nil, err
	}
	domain, err = seal.Open(ctx, root, slots)
	return root, domain, err
}

func checkBackup(ctx context.Context, file BackupFile) (*checkedBackup, error) {
	if err := file.In.Root.check(file.In.Seal); err != nil {
		return nil, err
	}
	c := &checkedBackup{file: file}
	var live *store.LiveCheck
	visitor := backup.Visitor{
		Key: func(h backup.Header) (key secret.Bytes, err error) {
			if c.root, c.domain, err = file.open(ctx, h.Meta[metaSlots]); err != nil {
				return nil, err
			}
			liveKey, err := (&folder{domain: c.domain}).liveKey()
			if err != nil {
				return nil, err
			}
			live = store.NewLiveCheck(newRecordSealer(c.domain), liveKey)
			return backupKey(c.domain)
		},
		Record: func(key, value []byte) error { return errors.Join(live.Add(key, value), ctx.Err()) },
	}
	var err error
	if c.header, c.manifest, err = c.read(visitor, file.Progress); err != nil {
		return nil, c.explain(err)
	}
	if c.domain.Deployment() != c.header.Deployment || string(c.header.Meta[metaDeployment]) != c.header.Deployment {
		return nil, badBackup(file.Path, errors.New("it names two deployments"))
	}
	frames := &backupFrames{c: c}
	f := &folder{domain: c.domain, backend: frames}
	state, _, err := f.signedState(ctx)
	if err == nil {
		err = live.Done(c.header.Epoch, state)
	}
	var report *journal.Report
	if err == nil {
		report, err = c.verifyTrail(ctx, frames)
	}
	if err != nil {
		return nil, c.explain(err)
	}
	c.info = BackupInfo{
		ID: c.header.ID, Deployment: c.header.Deployment, Made: c.header.Made, Epoch: c.header.Epoch,
		Records: c.manifest.Records, Frames: c.manifest.Frames, AuditRecords: report.Records, Checkpoint: c.header.Checkpoint, OpenedBy: c.root.ID(),
	}
	return c, nil
}

// explain leaves refusals of the root, and of the system, as they are.
func (c *checkedBackup) explain(err error) error {
	var wrong *journal.Problem
	if errors.Is(err, backup.ErrBad) || errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrRolledBack) || errors.As(err, &wrong) {
		return badBackup(c.file.Path, err)
	}
	return err
}

// verifyTrail checks the frames with their bodies, and that they end with the
// checkpoint that the header names.
func (c *checkedBackup) verifyTrail(ctx context.Context, frames journal.Frames) (*journal.Report, error) {
	signer, err := journalSigner(c.domain)
	if err != nil {
		return nil, err
	}
	report, err := journal.Verify(ctx, journal.VerifyConfig{
		Deployment: c.header.Deployment, Stream: streamName, PublicKeys: []ed25519.PublicKey{signer.Public().(ed25519.PublicKey)},
		Frames: frames, Key: journalKey(c.domain),
	})
	if err == nil && (report.Checkpoint == nil || report.Checkpoint.String() != c.header.Checkpoint || report.UnsignedFrames > 0) {
		err = fmt.Errorf("%w: its trail does not end with its checkpoint", backup.ErrBad)
	}
	return report, err
}

// read reads the file once.
func (c *checkedBackup) read(v backup.Visitor, progress func(done, total uint64)) (backup.Header, backup.Manifest, error) {
	file, err := os.Open(c.file.Path)
	if err != nil {
		return backup.Header{}, backup.Manifest{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return backup.Header{}, backup.Manifest{}, err
	}
	return backup.Read(&counted{in: file, total: uint64(info.Size()), progress: progress}, v)
}

// counted says how much was read.
type counted struct {
	in          io.Reader
	done, total uint64
	progress    func(done, total uint64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.done += uint64(n)
	if c.progress != nil {
		c.progress(c.done, c.total)
	}
	return n, err
}

// backupFrames are the frames in a checked file. As a backend it has nothing else.
type backupFrames struct {
	store.Backend
	c *checkedBackup
}

func (b *backupFrames) LastFrame(ctx context.Context) (seq uint64, frame []byte, err error) {
	err = b.Frames(ctx, b.c.header.Frame, func(at uint64, bytes []byte) error {
		seq, frame = at, append([]byte{}, bytes...)
		return nil
	})
	if err == nil && seq != b.c.header.Frame {
		err = fmt.Errorf("%w: the last frame is missing", backup.ErrBad)
	}
	return seq, frame, err
}

func (b *backupFrames) Frames(_ context.Context, from uint64, fn func(seq uint64, frame []byte) error) error {
	_, _, err := b.c.read(backup.Visitor{
		Key:    func(backup.Header) (secret.Bytes, error) { return backupKey(b.c.domain) },
		Expect: &b.c.manifest,
		Frame: func(seq uint64, frame []byte) error {
			if seq < from {
				return nil
			}
			return fn(seq, frame)
		},
	}, nil)
	return err
}
