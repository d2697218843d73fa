//go:build linux && !android

package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/rawshake/rawshake/internal/lab"
)

// ailment breaks one thing. Doctor finds it, the command that it names mends it or shows it, and then doctor finds it no more.
type ailment struct {
	name                    string
	cause                   func(t *testing.T) (end func())
	args                    []string // for doctor
	check, level, text, fix string   // the finding
	shows                   string   // what the command prints where it only shows, and the end of the cause has to mend; ""
}

// test has the ailment come and go.
func (a ailment) test(t *testing.T, n *lab.Net) {
	t.Run(a.name, func(t *testing.T) {
		end := a.cause(t)
		f := finds(t, examine(t, a.args...), a.check, a.level, a.text, a.fix)
		said := shell(t, n, f.Fix)
		if a.shows != "" {
			contains(t, said, a.shows)
			end()
		}
		if f, still := find(examine(t, a.args...), a.check, a.level, a.text); still {
			t.Errorf("after `%s`, which says\n%sthere is still %+v", f.Fix, said, f)
		}
	})
}

// shell runs a script as root in the prober's namespace, where sudo is no program and rawshake is this binary, and returns what it prints.
func shell(t *testing.T, n *lab.Net, script string) string {
	t.Helper()
	var out bytes.Buffer
	n.Prober().Run(t, lab.Command{Path: "sh", Args: []string{"-c", prelude(t) + script}, Env: []string{noSleep}, As: lab.Root, Stdout: &out})
	return out.String()
}

func prelude(t *testing.T) string {
	return fmt.Sprintf("exec 2>&1; sudo() { \"$@\"; }; rawshake() { %s=command '%s' \"$@\"; }\n", roleVariable, executable(t))
}

// TestLabDoctorGuard breaks the trial on loopback in every way that a firewall and an administrator have.
func TestLabDoctorGuard(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober := n.Prober()
		const firewall = "nft list ruleset"
		nft := func(chains string) func(*testing.T) func() {
			return func(t *testing.T) func() { return prober.Nft(t, chains) }
		}
		sysctl := func(key, value string) func(*testing.T) func() {
			return func(t *testing.T) func() { return prober.Sysctl(t, key, value) }
		}
		without := func(address string) func(*testing.T) func() {
			return func(t *testing.T) func() { return prober.DelAddress(t, "lo", netip.MustParsePrefix(address)) }
		}
		down := func(t *testing.T) func() { return prober.LinkDown(t, "lo") }
		deaf := func(t *testing.T) func() { return prober.Deafen(t, "lo") }
		resets := nft("chain in { type filter hook input priority 0; iif lo tcp flags & (syn|ack) == (syn|ack) reject with tcp reset; }")
		drops := nft("chain in { type filter hook input priority 0; iif lo meta l4proto tcp drop; }")
		refuses := nft("chain out { type filter hook output priority 0; oif lo meta l4proto tcp drop; }")
		takes := nft("chain early { type filter hook ingress device lo priority 0; meta l4proto tcp drop; }")
		takesHalf := nft("chain early { type filter hook ingress device lo priority 0; meta l4proto tcp numgen inc mod 2 == 0 drop; }")
		for _, a := range []ailment{
			{"reset", resets, nil, "guard", "fail", "something resets what a guarded port receives", firewall, "reject with tcp reset"},
			{"dropped", drops, nil, "guard", "warn", "the trial shows nothing", firewall, "l4proto tcp drop"},
			{"refused", refuses, nil, "guard", "fail", "the local firewall refuses packets on loopback", firewall, "l4proto tcp drop"},
			{"burst refused", refuses, nil, "receive", "fail", "the local firewall refuses packets on loopback", firewall, "l4proto tcp drop"},
			{"no IPv6", sysctl("net/ipv6/conf/all/disable_ipv6", "1"), nil, "guard", "info", "no IPv6 on loopback", "lo.disable_ipv6=0", ""},
			{"no ::1", without("::1/128"), nil, "guard", "info", "no IPv6 on loopback", "sudo ip address replace ::1/128 dev lo", ""},
			{"no 127.0.0.1", without("127.0.0.1/8"), nil, "guard", "info", "no IPv4 on loopback", "sudo ip address replace 127.0.0.1/8 dev lo", ""},
			{"nowhere to receive", without("127.0.0.1/8"), nil, "receive", "fail", "no IPv4 on loopback", "sudo ip address replace 127.0.0.1/8 dev lo", ""},
			{"no loopback", down, nil, "guard", "fail", "IPv4: the loopback interface is down", "sudo ip link set lo up", ""},
			{"no burst", down, nil, "receive", "fail", "the loopback interface is down", "sudo ip link set lo up", ""},
			{"taken by nftables", takes, nil, "receive", "fail", "sees none of 512 packets", firewall, "l4proto tcp drop"},
			{"taken by tc", deaf, nil, "receive", "fail", "sees none of 512 packets", "tc filter show dev lo ingress", "bpf chain 0 handle 0x1 lab"},
			{"half taken", takesHalf, nil, "receive", "fail", "sees 256 of 512 packets", "softnet_stat", "numgen inc mod 2"},
			{"no ports", sysctl("net/ipv4/ip_local_port_range", "40000 40009"), nil, "ports", "fail", "cannot be had", "ip_local_port_range", ""},
			{"few ports", sysctl("net/ipv4/ip_local_port_range", "40000 40299"), nil, "ports", "warn", "takes 64 of 300", "ip_local_port_range", ""},
		} {
			a.test(t, n)
		}
	})
}

