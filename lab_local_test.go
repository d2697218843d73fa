//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// TestLabNoWay holds the verdict on targets to which this host has no way, and that the errno is net.Dial's. Nothing leaves.
func TestLabNoWay(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober := n.Prober()
		for prefix, kind := range map[string]string{
			"10.201.0.0/16": "unreachable", "10.202.0.0/16": "prohibit", "10.203.0.0/16": "blackhole",
			"fd99:1::/32": "unreachable", "fd99:2::/32": "prohibit", "fd99:3::/32": "blackhole",
		} {
			prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix(prefix), Type: kind})
		}
		p := newProber(t, rawshake.Config{})
		wires := []*lab.Capture{prober.Capture(t), prober.CaptureOn(t, "lo")}
		for addr, errno := range map[string]syscall.Errno{
			"192.0.2.1":       syscall.ENETUNREACH,
			"10.201.0.1":      syscall.EHOSTUNREACH,
			"10.202.0.1":      syscall.EACCES,
			"10.203.0.1":      syscall.EINVAL,
			"255.255.255.255": syscall.ENETUNREACH,
			"10.77.1.255":     syscall.ENETUNREACH,
			"224.0.0.1":       syscall.ENETUNREACH,
			"2001:db8::1":     syscall.ENETUNREACH,
			"fd99:1::1":       syscall.EHOSTUNREACH,
			"fd99:2::1":       syscall.EACCES,
			"fd99:3::1":       syscall.EINVAL,
			"ff02::1%eth0":    syscall.ENETUNREACH,
			"fe80::1":         syscall.EINVAL,
		} {
			target := at(netip.MustParseAddr(addr), 80)
			start := time.Now()
			r := want(t, probe(t, p, target), rawshake.Unreachable, match.NoRoute)
			if took := time.Since(start); took > 500*time.Millisecond {
				t.Errorf("%s took %v, want at once", addr, took)
			}
			if r.Err != errno {
				t.Errorf("%s: error %v, want %v", addr, r.Err, errno)
			}
			if r.Source.IsValid() || r.RTT != 0 || r.Reply != (rawshake.Reply{}) {
				t.Errorf("%s: source %v, RTT %v, reply %+v of a probe that was not sent", addr, r.Source, r.RTT, r.Reply)
			}
			if err := kernelDial(t.Context(), net.Dialer{}, target); errnoOf(err) != errno {
				t.Errorf("%s: net.Dial's error is %v, want %v", addr, err, errno)
			}
		}
		if r := want(t, probe(t, p, netip.MustParseAddrPort("[fe80::1%nosuch0]:80")), rawshake.Unsent, match.LinkDown); r.Err != syscall.ENODEV {
			t.Errorf("a zone that does not exist: %v", r.Err)
		}
		for _, w := range wires {
			w.ExpectNothingElse(t)
		}
	})
}

// TestLabLocalFirewall forbids SYNs to leave: unsent and EPERM, also when the firewall answers in the target's place. connect(2)
// times out or says what the firewall said: the difference is deliberate.
func TestLabLocalFirewall(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		peer.Listen(t, 80)
		prober.Nft(t, `chain out { type filter hook output priority 0;
			tcp dport 1001 drop;
			tcp dport 1002 reject with icmpx type admin-prohibited;
			tcp dport 1003 reject with icmpx type port-unreachable;
			tcp dport 1004 reject with tcp reset;
			tcp dport 80 tcp flags & rst == rst drop;
		}`)
		families(t, func(t *testing.T, v6 bool) {
			wire := peer.Capture(t)
			p := newProber(t, quick)
			for port := uint16(1001); port <= 1004; port++ {
				r := want(t, probe(t, p, at(peer.Addr(v6), port)), rawshake.Unsent, match.LocalFirewall)
				if r.Err != syscall.EPERM || r.Source.IsValid() {
					t.Errorf("port %d: error %v, source %v", port, r.Err, r.Source)
				}
			}
			if s := settled(t, p); s.SYNSent != 0 || s.SendErrors != 4 || s.Unsent != 4 {
				t.Errorf("%+v", s)
			}
			want(t, probe(t, p, at(peer.Addr(v6), 80)), rawshake.Open, match.SYNACK)
			wire.Expect(t, at(peer.Addr(v6), 80), lab.SYN(), lab.SYNACK()) // the firewall keeps our RST
			wire.ExpectNothingElse(t)
		})
	})
}

