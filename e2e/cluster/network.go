package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/strongroom/strongroom/e2e/binary"
)

// network is a set of network namespaces that a bridge joins, one for each machine
// that there is to be, within the namespace that this process has. It takes root.
type network struct {
	bridge string // its name, and that of the interface in each namespace
	prefix string // of the addresses, as "10.77.2."
}

// newNetwork makes the bridge. This process has the address that ends with 1.
func newNetwork(bridge, prefix string) (*network, error) {
	n := &network{bridge, prefix}
	return n, errors.Join(
		ip("link", "add", bridge, "type", "bridge"),
		ip("addr", "add", prefix+"1/24", "dev", bridge),
		ip("link", "set", bridge, "up"),
	)
}

// join gives a machine, which is made unless it is there, the address that ends with
// host.
func (n *network) join(machine string, host int) error {
	port := fmt.Sprintf("%s-%d", n.bridge, host)
	return errors.Join(
		ip("link", "add", port, "type", "veth", "peer", "name", n.bridge, "netns", machine),
		ip("link", "set", port, "master", n.bridge, "up"),
		ip("-n", machine, "addr", "add", n.address(host)+"/24", "dev", n.bridge),
		ip("-n", machine, "link", "set", n.bridge, "up"),
	)
}

// machine makes a namespace.
func machine(name string) error {
	return errors.Join(ip("netns", "add", name), ip("-n", name, "link", "set", "lo", "up"))
}

func (n *network) address(host int) string { return n.prefix + strconv.Itoa(host) }

// member is a machine by its name and the end of its address.
type member struct {
	name string
	host int
}

// nowhere is an address that no machine has: what is sent there is lost.
const nowhere = "02:00:00:00:00:99"

// cut loses all packets between the members of two groups, until it is healed.
func (n *network) cut(some, others []member) (heal func() error, err error) {
	each := func(do func(at, to member) error) (err error) {
		for _, a := range some {
			for _, b := range others {
				err = errors.Join(err, do(a, b), do(b, a))
			}
		}
		return err
	}
	err = each(func(at, to member) error {
		return n.at(at, "neigh", "replace", n.address(to.host), "lladdr", nowhere, "nud", "permanent", "dev", n.bridge)
	})
	return func() error {
		return each(func(at, to member) error {
			return n.at(at, "neigh", "del", n.address(to.host), "dev", n.bridge)
		})
	}, err
}

// at runs ip on a machine; on none, here.
func (n *network) at(m member, args ...string) error {
	if m.name != "" {
		args = append([]string{"-n", m.name}, args...)
	}
	return ip(args...)
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// killAll ends all processes of a machine whose name is one of names; all of them if
// there are none.
func killAll(machine string, names ...string) error {
	return binary.Until("the end of all processes of "+machine, 20*time.Second, func() (bool, error) {
		pids, err := processes(machine, names...)
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
		return len(pids) == 0, err
	})
}

// processes lists the processes of a machine whose name is one of names; all of them if
// there are none.
func processes(machine string, names ...string) (pids []int, err error) {
	out, err := exec.Command("ip", "netns", "pids", machine).Output()
	if err != nil {
		return nil, err
	}
	for _, field := range strings.Fields(string(out)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		name, err := os.ReadFile("/proc/" + field + "/comm")
		if err == nil && (len(names) == 0 || slices.Contains(names, strings.TrimSpace(string(name)))) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