// TestLabDoctorRoute breaks the way to the target.
func TestLabDoctorRoute(t *testing.T) {
	lab.Test(t, lab.Topology{Files: map[string]string{"/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"}}, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		prober.Sysctl(t, "net/ipv4/conf/eth0/ignore_routes_with_linkdown", "0")
		missing := func(to string, v6 bool) func(*testing.T) func() {
			return func(t *testing.T) func() {
				return func() { prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix(to), Via: peer.Addr(v6)}) }
			}
		}
		special := func(kind, to string) func(*testing.T) func() {
			return func(t *testing.T) func() {
				return prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix(to), Type: kind})
			}
		}
		stranger := netip.MustParsePrefix("10.77.1.9/24")
		foreign := func(t *testing.T) func() { return func() { prober.AddAddress(t, "eth0", stranger) } }
		down := func(t *testing.T) func() { return prober.LinkDown(t, "eth0") }
		unplugged := func(t *testing.T) func() { return peer.LinkDown(t, "eth0") }
		const away, away6 = "198.51.100.1", "2001:db8:9::1"
		target := ep(peer.V4, 80)
		for _, a := range []ailment{
			{"no default", missing("0.0.0.0/0", false), nil, "route", "info", "no default route for IPv4", "ip -4 route", "10.77.1.0/24 dev eth0"},
			{"no default of IPv6", missing("::/0", true), nil, "route", "info", "no default route for IPv6", "ip -6 route", "fd77:0:0:1::/64 dev eth0"},
			{"none", missing("198.51.100.0/24", false), []string{away}, "route", "fail", "the routing table has none", "ip -4 rule; ip -4 route", "10.77.1.0/24 dev eth0"},
			{"unreachable", special("unreachable", "198.51.100.0/24"), []string{away}, "route", "fail", "an unreachable route", "match 198.51.100.1", "unreachable 198.51.100.0/24"},
			{"prohibit", special("prohibit", "198.51.100.0/24"), []string{away}, "route", "fail", "a prohibit route", "match 198.51.100.1", "prohibit 198.51.100.0/24"},
			{"blackhole", special("blackhole", "198.51.100.0/24"), []string{away}, "route", "fail", "a blackhole route", "match 198.51.100.1", "blackhole 198.51.100.0/24"},
			{"unreachable IPv6", special("unreachable", "2001:db8:9::/48"), []string{away6}, "route", "fail", "an unreachable route", "match 2001:db8:9::1", "unreachable 2001:db8:9::/48"},
			{"foreign source", foreign, []string{"-S", "10.77.1.9", target}, "route", "fail", "-S 10.77.1.9 is not an address of this host", "ip address", "inet 10.77.1.1/24"},
			{"interface down", down, []string{"-I", "eth0", target}, "route", "fail", "-I eth0 is down", "sudo ip link set dev eth0 up", ""},
			{"no carrier", unplugged, []string{target}, "route", "fail", "the link is down (no carrier)", "ip link show dev eth0", "NO-CARRIER"},
		} {
			a.test(t, n)
		}
		finds(t, examine(t, "no.example:80"), "route", "fail", "no.example:80 does not resolve", "getent ahosts no.example")
		finds(t, examine(t, "127.0.0.1"), "route", "ok", "this host itself", "")
		prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix("198.51.100.0/24"), Via: peer.V4})
		finds(t, examine(t, away), "route", "ok", "eth0 from 10.77.1.1 via 10.77.1.2", "")
	})
}

// TestLabDoctorNothingTried: where the way is cut, no probe says something else about the target.
func TestLabDoctorNothingTried(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		n.Prober().Sysctl(t, "net/ipv4/conf/eth0/ignore_routes_with_linkdown", "0")
		n.Host("peer").LinkDown(t, "eth0")
		for _, args := range [][]string{{ep(n.Host("peer").V4, 80)}, {"198.51.100.1:80"}, {"-S", "10.77.1.9", ep(n.Host("peer").V4, 80)}} {
			for _, f := range examine(t, args...) {
				if f.Check == "answer" {
					t.Errorf("%q: %+v", args, f)
				}
			}
		}
	})
}

