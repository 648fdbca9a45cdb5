package doctor

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/strongroom/strongroom/internal/admin"
)

func TestJudgeSpace(t *testing.T) {
	for _, c := range []struct {
		free, inodes, all uint64
		want              admin.Level
	}{
		{100 << 30, 1 << 20, 1 << 21, admin.Fine},
		{100 << 30, 0, 0, admin.Fine}, // no limit of files
		{100 << 30, 10, 1 << 21, admin.Wrong},
		{1 << 30, 1 << 20, 1 << 21, admin.Doubtful},
		{100 << 20, 1 << 20, 1 << 21, admin.Wrong},
	} {
		if f := judgeSpace("/data", c.free, c.inodes, c.all); f.Level != c.want {
			t.Errorf("%+v: %+v", c, f)
		}
	}
}

func TestJudgeFileSystem(t *testing.T) {
	for magic, want := range map[int64]admin.Level{
		unix.EXT4_SUPER_MAGIC: admin.Fine, unix.TMPFS_MAGIC: admin.Wrong, unix.NFS_SUPER_MAGIC: admin.Doubtful,
		unix.OVERLAYFS_SUPER_MAGIC: admin.Doubtful, 0x12345: admin.Fine,
	} {
		if f := judgeFileSystem("/data", magic); f.Level != want || want != admin.Fine && f.Advice == "" {
			t.Errorf("%#x: %+v", magic, f)
		}
	}
}

func TestJudgeSwap(t *testing.T) {
	const heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
	const one = heading + "/dev/sda2                               partition\t1048572\t\t0\t\t-2\n"
	for name, c := range map[string]struct {
		swaps           string
		serving, locked bool
		want            admin.Level
	}{
		"none":             {heading, true, false, admin.Fine},
		"some":             {one, true, false, admin.Doubtful},
		"some, and locked": {one, true, true, admin.Fine},
		"nobody serves":    {one, false, false, admin.Fine},
	} {
		if f := judgeSwap(c.swaps, c.serving, c.locked); f.Level != c.want {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if lockedMemory("VmPeak:\t 1 kB\nVmLck:\t       0 kB\n") || !lockedMemory("VmLck:\t    1024 kB\n") || lockedMemory("") {
		t.Error("what is locked is read wrongly")
	}
	if judgeFiles(1024).Level != admin.Doubtful || judgeFiles(65536).Level != admin.Fine {
		t.Error("the limit of files is judged wrongly")
	}
}
