package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/server"
)

type backupCmd struct {
	Create  backupCreateCmd  `cmd:"" help:"Write a backup, of a running server or a stopped one."`
	Verify  backupVerifyCmd  `cmd:"" help:"Prove that a backup is whole and that the root opens it."`
	Restore backupRestoreCmd `cmd:"" help:"Make a data folder of a backup."`
}

type backupCreateCmd struct {
	folder `embed:""`

	File string `arg:"" help:"The file to write. It must not exist."`
}

func (backupCreateCmd) Help() string {
	return `Records, keyslots and audit trail of one moment, in one file that only its owner can read; a running server goes on meanwhile. Everything stays sealed: without the root the file opens nothing. The root and the files with credentials are not in it, and belong elsewhere.

Examples:

    strongroom backup create /backups/strongroom-2026-01-31
    strongroom backup create backup --data /srv/strongroom`
}

// Run implements the command.
func (c *backupCreateCmd) Run(a *app) error {
	ctx := context.Background()
	if err := c.exists(); err != nil {
		return err
	}
	return a.newFile(c.File, func(out io.Writer) error {
		client, err := admin.Connect(c.Data)
		if err == nil {
			return client.CreateBackup(ctx, out)
		}
		if !errors.Is(err, admin.ErrNotRunning) {
			return err
		}
		b, err := a.openBackups(ctx, c.asServer(a))
		if err != nil {
			return err
		}
		return errors.Join(b.CreateBackup(ctx, out), b.Close())
	})
}

// newFile writes a backup's file whole or not at all: under another name first, on
// stable storage before it gets its own.
func (a *app) newFile(path string, write func(io.Writer) error) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = &problem{what: path + " exists already", hint: "choose another name: a backup never replaces a file"}
		}
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".unfinished-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it has its name
	progress := newProgress(a, "MiB written")
	counter := &counting{out: f, show: func(n uint64) { progress.show(n>>20, 0) }}
	err = write(counter)
	progress.done()
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "The backup is in %s, %d bytes.\nTo see that it can be restored:\n    strongroom backup verify %s\n", path, counter.n, shellQuote(path))
	return err
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// counting says how much was written.
type counting struct {
	out  io.Writer
	n    uint64
	show func(uint64)
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.out.Write(p)
	c.n += uint64(n)
	c.show(c.n)
	return n, err
}

// backupFlags name a backup and what opens it.
type backupFlags struct {
	folder     `embed:""`
	sharesFlag `embed:""`

	File     string `arg:"" help:"The backup."`
	Root     string `placeholder:"FILE" help:"The root file that is to open it. Default: root.key in the data folder."`
	Recovery bool   `help:"Open it with shares of the recovery key instead of the root."`
}

func (f *backupFlags) backup(a *app, p *progress) (server.BackupFile, error) {
	file := server.BackupFile{
		Path: f.File, In: f.asServer(a), Progress: func(done, total uint64) { p.show(done>>20, total>>20) },
	}
	file.In.Root.File = f.Root
	if !f.Recovery && len(f.SharesFile) == 0 {
		return file, nil
	}
	if f.Root != "" {
		return file, &problem{what: "either a root opens the backup or shares do", hint: "leave out --root, or --recovery and --shares-file"}
	}
	var err error
	if file.Shares, err = f.read(a); err == nil && len(file.Shares) == 0 {
		err = &problem{what: "no share was given"}
	}
	return file, err
}

type backupVerifyCmd struct {
	backupFlags `embed:""`
	jsonFlag    `embed:""`
}

func (backupVerifyCmd) Help() string {
	return `Reads every block, opens every record, and checks the audit trail to its last signature. Exits with 0 only when the backup can be restored with this root, or with these shares. Needs no server and no data folder.

Examples:

    strongroom backup verify /backups/strongroom-2026-01-31 --root /safe/root.key
    strongroom backup verify /backups/strongroom-2026-01-31 --seal passphrase
    strongroom backup verify /backups/strongroom-2026-01-31 --recovery`
}

// Run implements the command.
func (c *backupVerifyCmd) Run(a *app) error {
	progress := newProgress(a, "MiB checked")
	file, err := c.backup(a, progress)
	if err != nil {
		return err
	}
	info, err := a.verifyBackup(context.Background(), file)
	progress.done()
	if err != nil {
		return err
	}
	return c.print(a, info, func() string {
		return describeBackup(info) + "It is whole, and " + info.OpenedBy + " opens it.\n"
	})
}

