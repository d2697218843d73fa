//go:build linux && !android

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/raw"
	"golang.org/x/sys/unix"
)

// found is a finding as JSON has it.
type found struct {
	V                             int
	Type, Check, Level, Text, Fix string
}

// findings reads the JSON lines of doctor.
func findings(t *testing.T, o outcome) (all []found) {
	t.Helper()
	all = parseFindings(t, o.stdout)
	if o.code != 0 && o.code != 4 || (o.code == 4) != fails(all) {
		t.Errorf("exit code %d for\n%s%s", o.code, o.stdout, o.stderr)
	}
	return all
}

func parseFindings(t *testing.T, text string) (all []found) {
	t.Helper()
	for text := range strings.Lines(text) {
		var f found
		if err := json.Unmarshal([]byte(text), &f); err != nil || f.V != 1 || f.Type != "finding" {
			t.Fatalf("%q: %v", text, err)
		}
		if f.Fix == "" && (f.Level == "warn" || f.Level == "fail") {
			t.Errorf("no fix: %+v", f)
		}
		all = append(all, f)
	}
	return all
}

func fails(all []found) bool {
	for _, f := range all {
		if f.Level == "fail" {
			return true
		}
	}
	return false
}

// finds fails unless doctor has a finding of this check and level with these parts in its text and its fix, and returns it.
func finds(t *testing.T, all []found, check, level, text, fix string) found {
	t.Helper()
	f, ok := find(all, check, level, text)
	if !ok || !strings.Contains(f.Fix, fix) {
		t.Errorf("no %s finding of %s with %q and the fix %q among\n%s", level, check, text, fix, listed(all))
	}
	return f
}

func find(all []found, check, level, text string) (found, bool) {
	for _, f := range all {
		if f.Check == check && f.Level == level && strings.Contains(f.Text, text) {
			return f, true
		}
	}
	return found{}, false
}

func listed(all []found) string {
	var b strings.Builder
	for _, f := range all {
		b.WriteString(f.Level + " " + f.Check + ": " + f.Text + " | " + f.Fix + "\n")
	}
	return b.String()
}

func examine(t *testing.T, args ...string) []found {
	t.Helper()
	return findings(t, tool(t, append([]string{"doctor", "--json"}, args...)...))
}

// TestLabDoctorHealthy: nothing is wrong with CAP_NET_RAW alone and an open target.
func TestLabDoctorHealthy(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		for _, v6 := range []bool{false, true} {
			all := examine(t, ep(peer.Addr(v6), 80))
			for _, f := range all {
				if (f.Level == "fail" || f.Level == "warn") && f.Check != "backlog" { // the backlog's drops are the machine's, since boot
					t.Errorf("%+v", f)
				}
			}
			for check, text := range map[string]string{
				"privilege": "CAP_NET_RAW", "ports": "source ports", "vrf": "no VRF", "receive": "512 of 512",
				"rp_filter": "no strict", "nat": "no sign", "route": "eth0 from " + n.Prober().Addr(v6).String(), "answer": "is open (syn-ack)",
			} {
				finds(t, all, check, "ok", text, "")
			}
			finds(t, all, "guard", "ok", "IPv4: the kernel stays silent", "")
			finds(t, all, "guard", "ok", "IPv6: the kernel stays silent", "")
		}
		o := tool(t, "doctor", "--color=never", peer.V4.String())
		o.want(t, 0)
		contains(t, o.stdout, "ok    privilege   raw sockets open", "ok    route       to 10.77.1.2: eth0 from 10.77.1.1, on the link")
		if strings.Contains(o.stdout, "  answer  ") {
			t.Errorf("a target without a port was probed:\n%s", o.stdout)
		}
	})
}

// TestLabDoctorUnprivileged: without any privilege it runs, and tells how to get it.
func TestLabDoctorUnprivileged(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		wire := peer.Capture(t)
		target := ep(peer.V4, 80)
		all := findings(t, as(t, n, lab.Nobody, "doctor", "--json", target))
		finds(t, all, "privilege", "fail", "user 65534 has no CAP_NET_RAW", "sudo setcap cap_net_raw+p "+executable(t))
		finds(t, all, "privilege", "info", "there are other ways", "run it with sudo")
		finds(t, all, "guard", "info", "needs raw sockets", "sudo setcap")
		finds(t, all, "receive", "info", "needs raw sockets", "sudo setcap")
		finds(t, all, "route", "ok", "eth0 from 10.77.1.1", "")

		all = findings(t, as(t, n, lab.Confined, "doctor", "--json", target))
		finds(t, all, "privilege", "fail", "not in the bounding set", "--cap-add NET_RAW")
		finds(t, all, "container", "warn", "the bounding set lacks CAP_NET_RAW", "--cap-add NET_RAW")

		all = findings(t, as(t, n, lab.Root, "doctor", "--json"))
		finds(t, all, "privilege", "info", "all the power of root", "sudo setcap cap_net_raw+p ")

		all = parseFindings(t, shell(t, n, fmt.Sprintf("%s=command setpriv --securebits +noroot '%s' doctor --json", roleVariable, executable(t))))
		finds(t, all, "privilege", "fail", "user 0 runs without CAP_NET_RAW", "without dropping")
		wire.ExpectNothingElse(t)
	})
}

