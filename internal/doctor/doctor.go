// Package doctor looks at what a data folder stands on (its files, its disk, the
// machine's clock, limits and swap) and says what is wrong and what to do about it.
//
// It changes nothing but one small file that it writes, syncs and removes. What it finds
// is as seen by the process that looks: a server's limits are known to that server.
package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/metrics"
)

// Config is what is looked at. Dir and Now must be set.
type Config struct {
	// Dir is the data folder.
	Dir string
	// Now is the machine's time.
	Now time.Time
	// Newest is when the newest audit record was committed; zero if there is none.
	Newest time.Time
	// Serving says that this process is the server: then its own limits are looked at.
	Serving bool
}

func finding(level admin.Level, check, advice, format string, args ...any) admin.Finding {
	return admin.Finding{Check: check, Level: level, Text: fmt.Sprintf(format, args...), Advice: advice}
}

// Examine looks at everything.
func Examine(cfg Config) []admin.Finding {
	found := files(cfg.Dir)
	found = append(found, disk(cfg.Dir)...)
	found = append(found, syncing(cfg.Dir))
	found = append(found, clock(cfg)...)
	return append(found, process(cfg.Serving)...)
}

// public are files of a data folder that anybody may read.
var public = []string{"journal.pub"}

// files looks at who may use the folder.
func files(dir string) (found []admin.Finding) {
	const check = "files"
	info, err := os.Stat(dir)
	if err != nil {
		return []admin.Finding{finding(admin.Wrong, check, "name the data folder with --data", "%v", err)}
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		found = append(found, finding(admin.Wrong, check, "chmod 700 "+dir, "others may use the data folder (mode %04o)", perm))
	}
	owner, known := ownerOf(info)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return append(found, finding(admin.Wrong, check, "ask as the user that the server runs as, or as root", "%v", err))
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was there for a moment
		}
		if err != nil {
			found = append(found, finding(admin.Wrong, check, "", "%v", err))
			continue
		}
		if perm := info.Mode().Perm(); perm&0o077 != 0 && !slices.Contains(public, entry.Name()) {
			found = append(found, finding(admin.Wrong, check, fmt.Sprintf("chmod go= %s", path), "others may use %s (mode %04o)", path, perm))
		}
		if of, ok := ownerOf(info); known && ok && of != owner {
			found = append(found, finding(admin.Wrong, check, fmt.Sprintf("chown --reference=%s %s", dir, path), "%s belongs to another user than the data folder (uid %d, not %d)", path, of, owner))
		}
	}
	if len(found) == 0 {
		found = append(found, finding(admin.Fine, check, "", "the data folder is its owner's alone"))
	}
	return found
}

// What a disk should do with a small file. Under the one, nothing may have reached a
// disk; over the other, each change waits for it.
const (
	quickSync = 20 * time.Microsecond
	slowSync  = 50 * time.Millisecond
	syncs     = 5
)

// syncing writes and syncs a small file a few times.
func syncing(dir string) admin.Finding {
	const check = "sync"
	times := make([]time.Duration, syncs)
	path := filepath.Join(dir, ".doctor")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		for i := range times {
			if _, err = f.WriteAt([]byte("strongroom\n"), int64(i)*4096); err != nil {
				break
			}
			begun := metrics.Start()
			if err = f.Sync(); err != nil {
				break
			}
			times[i] = begun.Took()
		}
		err = errors.Join(err, f.Close(), os.Remove(path))
	}
	if err != nil {
		return finding(admin.Wrong, check, "look at the disk: dmesg, df, mount", "the data folder cannot be written to and synced: %v", err)
	}
	slices.Sort(times)
	return judgeSync(times[syncs/2])
}

func judgeSync(usual time.Duration) admin.Finding {
	const check = "sync"
	switch {
	case usual < quickSync:
		return finding(admin.Doubtful, check, "make sure that the disk, or the hypervisor, does not ignore flushes; a power cut would lose what was acknowledged",
			"a sync takes %s, less than any disk needs", usual.Round(time.Microsecond))
	case usual > slowSync:
		return finding(admin.Doubtful, check, "use a disk with less latency; calls wait for it, and share syncs", "a sync takes %s", usual.Round(time.Millisecond))
	}
	return finding(admin.Fine, check, "", "a sync takes %s", usual.Round(time.Microsecond))
}

// clockSlack is how far the newest record may be ahead of the clock.
const clockSlack = 5 * time.Second

// clock holds the machine's clock against the audit trail.
func clock(cfg Config) []admin.Finding {
	const check = "clock"
	found := synchronised()
	if ahead := cfg.Newest.Sub(cfg.Now); ahead > clockSlack {
		return append(found, finding(admin.Wrong, check, "set the clock, and have it kept by NTP: chronyc tracking, timedatectl; if it was ahead before, by mistake: docs/operations.md, \"The clock\"",
			"the newest audit record is %s ahead of the clock: the clock was set back", ahead.Round(time.Second)))
	}
	if cfg.Now.Year() < 2026 {
		return append(found, finding(admin.Wrong, check, "set the clock, and have it kept by NTP", "the clock says %s", cfg.Now.Format(time.RFC3339)))
	}
	return found
}
