package cluster

import (
	"cmp"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	killsFlag      = flag.Int("kills", 0, "kill the primary this often, under Patroni")
	partitionsFlag = flag.Int("partitions", 0, "cut networks this often, under Patroni")
	stopsFlag      = flag.Int("stops", 2, "stop a node past its lease, and take notifications away, this often, under Patroni")
	probesFlag     = flag.Int("probes", 1_000_000, "go on, under Patroni, until so many probes after a revocation were refused")
	historiesFlag  = flag.Int("histories", 1000, "go on, under Patroni, until so many histories were checked")
	mostFlag       = flag.Duration("most", 3*time.Hour, "make no more faults after this time, under Patroni")
	withinFlag     = flag.Duration("within", time.Hour, "go on for so long at most for probes and histories when all faults are made, under Patroni")
	faultsFlag     = flag.String("faults", "", "make these `faults` under Patroni, in this order and separated by commas, instead of -kills and the like")
	pauseFlag      = flag.Duration("pause", 45*time.Millisecond, "let each of the loaders and probers pause for so long between two calls, under Patroni")
	keepFlag       = flag.String("keep", "", "a new `folder` for what the run under Patroni leaves behind; if empty, none")
)

// inside tells that the process has namespaces of its own.
const inside = "STRONGROOM_CLUSTER_INSIDE"

// changesWithin is how soon after the loss of a primary changes must be made again.
const changesWithin = 30 * time.Second

// partitions are the ways of cutting networks, as often as each is made of 50.
var partitions = []struct {
	name  string
	often int
}{
	{"cut a node off", 14}, {"cut the primary off", 10}, {"cut a node off past its lease", 6}, {"cut a standby off", 6},
	{"cut the primary off from the nodes", 5}, {"cut a node off from its clients", 5}, {"cut a node and the primary off together", 4},
}

// faults lists what is to be done, mixed.
func faults(kills, partitionsMade, stops int, choices *rand.Rand) (all []string) {
	type placed struct {
		name string
		at   float64
	}
	var list []placed
	place := func(name string, i, of int) {
		list = append(list, placed{name, (float64(i) + choices.Float64()) / float64(of)})
	}
	for i := range kills {
		place([]string{"kill the primary", "kill the primary's machine"}[i%2], i, kills)
	}
	var kinds []string
	for _, p := range partitions {
		for range p.often {
			kinds = append(kinds, p.name)
		}
	}
	choices.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	for i := range partitionsMade {
		place(kinds[i%len(kinds)], i, partitionsMade)
	}
	for i := range stops {
		place("stop a node past its lease", i, stops)
		place("take notifications away", i, stops)
	}
	slices.SortStableFunc(list, func(a, b placed) int { return cmp.Compare(a.at, b.at) })
	for _, p := range list {
		all = append(all, p.name)
	}
	return all
}

// TestPatroni is the long proof. It takes root, Linux, and Debian's packages
// postgresql, patroni, etcd-server and iproute2:
//
//	make cluster KILLS=50 PARTITIONS=50
func TestPatroni(t *testing.T) {
	if *killsFlag+*partitionsFlag == 0 && *faultsFlag == "" {
		t.Skip("this is the long proof, which takes root and Debian's packages postgresql, patroni and etcd-server; to run it: make cluster")
	}
	if os.Getenv(inside) == "" {
		outside(t)
		return
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	dir := *keepFlag
	if dir == "" {
		if dir, err = os.MkdirTemp("", "cluster"); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	shared, own := filepath.Join(dir, "databases"), filepath.Join(dir, "nodes")
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	for _, err := range []error{os.Chmod(dir, 0o755), os.Mkdir(shared, 0o755), os.Chown(shared, uid, gid), os.Mkdir(own, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is well-formed
	if len(found) == 0 {
		t.Fatal("there is no PostgreSQL in /usr/lib/postgresql")
	}
	s := seed()
	stop := make(chan struct{})
	time.AfterFunc(*mostFlag, func() { close(stop) })
	list := faults(*killsFlag, *partitionsFlag, *stopsFlag, rand.New(rand.NewPCG(s, 300)))
	if *faultsFlag != "" {
		list = strings.Split(*faultsFlag, ",")
	}
	report := run(t, Config{
		Path: build(t), Dir: own, Lease: time.Minute, Cut: 4 * time.Second, Seed: s, Loaders: 4, Probers: 4, Pause: *pauseFlag, Probes: *probesFlag, Histories: *historiesFlag, Within: *withinFlag, Stop: stop,
		Faults: list,
	}, newPatroni(shared, found[len(found)-1]))
	if longest := slices.Max(append(report.Back, 0)); longest > changesWithin {
		t.Errorf("changes were back after %s, which is more than %s", longest, changesWithin)
	}
}

// outside runs this test again, in namespaces of its own: with them ends all that it
// started, and nothing of this machine is changed.
func outside(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make network namespaces; to run this test: sudo make cluster")
	}
	for _, program := range []string{"unshare", "setpriv", "ip", "patroni", "etcd"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v; to run this test: apt-get install postgresql patroni etcd-server iproute2 util-linux", err)
		}
	}
	// The shell stays to reap what loses its parent.
	const script = `mkdir -p /run/netns && mount -t tmpfs none /run/netns && ip link set lo up && { "$@" & wait $!; }`
	args := []string{"--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script, "sh"}
	cmd := exec.Command("unshare", append(append(args, os.Args...), "-test.run=^TestPatroni$", "-test.v", "-test.timeout=0")...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
}