// TestLabDoctorPrivilege: the command that doctor names gives a user the privilege.
func TestLabDoctorPrivilege(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		path := installed(t, nil)
		examine := func() []found {
			var stdout bytes.Buffer
			n.Prober().Run(t, lab.Command{Path: path, Args: []string{"doctor", "--json"}, Env: []string{roleVariable + "=command", noSleep}, As: lab.Nobody, Stdout: &stdout})
			return parseFindings(t, stdout.String())
		}
		fix := finds(t, examine(), "privilege", "fail", "neither has the file "+path, "").Fix
		if want := "sudo setcap cap_net_raw+p " + path; fix != want { // another would write elsewhere on this machine
			t.Fatalf("the fix is %q, want %q", fix, want)
		}
		shell(t, n, fix)
		finds(t, examine(), "privilege", "ok", "raw sockets open", "")
	})
}

// inRole runs the command as this test binary sets it up in a role; see play.
func inRole(t *testing.T, n *lab.Net, who lab.Privilege, role string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := n.Prober().Run(t, lab.Command{Args: args, Env: []string{roleVariable + "=" + role, noSleep}, As: who, Stdout: &stdout, Stderr: &stderr})
	return outcome{code, stdout.String(), stderr.String()}
}

// TestLabDoctorSurroundings: user namespaces, seccomp filters, a kernel without TCP_MD5SIG, a container's cgroup.
func TestLabDoctorSurroundings(t *testing.T) {
	top := lab.Topology{Files: map[string]string{"/proc/1/cgroup": "0::/kubepods.slice/kubepods-pod7.slice/cri-containerd-8.scope\n"}}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		all := findings(t, inRole(t, n, lab.NetRaw, "md5", "doctor", "--json"))
		finds(t, all, "guard", "warn", "IPv4: the kernel refuses TCP_MD5SIG_EXT", "CONFIG_TCP_MD5SIG")
		finds(t, all, "guard", "warn", "IPv6: the kernel refuses TCP_MD5SIG_EXT", "CONFIG_TCP_MD5SIG")
		finds(t, all, "container", "info", "a seccomp filter", "Seccomp")
		finds(t, all, "container", "info", "no_new_privs", "NoNewPrivs")
		finds(t, all, "container", "info", "container (kubernetes) with a network of its own", "hostNetwork: true")

		const families = "RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_PACKET"
		for role, family := range map[string]string{"packet": "AF_PACKET", "netlink": "AF_NETLINK"} {
			all = findings(t, inRole(t, n, lab.NetRaw, role, "doctor", "--json"))
			finds(t, all, "privilege", "fail", family, families)
			for _, args := range [][]string{{"check", "127.0.0.1:1"}, {"check", "-I", "lo", "127.0.0.1:1"}, {"scan", "--checkpoint", "off", "127.0.0.1:1"}, {"demo"}} {
				o := inRole(t, n, lab.NetRaw, role, args...)
				o.want(t, 4)
				contains(t, o.stderr, "may not use the address family "+family, families)
			}
		}
		for _, check := range []string{"vrf", "rp_filter", "nat", "route"} {
			finds(t, findings(t, inRole(t, n, lab.NetRaw, "netlink", "doctor", "--json")), check, "info", "not examined: this process may not use the address family AF_NETLINK", families)
		}

		for role, want := range map[string][4]string{
			"no IPv6":   {"guard", "info", "no IPv6 here", "/proc/cmdline"},
			"policy":    {"privilege", "fail", "a security policy", "journalctl"},
			"no memory": {"privilege", "fail", "cannot allocate memory", "strace"},
		} {
			finds(t, findings(t, inRole(t, n, lab.NetRaw, role, "doctor", "--json")), want[0], want[1], want[2], want[3])
		}
		all = findings(t, inRole(t, n, lab.Nobody, "md5", "doctor", "--json"))
		finds(t, all, "privilege", "fail", "no_new_privs keeps file capabilities", "AmbientCapabilities=CAP_NET_RAW")
		all = findings(t, inRole(t, n, lab.NetRaw, "netlink", "doctor", "--json"))
		finds(t, all, "container", "info", "this is a container (kubernetes)", "")
		finds(t, all, "guard", "ok", "IPv4: the kernel stays silent", "")
		shell(t, n, "ip link add docker0 type bridge")
		finds(t, examine(t), "container", "info", "container (kubernetes) on the host's network", "")

		all = findings(t, inRole(t, n, lab.Root, "user namespace", "doctor", "--json"))
		finds(t, all, "privilege", "fail", "user namespace that does not own this network namespace", "podman run --network private")
		finds(t, all, "container", "info", "this is a user namespace", "uid_map")
	})
}

