//go:build linux && !android

package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/raw"
)

// judged is what the findings of one examination must be, one word of each.
type judged struct {
	name string
	got  []Finding
	want []string // "level: part of the text | part of the fix"
}

func (j judged) check(t *testing.T) {
	t.Helper()
	if len(j.got) != len(j.want) {
		t.Errorf("%s: %d findings, want %d: %+v", j.name, len(j.got), len(j.want), j.got)
		return
	}
	for i, f := range j.got {
		level, rest, _ := strings.Cut(j.want[i], ": ")
		text, fix, _ := strings.Cut(rest, " | ")
		if f.Level.String() != level || !strings.Contains(f.Text, text) || !strings.Contains(f.Fix, fix) || (fix == "") != (f.Fix == "") {
			t.Errorf("%s: %+v, want %q", j.name, f, j.want[i])
		}
		if f.Check == "" || f.Level >= Warn && f.Fix == "" {
			t.Errorf("%s: %+v lacks its check or its fix", j.name, f)
		}
	}
}

func TestJudgePrivilege(t *testing.T) {
	missing := &raw.PrivilegeError{Situation: "user 7 has none", Fix: "sudo setcap cap_net_raw+p /x (or sudo)", Err: syscall.EPERM}
	for _, j := range []judged{
		{"there", judgePrivilege(privilegeFacts{}), []string{"ok: raw sockets open"}},
		{"missing", judgePrivilege(privilegeFacts{err: fmt.Errorf("x: %w", missing)}), []string{"fail: user 7 has none | sudo setcap cap_net_raw+p /x", "info: other ways | sudo"}},
		{"descriptors", judgePrivilege(privilegeFacts{err: syscall.EMFILE}), []string{"fail: too many open files | prlimit --pid $$ --nofile="}},
		{"else", judgePrivilege(privilegeFacts{err: syscall.ENOMEM}), []string{"fail: cannot allocate memory | strace"}},
		{"root", judgePrivilege(privilegeFacts{root: true, wider: true, self: "/x"}), []string{"info: all the power of root | setcap cap_net_raw+p /x"}},
		{"root with one capability", judgePrivilege(privilegeFacts{root: true}), []string{"ok: raw sockets open"}},
	} {
		j.check(t)
	}
	if fix := judgePrivilege(privilegeFacts{err: missing})[0].Fix; strings.Contains(fix, "(or") {
		t.Errorf("fix %q cannot be pasted", fix)
	}
}

func TestJudgeContainer(t *testing.T) {
	for _, j := range []judged{
		{"none", judgeContainer(containerFacts{}), []string{"ok: no container"}},
		{"bridge", judgeContainer(containerFacts{kind: "docker"}), []string{"info: (docker) with a network of its own | --network host"}},
		{"host network", judgeContainer(containerFacts{kind: "kubernetes", hostNetwork: true}), []string{"info: (kubernetes) on the host's network"}},
		{"bounded", judgeContainer(containerFacts{bounded: true}), []string{"warn: bounding set lacks CAP_NET_RAW | --cap-add NET_RAW"}},
		{"user namespace", judgeContainer(containerFacts{userNamespace: true}), []string{"info: user namespace | uid_map"}},
		{"seccomp", judgeContainer(containerFacts{seccomp: true, noNewPrivs: true}), []string{"info: seccomp filter | Seccomp", "info: no_new_privs | NoNewPrivs"}},
	} {
		j.check(t)
	}
}

func TestJudgePorts(t *testing.T) {
	taken := errors.New("only 3 of 64 ports")
	for _, j := range []judged{
		{"usual", judgePorts(portFacts{first: 32768, last: 60999}), []string{"ok: 32768 to 60999"}},
		{"reserved", judgePorts(portFacts{first: 32768, last: 60999, reserved: "40000-40010"}), []string{"ok: 60999 without 40000-40010"}},
		{"narrow", judgePorts(portFacts{first: 40000, last: 40499}), []string{"warn: takes 64 of 500 | ip_local_port_range"}},
		{"at the limit", judgePorts(portFacts{first: 40000, last: 41023}), []string{"ok: 40000 to 41023"}},
		{"taken", judgePorts(portFacts{first: 40000, last: 40002, err: taken}), []string{"fail: only 3 of 64 ports | ip_local_port_range"}},
		{"descriptors", judgePorts(portFacts{first: 32768, last: 60999, err: syscall.EMFILE}), []string{"fail: too many open files | prlimit --pid $$ --nofile="}},
		{"unread", judgePorts(portFacts{}), []string{"ok: 64 source ports are free"}},
	} {
		j.check(t)
	}
}

