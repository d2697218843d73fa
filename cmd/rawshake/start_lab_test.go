//go:build linux && !android

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/lab"
	"golang.org/x/sys/unix"
)

// The files of the table in docs/capabilities.md: none, permitted (+p), permitted and effective (+ep).
var fileCapabilities = []struct {
	name  string
	xattr []byte
}{{name: "plain"}, {name: "+p", xattr: fileCapability(false)}, {name: "+ep", xattr: fileCapability(true)}}

// fileCapability is CAP_NET_RAW as a file carries it: struct vfs_cap_data of linux/capability.h, revision 2.
func fileCapability(effective bool) []byte {
	const revision2, effectiveFlag = 0x02000000, 1
	head := uint32(revision2)
	if effective {
		head |= effectiveFlag
	}
	b := binary.LittleEndian.AppendUint32(nil, head)
	b = binary.LittleEndian.AppendUint32(b, 1<<unix.CAP_NET_RAW) // permitted; inheritable and the upper halves are empty
	return append(b, make([]byte, 12)...)
}

// installed copies this test binary to where every user can run it, with a file capability.
func installed(t *testing.T, xattr []byte) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "rawshake")
	binary, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(path, binary, 0o755)
	}
	if err == nil {
		err = os.Chmod(filepath.Dir(dir), 0o755)
	}
	if err == nil && xattr != nil {
		err = unix.Setxattr(path, "security.capability", xattr, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	user    = "setpriv --reuid 65534 --regid 65534 --clear-groups "
	ambient = "--inh-caps +net_raw --ambient-caps +net_raw "
	only    = "--bounding-set -all,+net_raw "
	without = "--bounding-set -net_raw "
	noNew   = "--no-new-privs "
)

// TestLabWaysToStart holds the table of docs/capabilities.md: what becomes of a check, by how the program is started and what its file
// carries. An exit code of 4 comes with the one sentence that says why; 126 is setpriv's: the kernel starts no such program.
func TestLabWaysToStart(t *testing.T) {
	lab.NeedRoot(t)
	target := fmt.Sprintf("127.0.0.1:%d", listen(t, "127.0.0.1"))
	var paths []string
	for _, f := range fileCapabilities {
		paths = append(paths, installed(t, f.xattr))
	}
	for _, way := range []struct {
		name, wrapper string
		codes         [3]int
		says          string
	}{
		{"user", user, [3]int{4, 0, 0}, "user 65534 has no CAP_NET_RAW"},
		{"root", "env", [3]int{0, 0, 0}, ""},
		{"root with nothing but NET_RAW", "setpriv " + only + noNew, [3]int{0, 0, 0}, ""},
		{"root, bounding set without NET_RAW", "setpriv " + without, [3]int{4, 4, 126}, "not in the bounding set"},
		{"user, bounding set without NET_RAW", user + without, [3]int{4, 4, 126}, "not in the bounding set"},
		{"user, ambient", user + ambient + only, [3]int{0, 0, 0}, ""},
		{"user, ambient, no_new_privs", user + ambient + only + noNew, [3]int{0, 0, 0}, ""},
		{"user, no_new_privs", user + "setpriv " + noNew, [3]int{4, 4, 4}, "no_new_privs keeps file capabilities"},
		{"user, no_new_privs, permitted before", user + noNew, [3]int{4, 0, 0}, "no_new_privs keeps file capabilities"},
		{"user namespace on the host's network", user + "unshare -U -r", [3]int{4, 4, 4}, "user namespace that does not own this network"},
	} {
		t.Run(way.name, func(t *testing.T) {
			for i, f := range fileCapabilities {
				o := startAs(t, way.wrapper, []string{paths[i], "check", target}, "command")
				if o.code != way.codes[i] {
					t.Errorf("%s: exit code %d, want %d\n%s%s", f.name, o.code, way.codes[i], o.stdout, o.stderr)
				}
				if o.code == 4 {
					contains(t, o.stderr, way.says, "To mend it:")
				}
			}
		})
	}
}

// TestLabUnprivilegedNamespaces: in a user namespace with a network of its own, a plain user has all that a demo takes.
func TestLabUnprivilegedNamespaces(t *testing.T) {
	if os.Getenv(loopbackVariable) != "" {
		becomeDemo(t)
	}
	lab.NeedRoot(t)
	path := installed(t, nil)
	if out, err := exec.Command("sh", "-c", user+"unshare -U -r -n true").CombinedOutput(); err != nil {
		t.Skipf("this system denies user namespaces to users: %v %s", err, out)
	}
	t.Setenv(loopbackVariable, "up")
	o := startAs(t, user+"unshare -U -r -n", []string{path, "-test.run=^" + t.Name() + "$"}, "")
	o.want(t, 0)
	contains(t, o.stdout, "open         syn-ack", "closed       rst", "filtered     timeout")
}

// loopbackVariable has a test binary bring up loopback, which is down in a new network, and become the demo.
const loopbackVariable = "RAWSHAKE_TEST_LOOPBACK"

func becomeDemo(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	lo, _ := unix.NewIfreq("lo")
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
	os.Setenv(roleVariable, "command")
	t.Fatal(syscall.Exec("/proc/self/exe", []string{"rawshake", "demo"}, os.Environ()))
}

// startAs runs a program behind the words of a wrapper, as this test binary in a role.
func startAs(t *testing.T, wrapper string, args []string, role string) outcome {
	t.Helper()
	words := append(strings.Fields(wrapper), args...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, noSleep)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// TestLabFeaturesNeedNetRaw holds the other table of docs/capabilities.md: what works with CAP_NET_RAW alone, what without anything,
// and the one flag that takes more.
func TestLabFeaturesNeedNetRaw(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		dir := t.TempDir()
		open, scan := ep(peer.V4, 80), []string{"scan", "--checkpoint", "off", "--progress", "off", "-o", "jsonl:-", ep(peer.V4, 80)}
		with := func(args []string, more ...string) []string { return append(args[:len(args):len(args)], more...) }
		for _, f := range []struct {
			name   string
			args   []string
			netRaw int // exit code with CAP_NET_RAW alone
			nobody int // exit code without any capability
		}{
			{"check", []string{"check", open}, 0, 4},
			{"check of IPv6", []string{"check", ep(peer.V6, 80)}, 0, 4},
			{"source and interface", []string{"check", "-S", n.Prober().V4.String(), "-I", "eth0", open}, 0, 4},
			{"trace and pcap", []string{"check", "--trace", "--pcap", filepath.Join(dir, "check.pcapng"), open}, 0, 4},
			{"connect", []string{"check", "--method", "connect", open}, 0, 0},
			{"scan", scan, 0, 4},
			{"scan with an interface", with(scan, "-I", "eth0"), 0, 4},
			{"scan with a mark", with(scan, "--mark", "7"), 0, 4},
			{"scan with TOS and TTL", with(scan, "--tos", "16", "--ttl", "9"), 0, 4},
			{"scan with ports", with(scan, "--source-ports", "40000-40100"), 0, 4},
			{"scan from privileged ports", with(scan, "--source-ports", "1000-1010"), 4, 4},
			{"scan with pcap", with(scan, "--pcap", filepath.Join(dir, "scan.pcapng")), 0, 4},
			{"plan of a scan", with(scan, "--dry-run"), 0, 0},
			{"demo", []string{"demo"}, 0, 4},
			{"doctor", []string{"doctor", open}, 0, 4},
			{"targets", []string{"targets", "count", "10.0.0.0/8", "-p", "80"}, 0, 0},
		} {
			t.Run(f.name, func(t *testing.T) {
				peer.FlushNeighbours(t)
				n.Prober().FlushNeighbours(t) // so that a scan has to resolve its next hop, too
				as(t, n, lab.NetRaw, f.args...).want(t, f.netRaw)
				as(t, n, lab.Nobody, f.args...).want(t, f.nobody)
			})
		}
		o := as(t, n, lab.NetRaw, with(scan, "--source-ports", "1000-1010")...)
		contains(t, o.stderr, "need CAP_NET_BIND_SERVICE")
	})
}