// TestLabDoctorFrames takes away what scans send by.
func TestLabDoctorFrames(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		n.Prober().AddRoute(t, lab.Route{To: netip.MustParsePrefix("198.51.100.0/24"), Via: n.Host("peer").V4})
		const target = "198.51.100.1"
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		taken, err := raw.OpenXDP(eth0.Index, 0, 0)
		if errors.Is(err, syscall.ENOPROTOOPT) || errors.Is(err, syscall.EAFNOSUPPORT) {
			finds(t, examine(t, target), "frames", "info", "send by packet sockets", "")
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		finds(t, examine(t, target), "frames", "info", "another AF_XDP socket has transmit queue 0", "ss --xdp")
		taken.Close()
		var all []found
		free := func(f found) bool { return f.Check == "frames" && f.Level == "ok" }
		for range 100 { // the kernel lets go of the queue a moment later
			if all = examine(t, target); slices.ContainsFunc(all, free) {
				break
			}
		}
		finds(t, all, "frames", "ok", "scans through eth0 send by AF_XDP", "")
		finds(t, examine(t, n.Host("peer").V4.String()), "frames", "ok", "scans through eth0 send by AF_XDP", "")
		for _, f := range examine(t, "127.0.0.1") {
			if f.Check == "frames" {
				t.Errorf("on loopback a scan has no frames: %+v", f)
			}
		}

		var limit unix.Rlimit
		if err := errors.Join(unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit),
			unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 64 << 10, Max: limit.Max})); err != nil {
			t.Fatal(err)
		}
		f := finds(t, examine(t, target), "frames", "info", "too little memory may be locked", "prlimit --pid $$ --memlock=")
		const wanted = 8 << 20
		if limit.Max < wanted {
			t.Logf("the limit of this process is %d: nobody but an administrator raises it to %d", limit.Max, wanted)
			return
		}
		f.Fix = strings.ReplaceAll(f.Fix, "$$", fmt.Sprint(os.Getpid())) // here the shell is this process
		mend(t, f)
		finds(t, examine(t, target), "frames", "ok", "scans through eth0 send by AF_XDP", "")
	})
}

// TestLabDoctorFramesRefused: what the kernel may lack costs a scan no more than speed.
func TestLabDoctorFramesRefused(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		n.Prober().AddRoute(t, lab.Route{To: netip.MustParsePrefix("198.51.100.0/24"), Via: n.Host("peer").V4})
		for role, want := range map[string][2]string{
			"no AF_XDP":  {"the kernel has none", "grep Seccomp"},
			"old AF_XDP": {"it needs Linux 6.17", "uname -r"},
			"odd AF_XDP": {"input/output error", "ethtool --driver eth0"},
		} {
			finds(t, findings(t, inRole(t, n, lab.NetRaw, role, "doctor", "--json", "198.51.100.1")), "frames", "info", want[0], want[1])
		}
	})
}

// TestLabDoctorLimits: a shell with few descriptors is no lack of ports, and its limit is what the command raises.
func TestLabDoctorLimits(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Listen(t, 80)
		doctor := "rawshake doctor --json " + ep(n.Host("peer").V4, 80)
		const few, fewer, fix = "ulimit -n 40; ", "ulimit -n 9; ", "sudo prlimit --pid $$ --nofile=4096:4096"
		for _, want := range []struct{ limit, check, text string }{
			{few, "ports", "64 source ports are needed and cannot be had: "},
			{few, "answer", "the probe failed: "},
			{fewer, "guard", "IPv4: the guard cannot be tried: "},
			{fewer, "guard", "IPv6: the guard cannot be tried: "},
			{fewer, "receive", "the receive ring cannot be tried: "},
		} {
			finds(t, parseFindings(t, shell(t, n, want.limit+doctor)), want.check, "fail", want.text, fix)
		}
		golden(t, "the limit", shell(t, n, "ulimit -n 5000; "+fix+"; ulimit -H -n"), "4096\n")
		if said := shell(t, n, few+fix); said != "" {
			t.Logf("this root may raise no limit, as in a container without CAP_SYS_RESOURCE: %s", said)
			return
		}
		if all := parseFindings(t, shell(t, n, few+fix+"; "+doctor)); fails(all) {
			t.Errorf("after `%s`:\n%s", fix, listed(all))
		}
	})
}

// TestLabDoctorForeignSys: `nsenter --net` and `unshare --net` leave /sys as it was, with the interfaces of another network namespace.
func TestLabDoctorForeignSys(t *testing.T) {
	top := lab.Topology{Links: []lab.Link{{A: "prober", B: "peer"}, {A: "prober", B: "peer"}}, As: lab.Root}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		if err := unix.Unmount("/sys", unix.MNT_DETACH); err != nil { // that of this namespace, on top of the machine's
			t.Fatal(err)
		}
		if _, err := os.Stat("/sys/class/net/eth1"); err == nil {
			t.Skip("the machine has an eth1 of its own")
		}
		prober.Sysctl(t, "net/ipv4/conf/eth1/rp_filter", "1")
		peer.LinkDown(t, "eth1")
		all := examine(t, peer.Interfaces[1].V4.String())
		finds(t, all, "rp_filter", "info", "eth1: a strict reverse path filter", "rp_filter=2")
		finds(t, all, "route", "fail", "eth1 to 10.77.2.2: the link is down", "ip link show dev eth1")
		finds(t, all, "nat", "ok", "no sign", "")
	})
}