func describeBackup(info server.BackupInfo) string {
	return fmt.Sprintf("backup %s\nof deployment %s, made %s\n%s, %s in the audit trail\n",
		info.ID, info.Deployment, info.Made.UTC().Format(time.RFC3339), count(info.Records, "stored record"), count(info.AuditRecords, "record"))
}

type backupRestoreCmd struct {
	backupFlags `embed:""`
	jsonFlag    `embed:""`

	History    string `placeholder:"PATH" help:"The data folder that the backup is of, or a full export of its audit trail: what was changed after the backup is made again."`
	Checkpoint string `placeholder:"FILE" help:"A later checkpoint that was kept elsewhere: the restore then says, and records, how many audit records are lost."`

	rollbackFlags `embed:""`

	AllowUndoneRevocations bool `help:"Leave keys in the states that they had in the backup. Keys that were disabled since, and whatever else was taken away since, are then in force again at once."`
}

func (backupRestoreCmd) Help() string {
	return `Into a data folder that does not exist, is empty, or holds root.key alone. The backup is checked first. The restore is recorded in the audit trail. A root file that --root names is copied into the folder; after shares, the folder gets a new root, of the kind that --seal names.

A backup is old: what was disabled, denied, deleted or revoked since is not in it. Therefore keys that were enabled come back disabled: "aws kms enable-key" lets each be used again once somebody has looked at who may use it. Identities, policies, grants and access keys come back as they were.

With --history, the old data folder, what was changed since is made again, and keys come back in the states that they had last. An export of the trail ends before the disaster: with one, too, keys come back disabled.

Examples:

    strongroom backup restore /backups/strongroom-2026-01-31 --data /srv/strongroom --root /safe/root.key
    strongroom backup restore /backups/strongroom-2026-01-31 --data /srv/strongroom --recovery
    strongroom backup restore /backups/strongroom-2026-01-31 --data /srv/new --root /safe/root.key --history /srv/strongroom`
}

// Run implements the command.
func (c *backupRestoreCmd) Run(a *app) error {
	checkpoint, err := readProof("--checkpoint", c.Checkpoint)
	if err != nil {
		return err
	}
	progress := newProgress(a, "MiB")
	file, err := c.backup(a, progress)
	if err != nil {
		return err
	}
	approvals, err := c.rollbackFlags.read()
	if err != nil {
		return err
	}
	done, err := a.restore(context.Background(), server.RestoreConfig{
		Approvals: approvals, BackupFile: file, History: c.History, KeepKeys: c.AllowUndoneRevocations, Checkpoint: checkpoint, Log: slog.Default(),
	})
	progress.done()
	if err := c.write(err); err != nil {
		return err
	}
	return c.print(a, done, func() string { return c.describe(done) })
}

func (c *backupRestoreCmd) describe(done server.Restored) string {
	text := describeBackup(done.BackupInfo) + fmt.Sprintf("was restored into %s.\n", c.Data)
	if c.History != "" {
		text += fmt.Sprintf("%s since were made again; %d made keys, users and the like that are lost.\n", count(uint64(done.Replayed), "change"), done.Gone)
		if done.Refused > 0 {
			text += fmt.Sprintf("%d could not be made again, and what they are about is disabled: strongroom audit search --operation ReplayChange --error any\n", done.Refused)
		}
	} else if done.LostRecords > 0 {
		text += fmt.Sprintf("%s after it are lost, and the changes that they tell of.\n", count(done.LostRecords, "audit record"))
	}
	switch {
	case done.KeysDisabled > 0:
		text += fmt.Sprintf("%s came back disabled. To use one again: aws kms enable-key --key-id KEY\n", count(uint64(done.KeysDisabled), "key"))
	case c.History == "" && c.AllowUndoneRevocations:
		text += "Keys are in the states that they had. What was disabled, denied, deleted or revoked since the backup is in force again.\n"
	}
	if c.History == "" {
		text += "Identities, policies, grants and access keys are those of the backup: look at what was taken away since.\n"
	}
	return text
}