func TestJudgeGuards(t *testing.T) {
	denied := opening(&raw.PrivilegeError{Err: syscall.EPERM, Fix: "sudo setcap (or sudo)"})
	for _, j := range []judged{
		{"silent", judgeGuards([]guardFacts{{control: true}, {v6: true, control: true}}), []string{"ok: IPv4: the kernel stays silent", "ok: IPv6: the kernel stays silent"}},
		{"reset", judgeGuards([]guardFacts{{control: true, plain: true, hop: true}}), []string{"fail: reject with tcp reset | nft list ruleset"}},
		{"no MD5", judgeGuards([]guardFacts{{control: true, hop: true, lacks: "no TCP_MD5SIG_EXT"}}), []string{"warn: no TCP_MD5SIG_EXT: targets on the same link | CONFIG_TCP_MD5SIG"}},
		{"TTL 255 without a cause", judgeGuards([]guardFacts{{control: true, hop: true}}), []string{"warn: with TTL 255 | CONFIG_TCP_MD5SIG"}},
		{"dropped", judgeGuards([]guardFacts{{}}), []string{"warn: the trial shows nothing | nft list ruleset"}},
		{"firewall", judgeGuards([]guardFacts{{err: syscall.EPERM}}), []string{"fail: firewall refuses | nft list ruleset"}},
		{"unprivileged", judgeGuards([]guardFacts{{err: denied}}), []string{"info: needs raw sockets | sudo setcap"}},
		{"no IPv4", judgeGuards([]guardFacts{{err: opening(syscall.EADDRNOTAVAIL)}}), []string{"info: no IPv4 on loopback | 127.0.0.1/8 dev lo"}},
		{"no IPv6", judgeGuards([]guardFacts{{v6: true, err: opening(syscall.EADDRNOTAVAIL)}}), []string{"info: no IPv6 on loopback | lo.disable_ipv6=0; sudo ip address replace ::1/128 dev lo"}},
		{"never any IPv6", judgeGuards([]guardFacts{{v6: true, err: opening(syscall.EAFNOSUPPORT)}}), []string{"info: no IPv6 here | /proc/cmdline"}},
		{"no loopback", judgeGuards([]guardFacts{{err: errLoopbackDown}}), []string{"fail: IPv4: the loopback interface is down | sudo ip link set lo up"}},
		{"descriptors", judgeGuards([]guardFacts{{err: opening(syscall.EMFILE)}}), []string{"fail: cannot be tried | prlimit --pid $$ --nofile="}},
		{"no ports", judgeGuards([]guardFacts{{err: opening(errors.New("no ports"))}}), []string{"fail: no ports | strace"}},
	} {
		j.check(t)
	}
}

func TestJudgeVRF(t *testing.T) {
	red := []string{"red", "blue"}
	for _, j := range []judged{
		{"none", judgeVRF(vrfFacts{}), []string{"ok: no VRF"}},
		{"accepting", judgeVRF(vrfFacts{devices: red, accept: true}), []string{"ok: red, blue"}},
		{"with -I", judgeVRF(vrfFacts{devices: red, device: "eth3"}), []string{"info: -I eth3"}},
		{"uncovered", judgeVRF(vrfFacts{devices: red}), []string{"warn: red, blue: the kernel resets | tcp_l3mdev_accept=1"}},
	} {
		j.check(t)
	}
}

func TestJudgeReceive(t *testing.T) {
	for _, j := range []judged{
		{"all", judgeReceive(receiveFacts{sent: 512, seen: 512}), []string{"ok: 512 of 512"}},
		{"none", judgeReceive(receiveFacts{sent: 512}), []string{"fail: none of 512 | tc filter"}},
		{"some", judgeReceive(receiveFacts{sent: 512, seen: 400, drops: 100}), []string{"fail: 400 of 512 packets on loopback (100 found it full) | softnet_stat"}},
		{"unprivileged", judgeReceive(receiveFacts{err: opening(&raw.PrivilegeError{Err: syscall.EPERM, Fix: "sudo setcap (or sudo)"})}), []string{"info: needs raw sockets | sudo setcap"}},
		{"firewall", judgeReceive(receiveFacts{err: syscall.EPERM}), []string{"fail: the local firewall refuses packets on loopback | nft list ruleset"}},
		{"no loopback", judgeReceive(receiveFacts{err: errLoopbackDown}), []string{"fail: loopback interface is down | lo up"}},
		{"no IPv4", judgeReceive(receiveFacts{err: syscall.ENETUNREACH}), []string{"fail: no IPv4 on loopback | 127.0.0.1/8 dev lo"}},
		{"descriptors", judgeReceive(receiveFacts{err: opening(syscall.EMFILE)}), []string{"fail: too many open files | prlimit --pid $$ --nofile="}},
		{"else", judgeReceive(receiveFacts{err: syscall.ENOMEM}), []string{"fail: cannot allocate memory | strace"}},
	} {
		j.check(t)
	}
}