// TestLabScope holds that nothing is sent to an address outside Config.Allow.
func TestLabScope(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		wire := peer.Capture(t)
		p := newProber(t, rawshake.Config{Allow: []netip.Prefix{
			netip.PrefixFrom(peer.V4, 32), netip.PrefixFrom(peer.Interfaces[0].LinkLocal, 128),
		}})
		for _, target := range []netip.AddrPort{at(peer.V4, 80), at(peer.Interfaces[0].LinkLocal.WithZone("eth0"), 80)} {
			want(t, probe(t, p, target), rawshake.Open, match.SYNACK)
			wire.Expect(t, target, lab.SYN(), lab.SYNACK(), lab.RST())
		}
		for _, addr := range []netip.Addr{peer.V4.Next(), peer.V6} {
			if r := want(t, probe(t, p, at(addr, 80)), rawshake.Unsent, match.OutOfScope); r.Err != syscall.EPERM {
				t.Errorf("%v: error %v", addr, r.Err)
			}
		}
		wire.ExpectNothingElse(t)
	})
}

// TestLabNoBuffers has an interface that takes no more packets: who found no room in all of the time is unsent, and who could
// send is not disturbed.
func TestLabNoBuffers(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		p := newProber(t, quick)
		for _, addr := range []netip.Addr{peer.V4, peer.V6} { // so that the neighbours are known
			want(t, probe(t, p, at(addr, 80)), rawshake.Open, match.SYNACK)
		}
		operate(t, n.Prober(), "clog eth0")
		results := probeAll(t, p, at(peer.V4, 1000), at(peer.V4, 80), at(peer.V6, 80), at(peer.V6, 1000), at(peer.V6, 1001))
		unsent := 0
		for _, r := range results {
			if r.State == rawshake.Unsent {
				unsent++
				if want(t, r, rawshake.Unsent, match.NoBuffers); r.Err != syscall.ENOBUFS {
					t.Errorf("%v: error %v", r.Target, r.Err)
				}
			}
		}
		if s := settled(t, p); unsent == 0 || s.SendErrors == 0 || s.Filtered != 0 {
			t.Errorf("%v, %+v", results, s)
		}
		operate(t, n.Prober(), "unclog eth0")
		for _, r := range probeAll(t, p, at(peer.V4, 80), at(peer.V6, 80)) {
			want(t, r, rawshake.Open, match.SYNACK)
		}
	})
}

// operate has a process with every privilege do something to a host's interface; see [TestLabOperator].
func operate(t *testing.T, h *lab.Host, what string) {
	t.Helper()
	var out strings.Builder
	code := h.Run(t, lab.Command{
		Args: []string{"-test.run=^TestLabOperator$", "-test.count=1"}, Env: []string{"RAWSHAKE_OPERATE=" + what}, As: lab.Root,
		Stdout: &out, Stderr: &out,
	})
	if code != 0 {
		t.Fatalf("%s: %s", what, out.String())
	}
}

// TestLabOperator is what [operate] runs.
func TestLabOperator(t *testing.T) {
	words := strings.Fields(os.Getenv("RAWSHAKE_OPERATE"))
	if len(words) == 0 {
		return // it is no test of its own
	}
	if words[0] == "add" {
		addLink(t, words[1], words[2])
		return
	}
	link, err := netlink.LinkByName(words[1])
	if err != nil {
		t.Fatal(err)
	}
	const bucket = 200 // bytes: two packets leave, two wait, and one byte a second drips
	clog := &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       1, Buffer: bucket * uint32(time.Second/64), Limit: bucket,
	}
	switch words[0] {
	case "delete":
		err = netlink.LinkDel(link)
	case "clog":
		err = netlink.QdiscAdd(clog)
	case "unclog":
		err = netlink.QdiscDel(clog)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// addLink makes an interface with an address, and another one at the other end of its link.
func addLink(t *testing.T, name, prefix string) {
	address, err := netlink.ParseAddr(prefix)
	if err != nil {
		t.Fatal(err)
	}
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-peer"}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	peer, err := netlink.LinkByName(pair.PeerName)
	if err := errors.Join(err, netlink.AddrAdd(pair, address), netlink.LinkSetUp(pair), netlink.LinkSetUp(peer)); err != nil {
		t.Fatal(err)
	}
}
