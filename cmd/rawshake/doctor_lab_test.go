//go:build linux && !android

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rawshake/rawshake/craft"
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
	for text := range strings.Lines(o.stdout) {
		var f found
		if err := json.Unmarshal([]byte(text), &f); err != nil || f.V != 1 || f.Type != "finding" {
			t.Fatalf("%q: %v", text, err)
		}
		all = append(all, f)
	}
	if o.code != 0 && o.code != 4 || (o.code == 4) != fails(all) {
		t.Errorf("exit code %d for\n%s%s", o.code, o.stdout, o.stderr)
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

// finds fails unless doctor has a finding of this check and level with these parts in its text and its fix.
func finds(t *testing.T, all []found, check, level, text, fix string) {
	t.Helper()
	for _, f := range all {
		if f.Check == check && f.Level == level && strings.Contains(f.Text, text) && strings.Contains(f.Fix, fix) {
			return
		}
	}
	t.Errorf("no %s finding of %s with %q and the fix %q among\n%s", level, check, text, fix, listed(all))
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
		finds(t, all, "guard", "info", "needs raw sockets", "")
		finds(t, all, "receive", "info", "needs raw sockets", "")
		finds(t, all, "route", "ok", "eth0 from 10.77.1.1", "")

		all = findings(t, as(t, n, lab.Confined, "doctor", "--json", target))
		finds(t, all, "privilege", "fail", "not in the bounding set", "--cap-add NET_RAW")
		finds(t, all, "container", "warn", "the bounding set lacks CAP_NET_RAW", "--cap-add NET_RAW")

		all = findings(t, as(t, n, lab.Root, "doctor", "--json"))
		finds(t, all, "privilege", "info", "all the power of root", "sudo setcap cap_net_raw+p ")
		wire.ExpectNothingElse(t)
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
		for _, check := range []string{"vrf", "rp_filter", "nat"} {
			finds(t, findings(t, inRole(t, n, lab.NetRaw, "netlink", "doctor", "--json")), check, "info", "not examined: raw: interfaces: netlink socket", "")
		}

		all = findings(t, inRole(t, n, lab.Root, "user namespace", "doctor", "--json"))
		finds(t, all, "privilege", "fail", "user namespace that does not own this network namespace", "container a network of its own")
		finds(t, all, "container", "info", "this is a user namespace", "uid_map")
	})
}

// TestLabDoctorGuard breaks the trial on loopback in every way that a firewall and an administrator have.
func TestLabDoctorGuard(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober := n.Prober()
		const firewall = "nft list ruleset"
		broken := func(name string, breakIt func(t *testing.T), check, level, text, fix string) {
			t.Run(name, func(t *testing.T) {
				breakIt(t)
				finds(t, examine(t), check, level, text, fix)
			})
		}
		nft := func(chains string) func(*testing.T) { return func(t *testing.T) { prober.Nft(t, chains) } }
		broken("reset", nft("chain in { type filter hook input priority 0; iif lo tcp flags & (syn|ack) == (syn|ack) reject with tcp reset; }"),
			"guard", "fail", "something resets what a guarded port receives", firewall)
		broken("dropped", nft("chain in { type filter hook input priority 0; iif lo meta l4proto tcp drop; }"),
			"guard", "warn", "the trial shows nothing", firewall)
		for _, check := range []string{"guard", "receive"} {
			broken("refused", nft("chain out { type filter hook output priority 0; oif lo meta l4proto tcp drop; }"),
				check, "fail", "the local firewall refuses packets on loopback", firewall)
		}
		broken("no IPv6", func(t *testing.T) { prober.Sysctl(t, "net/ipv6/conf/all/disable_ipv6", "1") },
			"guard", "info", "no IPv6 on loopback", "ip link set lo up")
		broken("no loopback", func(t *testing.T) { prober.LinkDown(t, "lo") },
			"guard", "fail", "IPv4: the loopback interface is down", "sudo ip link set lo up")
		broken("taken at ingress", nft("chain early { type filter hook ingress device lo priority 0; meta l4proto tcp drop; }"),
			"receive", "fail", "sees none of 512 packets", "tc filter show dev lo ingress")
		broken("half taken at ingress", nft("chain early { type filter hook ingress device lo priority 0; meta l4proto tcp numgen inc mod 2 == 0 drop; }"),
			"receive", "fail", "sees 256 of 512 packets", "softnet_stat")
		broken("no ports", func(t *testing.T) { prober.Sysctl(t, "net/ipv4/ip_local_port_range", "40000 40009") },
			"ports", "fail", "cannot be had", "ip_local_port_range")
		broken("few ports", func(t *testing.T) { prober.Sysctl(t, "net/ipv4/ip_local_port_range", "40000 40299") },
			"ports", "warn", "takes 64 of 300", "ip_local_port_range")
	})
}