func TestJudgeBacklog(t *testing.T) {
	for _, j := range []judged{
		{"none", judgeBacklog(backlogFacts{size: 1000}), []string{"ok: no packets"}},
		{"dropped", judgeBacklog(backlogFacts{dropped: 7, size: 1000}), []string{"warn: dropped 7 packets | netdev_max_backlog=10000"}},
		{"in a namespace", judgeBacklog(backlogFacts{dropped: 7}), []string{"warn: its size is the host's | netdev_max_backlog=10000"}},
		{"mended", judgeBacklog(backlogFacts{dropped: 7, size: 10000}), []string{"info: it holds 10000 by now | softnet_stat"}},
		{"ring", judgeBacklog(backlogFacts{full: []raw.Interface{{Name: "eth0", Missed: 9}}}), []string{"warn: eth0 lost 9 packets | ethtool -G eth0 rx $(ethtool -g eth0 |"}},
	} {
		j.check(t)
	}
}

func TestJudgeConntrack(t *testing.T) {
	const rules = "info: rules are not examined | grep -n invalid"
	for _, j := range []judged{
		{"not loaded", judgeConntrack(conntrackFacts{}), []string{"ok: no connection tracking"}},
		{"empty", judgeConntrack(conntrackFacts{loaded: true, count: 10, max: 262144}), []string{"ok: 10 of 262144 (0 %)", rules}},
		{"below", judgeConntrack(conntrackFacts{loaded: true, count: 799, max: 1000}), []string{"ok: 799 of 1000 (79 %)", rules}},
		{"nearly full", judgeConntrack(conntrackFacts{loaded: true, count: 800, max: 1000}), []string{"warn: 800 of 1000 (80 %) | nf_conntrack_max=4000", rules}},
		{"full", judgeConntrack(conntrackFacts{loaded: true, count: 1000, max: 1000}), []string{"fail: our SYNs too | nf_conntrack_max=4000", rules}},
		{"of the host", judgeConntrack(conntrackFacts{loaded: true, count: 900, max: 1000, hosts: true}), []string{"warn: the limit is the host's | sudo sysctl", rules}},
		{"no limit", judgeConntrack(conntrackFacts{loaded: true, count: 1000}), []string{"ok: without a limit", rules}},
	} {
		j.check(t)
	}
}

func TestJudgeReversePath(t *testing.T) {
	for _, j := range []judged{
		{"none", judgeReversePath(reversePathFacts{}), []string{"ok: no strict"}},
		{"two", judgeReversePath(reversePathFacts{strict: []string{"eth0", "eth1"}}), []string{"info: eth0, eth1: a strict | rp_filter=2"}},
	} {
		j.check(t)
	}
}

func TestJudgeTranslators(t *testing.T) {
	for _, j := range []judged{
		{"none", judgeTranslators(translatorFacts{}), []string{"ok: no sign"}},
		{"kube-proxy", judgeTranslators(translatorFacts{devices: []string{"kube-ipvs0"}}), []string{"info: kube-ipvs0: published | ipvsadm"}},
		{"several", judgeTranslators(translatorFacts{devices: []string{"docker0", "cni0", "cilium_host"}}),
			[]string{"info: docker0, cni0, cilium_host: published | grep -n dnat; sudo iptables-save -t nat; kubectl"}},
	} {
		j.check(t)
	}
}

