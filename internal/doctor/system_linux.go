package doctor

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/strongroom/strongroom/internal/admin"
)

func ownerOf(info fs.FileInfo) (uid uint32, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return stat.Uid, true
}

// What a disk should have. Below leastFree the server refuses every change; beneath
// scarce it will soon.
const (
	leastFree   = 256 << 20
	scarce      = 2 << 30
	leastInodes = 1000
)

// disk looks at the file system of the folder.
func disk(dir string) []admin.Finding {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return []admin.Finding{finding(admin.Wrong, "disk", "", "the file system of %s: %v", dir, err)}
	}
	free := stat.Bavail * uint64(stat.Bsize)
	return []admin.Finding{judgeSpace(dir, free, stat.Ffree, stat.Files), judgeFileSystem(dir, int64(stat.Type))}
}

func judgeSpace(dir string, free, inodes, allInodes uint64) admin.Finding {
	const check = "disk"
	switch {
	case free < leastFree:
		return finding(admin.Wrong, check, "make space: df -h "+dir, "%d MiB are free; below 256 MiB every call is refused", free>>20)
	case allInodes > 0 && inodes < leastInodes: // some file systems have no such limit
		return finding(admin.Wrong, check, "remove files: df -i "+dir, "%d files can still be made", inodes)
	case free < scarce:
		return finding(admin.Doubtful, check, "make space, or shorten what is kept: df -h "+dir, "%d MiB are free; below 256 MiB every call is refused", free>>20)
	}
	return finding(admin.Fine, check, "", "%d GiB are free", free>>30)
}

// fileSystem is what is known of a kind of file system.
type fileSystem struct {
	name  string
	level admin.Level
	why   string
}

// fileSystems are by the magic number that statfs(2) gives.
var fileSystems = map[int64]fileSystem{
	unix.EXT4_SUPER_MAGIC:      {"ext4", admin.Fine, ""},
	unix.XFS_SUPER_MAGIC:       {"xfs", admin.Fine, ""},
	unix.BTRFS_SUPER_MAGIC:     {"btrfs", admin.Fine, ""},
	0x2fc12fc1:                 {"zfs", admin.Fine, ""},
	unix.F2FS_SUPER_MAGIC:      {"f2fs", admin.Fine, ""},
	unix.TMPFS_MAGIC:           {"tmpfs", admin.Wrong, "it is memory: a restart of the machine loses every key"},
	unix.RAMFS_MAGIC:           {"ramfs", admin.Wrong, "it is memory: a restart of the machine loses every key"},
	unix.OVERLAYFS_SUPER_MAGIC: {"overlayfs", admin.Doubtful, "in a container, it goes with the container: mount a volume there"},
	unix.NFS_SUPER_MAGIC:       {"NFS", admin.Doubtful, "locks and syncs are only as good as the server's and the mount's options"},
	unix.SMB_SUPER_MAGIC:       {"SMB", admin.Wrong, "neither locks nor syncs can be relied on"},
	unix.CIFS_SUPER_MAGIC:      {"CIFS", admin.Wrong, "neither locks nor syncs can be relied on"},
	unix.SMB2_SUPER_MAGIC:      {"SMB2", admin.Wrong, "neither locks nor syncs can be relied on"},
	unix.FUSE_SUPER_MAGIC:      {"FUSE", admin.Doubtful, "syncs are only as good as the program behind it"},
	unix.V9FS_MAGIC:            {"9p", admin.Doubtful, "syncs are only as good as the host behind it"},
}

func judgeFileSystem(dir string, magic int64) admin.Finding {
	const check = "file system"
	kind, known := fileSystems[magic]
	switch {
	case !known:
		return finding(admin.Fine, check, "", "%s is on a file system of kind %#x, of which nothing is known", dir, magic)
	case kind.level == admin.Fine:
		return finding(admin.Fine, check, "", "%s is on %s", dir, kind.name)
	}
	return finding(kind.level, check, "put the data folder on a disk with ext4 or xfs", "%s is on %s: %s", dir, kind.name, kind.why)
}

// synchronised asks the kernel whether somebody keeps its clock.
func synchronised() []admin.Finding {
	const check = "clock"
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		return []admin.Finding{finding(admin.Fine, check, "", "the system does not say whether the clock is synchronised: %v", err)}
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		return []admin.Finding{finding(admin.Doubtful, check, "run chrony or systemd-timesyncd; in a container, on its host",
			"nobody keeps the clock in time; signatures that are five minutes off are refused")}
	}
	return []admin.Finding{finding(admin.Fine, check, "", "the clock is synchronised")}
}

// leastFiles is how many files a server may need: its connections and its store's files.
const leastFiles = 8192

// process looks at limits and at swap.
func process(serving bool) (found []admin.Finding) {
	if serving {
		var files unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
			found = append(found, judgeFiles(files.Cur))
		}
		var core unix.Rlimit
		dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		if err2 := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil || err2 != nil || dumpable != 0 || core.Cur != 0 {
			found = append(found, finding(admin.Wrong, "core files", "start it as the strongroom command, which forbids them", "the server's memory can be dumped"))
		} else {
			found = append(found, finding(admin.Fine, "core files", "", "the server's memory cannot be dumped"))
		}
	}
	swaps, err := os.ReadFile("/proc/swaps")
	if err != nil {
		return found
	}
	status, err := os.ReadFile("/proc/self/status")
	locked := err == nil && serving && lockedMemory(string(status))
	return append(found, judgeSwap(string(swaps), serving, locked))
}

func judgeFiles(limit uint64) admin.Finding {
	if limit < leastFiles {
		return finding(admin.Doubtful, "open files", "LimitNOFILE=65536 in the unit, or ulimit -n 65536", "the server may open %d files; with all its connections it needs %d", limit, leastFiles)
	}
	return finding(admin.Fine, "open files", "", "the server may open %d files", limit)
}

// lockedMemory reads /proc/PID/status.
func lockedMemory(status string) bool {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "VmLck:"); ok {
			return strings.TrimSpace(rest) != "0 kB"
		}
	}
	return false
}

// judgeSwap reads /proc/swaps: a heading, and a line for each.
func judgeSwap(swaps string, serving, locked bool) admin.Finding {
	const check = "swap"
	used := 0
	lines := bufio.NewScanner(strings.NewReader(swaps))
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "Filename") {
			used++
		}
	}
	switch {
	case used == 0:
		return finding(admin.Fine, check, "", "the machine has no swap")
	case locked:
		return finding(admin.Fine, check, "", "the server's memory is locked")
	case !serving:
		return finding(admin.Fine, check, "", "the machine has swap; whether the server's memory is locked is known while it runs")
	}
	return finding(admin.Doubtful, check, "LimitMEMLOCK=infinity and MemorySwapMax=0 in the unit; or swapoff, or encrypted swap",
		"%s and the server's memory is not locked: keys in use may be written to it", fmt.Sprintf("the machine has swap (%d)", used))
}