// TestLabDoctorRoute breaks the way to the target.
func TestLabDoctorRoute(t *testing.T) {
	lab.Test(t, lab.Topology{Files: map[string]string{"/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"}}, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		away := netip.MustParsePrefix("198.51.100.0/24")
		finds(t, examine(t, "198.51.100.1"), "route", "fail", "the routing table has none", "ip route get 198.51.100.1")
		finds(t, examine(t), "route", "info", "no default route for IPv4", "ip -4 route")
		finds(t, examine(t), "route", "info", "no default route for IPv6", "ip -6 route")
		finds(t, examine(t, "no.example:80"), "route", "fail", "no.example:80 does not resolve", "getent ahosts no.example")
		finds(t, examine(t, "127.0.0.1"), "route", "ok", "this host itself", "")
		for kind, text := range map[string]string{"unreachable": "an unreachable route", "prohibit": "a prohibit route", "blackhole": "a blackhole route"} {
			undo := prober.AddRoute(t, lab.Route{To: away, Type: kind})
			finds(t, examine(t, "198.51.100.1"), "route", "fail", text, "ip route get 198.51.100.1")
			undo()
		}
		undo := prober.AddRoute(t, lab.Route{To: away, Via: peer.V4})
		finds(t, examine(t, "198.51.100.1"), "route", "ok", "eth0 from 10.77.1.1 via 10.77.1.2", "")
		undo()

		prober.Sysctl(t, "net/ipv4/conf/eth0/ignore_routes_with_linkdown", "0")
		peer.LinkDown(t, "eth0")
		all := examine(t, ep(peer.V4, 80))
		finds(t, all, "route", "fail", "the link is down (no carrier)", "ip link show dev eth0")
		for _, f := range all {
			if f.Check == "answer" {
				t.Errorf("it probes by a link that is down: %+v", f)
			}
		}
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
		finds(t, examine(t, target), "frames", "info", "another AF_XDP socket has transmit queue 0", "ip -details link show dev eth0")
		taken.Close()
		var all []found
		free := func(f found) bool { return f.Check == "frames" && f.Level == "ok" }
		for range 100 { // the kernel lets go of the queue a moment later
			if all = examine(t, target); slices.ContainsFunc(all, free) {
				break
			}
		}
		finds(t, all, "frames", "ok", "scans through eth0 send by AF_XDP", "")
		for _, f := range examine(t, n.Host("peer").V4.String()) {
			if f.Check == "frames" {
				t.Errorf("on the link a scan has no frames: %+v", f)
			}
		}

		var limit unix.Rlimit
		if err := errors.Join(unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit),
			unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 64 << 10, Max: limit.Max})); err != nil {
			t.Fatal(err)
		}
		defer unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit)
		finds(t, examine(t, target), "frames", "info", "too little memory may be locked", "ulimit -l")
	})
}