func TestJudgeRoutes(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	source, gateway := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.1")
	for _, j := range []judged{
		{"on the link", judgeRoutes([]routeFacts{{name: "x", dst: four, device: "eth0", source: source, carrier: true}}), []string{"ok: to 192.0.2.1: eth0 from 10.0.0.2, on the link"}},
		{"gateway", judgeRoutes([]routeFacts{{name: "x", dst: four, device: "eth0", source: source, gateway: gateway, carrier: true}}), []string{"ok: to 192.0.2.1: eth0 from 10.0.0.2 via 10.0.0.1"}},
		{"own address", judgeRoutes([]routeFacts{{name: "x", dst: four, local: true}}), []string{"ok: this host itself"}},
		{"no carrier", judgeRoutes([]routeFacts{{name: "x", dst: four, device: "eth0"}}), []string{"fail: eth0 to 192.0.2.1: the link is down | ip link show dev eth0"}},
		{"none", judgeRoutes([]routeFacts{{name: "x", dst: four, err: syscall.ENETUNREACH}}), []string{"fail: no way to 192.0.2.1: the routing table has none | ip -4 rule; ip -4 route"}},
		{"prohibit", judgeRoutes([]routeFacts{{name: "x", dst: six, err: syscall.EACCES}}), []string{"fail: a prohibit route | ip -6 route show table all match 2001:db8::1"}},
		{"other", judgeRoutes([]routeFacts{{name: "x", dst: six.WithZone("eth1"), from: source, err: syscall.ENOBUFS}}), []string{"fail: no buffer space | ip route get 2001:db8::1 dev eth1 from 10.0.0.2"}},
		{"descriptors", judgeRoutes([]routeFacts{{name: "x", dst: six, err: syscall.EMFILE}}), []string{"fail: too many open files | prlimit"}},
		{"unread", judgeRoutes([]routeFacts{{dst: six, unread: errors.New("no netlink")}}), []string{"info: not examined: no netlink | ip -6 route"}},
		{"foreign source", judgeRoutes([]routeFacts{{name: "x", dst: four, from: source, foreign: true}}), []string{"fail: -S 10.0.0.2 is not an address of this host | ip address"}},
		{"interface down", judgeRoutes([]routeFacts{{dst: four, by: "eth3", down: true}, {dst: six, by: "eth3", down: true}}), []string{"fail: -I eth3 is down | sudo ip link set dev eth3 up"}},
		{"unresolved", judgeRoutes([]routeFacts{{name: "no.example:80", resolve: errors.New("no such host")}}), []string{"fail: no.example:80 does not resolve: no such host | getent ahosts no.example"}},
		{"default", judgeRoutes([]routeFacts{{dst: four, device: "eth0", source: source, gateway: gateway, carrier: true}, {dst: six, err: syscall.ENETUNREACH}}),
			[]string{"ok: to the rest of the IPv4 world: eth0", "info: no default route for IPv6 | ip -6 route"}},
	} {
		j.check(t)
	}
}