// TestLabDoctorAnswer probes targets that do not answer, that this machine cannot ask, and one behind an address translation of its own.
func TestLabDoctorAnswer(t *testing.T) {
	t.Parallel() // it mostly waits
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		peer.Listen(t, 80)
		target, target6 := ep(peer.V4, 80), ep(peer.V6, 80)
		script := func(begin, end string) func(*testing.T) func() {
			return func(t *testing.T) func() {
				if said := shell(t, n, begin); said != "" {
					t.Fatal(said)
				}
				return func() { shell(t, n, end) }
			}
		}
		refuses := func(t *testing.T) func() {
			return prober.Nft(t, "chain out { type filter hook output priority 0; tcp dport 80 drop; }")
		}
		silent := func(t *testing.T) func() { return peer.Drop(t, 80) }
		rejects := func(t *testing.T) func() { return peer.Reject(t, 80, lab.AdminProhibited) }
		rejects6 := func(t *testing.T) func() { return peer.Reject(t, 80, lab.AdminProhibited6) }
		dead := func(t *testing.T) func() {
			return prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix("198.51.100.0/24"), Via: netip.MustParseAddr("10.77.1.99")})
		}
		nobody := func(t *testing.T) func() {
			return func() { peer.AddAddress(t, "eth0", netip.MustParsePrefix("10.77.1.98/24")) }
		}
		full := script(fmt.Sprintf("ip neighbour replace %v dev eth0 lladdr %v && tc qdisc add dev eth0 root pfifo limit 0", peer.V4, peer.Interfaces[0].MAC),
			fmt.Sprintf("ip neighbour delete %v dev eth0; tc qdisc del dev eth0 root", peer.V4))
		policy := script("ip xfrm policy add dir out dst 10.77.1.2/32 action block", "ip xfrm policy delete dir out dst 10.77.1.2/32")
		translated := func(t *testing.T) func() {
			return prober.Nft(t, "chain nat { type nat hook output priority -100; ip daddr 10.77.1.200 tcp dport 8080 dnat ip to 10.77.1.2:80; }")
		}
		end := translated(t)
		finds(t, examine(t, "10.77.1.200:8080"), "answer", "ok", "10.77.1.200:8080 is open", "")
		end()
		for _, a := range []ailment{
			{"refused", refuses, []string{target}, "answer", "fail", "the OUTPUT firewall of this host refuses the SYN", "nft list ruleset", "tcp dport 80 drop"},
			{"refused by policy", policy, []string{target}, "answer", "fail", "or an IPsec policy", "ip xfrm policy", "dir out action block"},
			{"silent", silent, []string{target}, "answer", "warn", "stays silent", "rawshake check --trace " + target, " SYN seq "},
			{"rejected", rejects, []string{target}, "answer", "warn", "admin-prohibited, says 10.77.1.2", "--trace", "admin-prohibited"},
			{"rejected by IPv6", rejects6, []string{"-I", "eth0", target6}, "answer", "warn", "admin-prohibited, says fd77:0:0:1::2", "-I eth0 '", "admin-prohibited"},
			{"dead gateway", dead, []string{"198.51.100.1:80"}, "answer", "fail", "the next hop answers neither ARP", "ip neighbour", "10.77.1.99 "},
			{"dead neighbour", nobody, []string{"10.77.1.98:80"}, "answer", "warn", "nobody answers ARP", "ip neighbour show 10.77.1.98 dev eth0", "10.77.1.98 "},
			{"full queue", full, []string{target}, "answer", "fail", "the queue of the interface is full", "tc -statistics qdisc show dev eth0", "limit 0p"},
			{"translated", translated, []string{"10.77.1.200:8080"}, "nat", "info", "10.77.1.2:80 answered for 10.77.1.200:8080", "grep -n dnat", "dnat"},
		} {
			a.test(t, n)
		}
	})
}

// TestLabDoctorTranslators: interfaces tell that services are translated.
func TestLabDoctorTranslators(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		docker := func(t *testing.T) func() {
			shell(t, n, "ip link add docker0 type bridge")
			n.Prober().Nft(t, "chain out { type nat hook output priority -100; ip daddr 10.77.1.200 tcp dport 80 dnat ip to 10.77.1.2; }")
			return func() { shell(t, n, "ip link delete docker0") }
		}
		ailment{"docker", docker, nil, "nat", "info", "docker0: published ports", "grep -n dnat", "dnat ip to 10.77.1.2"}.test(t, n)
		for name, fix := range map[string]string{"cni0": "grep -n dnat", "kube-ipvs0": "ipvsadm --list", "cilium_host": "cilium-dbg service list"} {
			shell(t, n, "ip link add "+name+" type bridge")
			finds(t, examine(t), "nat", "info", name+": published ports", fix)
			shell(t, n, "ip link delete "+name)
		}
		finds(t, examine(t), "nat", "ok", "no sign", "")
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
		target := ep(peer.V4, 80)
		tool(t, "check", target).want(t, 0) // and the peer learns who has 10.77.2.1: the filter hides its question too
		strict := func(t *testing.T) func() {
			undo := prober.Sysctl(t, "net/ipv4/conf/all/rp_filter", "1")
			tool(t, "check", target).want(t, 0)
			o := tool(t, "check", "--method", "connect", "-t", "500ms", target)
			o.want(t, 1)
			contains(t, o.stdout, "filtered")
			return undo
		}
		ailment{"strict", strict, nil, "rp_filter", "info", "eth0, eth1: a strict reverse path filter", "rp_filter=2", ""}.test(t, n)
		prober.Sysctl(t, "net/ipv4/conf/all/rp_filter", "2") // as the fix has it
		tool(t, "check", "--method", "connect", target).want(t, 0)
	})
}