// TestLabDoctorAnswer probes targets that this machine cannot ask, and one behind an address translation of its own.
func TestLabDoctorAnswer(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		peer.Listen(t, 80)
		target := ep(peer.V4, 80)

		undo := prober.Nft(t, "chain out { type filter hook output priority 0; tcp dport 80 drop; }")
		finds(t, examine(t, target), "answer", "fail", "the OUTPUT firewall of this host refuses the SYN", "nft list ruleset")
		undo()
		undo = peer.Drop(t, 80)
		finds(t, examine(t, target), "answer", "warn", "stays silent", "rawshake check --trace "+target)
		undo()
		undo = peer.Reject(t, 80, lab.AdminProhibited)
		finds(t, examine(t, target), "answer", "warn", "admin-prohibited, says 10.77.1.2", "--trace")
		undo()
		prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix("198.51.100.0/24"), Via: netip.MustParseAddr("10.77.1.99")})
		finds(t, examine(t, "198.51.100.1:80"), "answer", "fail", "the next hop answers neither ARP", "ip neighbour")

		undo = prober.Nft(t, "chain nat { type nat hook output priority -100; ip daddr 10.77.1.200 tcp dport 8080 dnat ip to 10.77.1.2:80; }")
		all := examine(t, "10.77.1.200:8080")
		finds(t, all, "answer", "ok", "10.77.1.200:8080 is open", "")
		finds(t, all, "nat", "info", "10.77.1.2:80 answered for 10.77.1.200:8080", "grep -n dnat")
		undo()
	})
}

// TestLabDoctorReversePath: doctor finds the filter, and what it says about it holds: an answer that comes back by another interface
// reaches us, and no program that connects.
func TestLabDoctorReversePath(t *testing.T) {
	top := lab.Topology{Links: []lab.Link{{A: "prober", B: "peer"}, {A: "prober", B: "peer"}}}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		peer.Listen(t, 80)
		peer.AddRoute(t, lab.Route{To: netip.PrefixFrom(prober.V4, 32), Via: prober.Interfaces[1].V4, Device: "eth1"})
		tool(t, "check", ep(peer.V4, 80)).want(t, 0) // and the peer learns who has 10.77.2.1: the filter hides its question too
		prober.Sysctl(t, "net/ipv4/conf/all/rp_filter", "1")
		finds(t, examine(t), "rp_filter", "info", "eth0, eth1: a strict reverse path filter", "rp_filter=2")
		tool(t, "check", ep(peer.V4, 80)).want(t, 0)
		o := tool(t, "check", "--method", "connect", "-t", "500ms", ep(peer.V4, 80))
		o.want(t, 1)
		contains(t, o.stdout, "filtered")
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

// TestLabDoctorConntrack fills the connection table, and holds what doctor says about rules that drop INVALID packets.
func TestLabDoctorConntrack(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		peer.Listen(t, 80)
		prober.Nft(t, `chain in { type filter hook input priority 0; ct state invalid drop; }
			chain out { type filter hook output priority 0; ct state new accept; }`)
		finds(t, examine(t), "conntrack", "ok", "the connection table holds", "")
		finds(t, examine(t), "conntrack", "info", "rules are not examined", "grep -n invalid")
		tool(t, "check", ep(peer.V4, 80)).want(t, 0)

		limit := readNumber(t, "/proc/sys/net/netfilter/nf_conntrack_max")
		if limit > 1<<20 {
			t.Skipf("the table has room for %d connections: too many to fill it here", limit)
		}
		track(t, limit*85/100)
		finds(t, examine(t), "conntrack", "warn", "(8", "nf_conntrack_max=")
	})
}

func readNumber(t *testing.T, path string) (n int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// track sends SYNs to a guarded port on loopback, where nobody answers, from ever new addresses: each makes an entry.
func track(t *testing.T, entries int) {
	t.Helper()
	sender, err := raw.OpenIP(false, raw.SocketConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	guard, err := raw.OpenGuard(false, raw.PortRange{}, 1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Close()
	const perSource = 60000 // ports
	dst := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	var syn *craft.Template
	for i := range entries {
		if i%perSource == 0 {
			source := netip.AddrFrom4([4]byte{127, 1, 0, byte(1 + i/perSource)})
			if syn, err = craft.NewSYN(craft.Spec{Source: source}); err != nil {
				t.Fatal(err)
			}
		}
		place := i % raw.BatchSize
		n := syn.Put(sender.Frame(place)[craft.Headroom:], dst, uint16(1024+i%perSource), guard.Ports()[0], uint32(i), 0)
		sender.SetIP(place, n, dst, 0)
		if place < raw.BatchSize-1 {
			continue
		}
		if _, err := sender.Send(0, raw.BatchSize); err != nil {
			t.Fatalf("after %d entries: %v", i, err)
		}
	}
}