func TestJudgeAnswer(t *testing.T) {
	target := netip.MustParseAddrPort("192.0.2.1:443")
	result := func(s rawshake.State, why match.Reason, err error) answerFacts {
		return answerFacts{tried: true, target: target, route: routeFacts{dst: target.Addr(), device: "eth0"},
			result: rawshake.Result{Target: target, State: s, Reason: why, Err: err, RTT: 412000}}
	}
	router := result(rawshake.Unreachable, match.AdminProhibited, syscall.EHOSTUNREACH)
	router.result.Reply.Responder = netip.MustParseAddr("192.0.2.254")
	translated := result(rawshake.Open, match.SYNACK, nil)
	translated.translated = netip.MustParseAddrPort("10.0.0.9:8443")
	untold := result(rawshake.Open, match.SYNACK, nil)
	untold.result.RTT = 0
	drops := result(rawshake.Closed, match.RST, syscall.ECONNREFUSED)
	drops.stats.RingDrops = 4
	for _, j := range []judged{
		{"not tried", judgeAnswer(answerFacts{}), nil},
		{"failed", judgeAnswer(answerFacts{tried: true, target: target, err: errors.New("boom")}), []string{"fail: boom | rawshake check --trace 192.0.2.1:443"}},
		{"descriptors", judgeAnswer(answerFacts{tried: true, target: target, err: syscall.EMFILE}), []string{"fail: too many open files | prlimit"}},
		{"open", judgeAnswer(result(rawshake.Open, match.SYNACK, nil)), []string{"ok: 192.0.2.1:443 is open (syn-ack) after 0.412 ms"}},
		{"drops", judgeAnswer(drops), []string{"ok: is closed (rst)", "warn: dropped 4 packets | uptime; rawshake check --trace 192.0.2.1:443"}},
		{"nothing but drops", judgeAnswer(result(rawshake.Unsent, match.LossOfOurs, nil)), []string{"fail: own-loss | uptime; rawshake check"}},
		{"no time", judgeAnswer(untold), []string{"ok: 192.0.2.1:443 is open (syn-ack)"}},
		{"silent", judgeAnswer(result(rawshake.Filtered, match.Timeout, nil)), []string{"warn: stays silent | rawshake check --trace 192.0.2.1:443"}},
		{"router", judgeAnswer(router), []string{"warn: admin-prohibited, says 192.0.2.254 | --trace"}},
		{"dead neighbour", judgeAnswer(result(rawshake.Unreachable, match.NoNeighbour, syscall.EHOSTUNREACH)), []string{"warn: nobody answers ARP | ip neighbour show 192.0.2.1 dev eth0"}},
		{"no route", judgeAnswer(result(rawshake.Unreachable, match.NoRoute, syscall.ENETUNREACH)), []string{"warn: no-route (network is unreachable) | ip route get"}},
		{"firewall", judgeAnswer(result(rawshake.Unsent, match.LocalFirewall, syscall.EPERM)), []string{"fail: OUTPUT firewall | nft list ruleset; sudo iptables-save; sudo ip xfrm policy"}},
		{"gateway", judgeAnswer(result(rawshake.Unsent, match.GatewayDown, syscall.EHOSTUNREACH)), []string{"fail: next hop answers neither | ip route get 192.0.2.1; ip neighbour show dev eth0"}},
		{"buffers", judgeAnswer(result(rawshake.Unsent, match.NoBuffers, syscall.ENOBUFS)), []string{"fail: queue of the interface is full | tc -statistics qdisc show dev eth0"}},
		{"link", judgeAnswer(result(rawshake.Unsent, match.LinkDown, syscall.ENETDOWN)), []string{"fail: link-down | ip link show dev eth0"}},
		{"other", judgeAnswer(result(rawshake.Unsent, match.NoSource, nil)), []string{"fail: cannot be asked: no-source | --trace"}},
		{"translated", judgeAnswer(translated), []string{"ok: is open", "info: 10.0.0.9:8443 answered for 192.0.2.1:443 | grep -n dnat"}},
	} {
		j.check(t)
	}
	bound := result(rawshake.Filtered, match.Timeout, nil)
	bound.target = netip.MustParseAddrPort("[fe80::1%eth1]:443")
	bound.route.from, bound.route.by = netip.MustParseAddr("fe80::2"), "eth1"
	judged{"as asked", judgeAnswer(bound), []string{"warn: stays silent | rawshake check --trace -S fe80::2 -I eth1 '[fe80::1%eth1]:443'"}}.check(t)
	if text := judgeAnswer(untold)[0].Text; strings.Contains(text, "after") {
		t.Error(text)
	}
}

// TestAnswersHaveAFix: whatever a probe ends in, a warning and a failure come with a command.
func TestAnswersHaveAFix(t *testing.T) {
	target := netip.MustParseAddrPort("192.0.2.1:443")
	for state := range match.NumStates {
		for why := range match.NumReasons {
			f := answerFacts{tried: true, target: target, result: rawshake.Result{Target: target, State: state, Reason: why}}
			for _, f := range judgeAnswer(f) {
				if f.Level >= Warn && f.Fix == "" {
					t.Errorf("%v, %v: %+v", state, why, f)
				}
			}
		}
	}
}

func TestJudgeFrames(t *testing.T) {
	for _, j := range []judged{
		{"none", judgeFrames(nil), nil},
		{"there", judgeFrames([]frameFacts{{"eth0", nil}}), []string{"ok: scans through eth0 send by AF_XDP"}},
		{"old", judgeFrames([]frameFacts{{"eth0", syscall.ENOPROTOOPT}}), []string{"info: needs Linux 6.17 | uname -r"}},
		{"refused", judgeFrames([]frameFacts{{"eth0", syscall.EAFNOSUPPORT}}), []string{"info: the kernel has none | grep Seccomp"}},
		{"memory", judgeFrames([]frameFacts{{"eth0", syscall.ENOBUFS}}), []string{"info: too little memory may be locked | prlimit --pid $$ --memlock="}},
		{"taken", judgeFrames([]frameFacts{{"eth0", syscall.EBUSY}}), []string{"info: another AF_XDP socket | ss --xdp"}},
		{"else", judgeFrames([]frameFacts{{"eth0", syscall.EIO}}), []string{"info: input/output error | ethtool --driver eth0"}},
	} {
		j.check(t)
	}
}
