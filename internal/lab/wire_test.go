//go:build linux && !android

package lab_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/lab"
)

func TestLabKernelConnect(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		listener := peer.Listen(t, 80)
		wire := peer.Capture(t)
		for i, target := range []netip.AddrPort{netip.AddrPortFrom(peer.V4, 80), netip.AddrPortFrom(peer.V6, 80)} {
			if err := dial(target); err != nil {
				t.Fatal(err)
			}
			packets := wire.Expect(t, target, lab.Sent("S"), lab.SYNACK(), lab.Sent("."), lab.Sent("R."))
			if first := packets[0]; first.Out || time.Since(first.Time).Abs() > time.Minute || first.TTL != 64 {
				t.Errorf("the SYN came out=%t at %s with TTL %d", first.Out, first.Time, first.TTL)
			}
			if !packets[1].Out {
				t.Error("the SYN-ACK did not leave the peer")
			}
			if err := packets[0].CheckSums(); err == nil {
				t.Error("a kernel's SYN on veth has no finished checksum, the capture says it has")
			}
			waitAccepted(t, listener, i+1)
		}
		wire.ExpectNothingElse(t)
		listener.Close()
		peer.SetTTL(t, 255)
		for _, target := range []netip.AddrPort{netip.AddrPortFrom(peer.V4, 81), netip.AddrPortFrom(peer.V6, 81)} {
			if err := dial(target); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("dial a closed port: %v", err)
			}
			if packets := wire.Expect(t, target, lab.Sent("S"), lab.PeerRST()); packets[1].TTL != 255 {
				t.Errorf("the TTL of %s is not 255", packets[1])
			}
		}
		if err := dial(netip.AddrPortFrom(peer.V4, 80)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial a closed port: %v", err)
		}
	})
}

func waitAccepted(t *testing.T, l *lab.Listener, want int) {
	t.Helper()
	for end := time.Now().Add(time.Second); l.Accepted() != want && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if got := l.Accepted(); got != want {
		t.Errorf("accept returned %d times, not %d", got, want)
	}
}

// TestLabLoopback captures on lo, where each packet is seen once.
func TestLabLoopback(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		both(t, func(t *testing.T, v6 bool) {
			listener := n.Prober().Listen(t, 0)
			wire := n.Prober().CaptureOn(t, "lo")
			addr := netip.MustParseAddr("127.0.0.1")
			if v6 {
				addr = netip.IPv6Loopback()
			}
			target := netip.AddrPortFrom(addr, listener.Port())
			if err := dial(target); err != nil {
				t.Fatal(err)
			}
			wire.Expect(t, target, lab.Sent("S"), lab.SYNACK(), lab.Sent("."), lab.Sent("R."))
			wire.ExpectNothingElse(t)
		})
	})
}

// TestLabExpectFails holds that a wrong expectation is an error: an assertion that never fails proves nothing.
func TestLabExpectFails(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		wire := peer.Capture(t)
		target := netip.AddrPortFrom(peer.V4, 81)
		if err := dial(target); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dial a closed port: %v", err)
		}
		wire.Expect(t, target, lab.Sent("S"), lab.PeerRST())
		for name, steps := range map[string][]lab.Step{
			"too few":             {lab.Sent("S")},
			"too many":            {lab.Sent("S"), lab.PeerRST(), lab.Sent("R")},
			"another answer":      {lab.Sent("S"), lab.SYNACK()},
			"a kernel's checksum": {lab.SYN(), lab.PeerRST()},
			"nothing":             {},
		} {
			spy := &failures{TB: t}
			wire.Expect(spy, target, steps...)
			if spy.n == 0 {
				t.Errorf("%s: accepted", name)
			}
		}
		other := peer.Capture(t)
		dial(target)
		spy := &failures{TB: t}
		other.ExpectNothingElse(spy)
		if spy.n != 2 {
			t.Errorf("%d unexpected packets, not 2", spy.n)
		}
	})
}

// failures counts errors instead of failing.
type failures struct {
	testing.TB
	n int
}

func (f *failures) Errorf(string, ...any) { f.n++ }

func TestLabFirewall(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		for _, c := range []struct {
			with  lab.Reject
			errno syscall.Errno // of connect(2), unless the answer comes before it has let go of its socket
			step  lab.Step
		}{
			{lab.NetUnreachable, syscall.ENETUNREACH, lab.Error(3, 0)},
			{lab.HostUnreachable, syscall.EHOSTUNREACH, lab.Error(3, 1)},
			{lab.ProtUnreachable, syscall.ENOPROTOOPT, lab.Error(3, 2)},
			{lab.PortUnreachable, syscall.ECONNREFUSED, lab.Error(3, 3)},
			{lab.NetProhibited, syscall.ENETUNREACH, lab.Error(3, 9)},
			{lab.HostProhibited, syscall.EHOSTUNREACH, lab.Error(3, 10)},
			{lab.AdminProhibited, syscall.EHOSTUNREACH, lab.Error(3, 13)},
			{lab.TCPReset, syscall.ECONNREFUSED, lab.PeerRST()},
			{lab.NoRoute6, syscall.ENETUNREACH, lab.Error(1, 0)},
			{lab.AdminProhibited6, syscall.EACCES, lab.Error(1, 1)},
			{lab.AddrUnreachable6, syscall.EHOSTUNREACH, lab.Error(1, 3)},
			{lab.PortUnreachable6, syscall.ECONNREFUSED, lab.Error(1, 4)},
		} {
			t.Run(string(c.with), func(t *testing.T) {
				wire := peer.Capture(t)
				peer.Listen(t, 82)
				undo := peer.Reject(t, 82, c.with)
				target := netip.AddrPortFrom(peer.Addr(c.with[4] == 'v'), 82)
				if err := dial(target); !errors.Is(err, c.errno) && !timedOut(err) {
					t.Errorf("dial: %v, not %v", err, c.errno)
				}
				wire.Expect(t, target, lab.Sent("S"), c.step)
				undo()
				if err := dial(target); err != nil {
					t.Errorf("dial without the rule: %v", err)
				}
			})
		}
		t.Run("drop", func(t *testing.T) {
			wire := peer.Capture(t)
			peer.Listen(t, 83)
			peer.Drop(t, 83, 84)
			target := netip.AddrPortFrom(peer.V6, 83)
			if err := dial(target); !timedOut(err) {
				t.Errorf("dial: %v", err)
			}
			wire.Expect(t, target, lab.Sent("S"))
		})
	})
}

// TestLabLocalFirewall breaks the prober's own output.
func TestLabLocalFirewall(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer, prober := n.Host("peer"), n.Prober()
		peer.Listen(t, 80)
		prober.Nft(t, `chain nat { type nat hook output priority -100; ip daddr 10.77.9.9 tcp dport 8080 dnat ip to 10.77.1.2:80; }`)
		prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix("10.77.9.0/24"), Via: peer.V4})
		if err := dial(netip.MustParseAddrPort("10.77.9.9:8080")); err != nil {
			t.Errorf("dial through DNAT: %v", err)
		}
		undo := prober.Nft(t, `chain out { type filter hook output priority 0; tcp dport 80 reject with tcp reset; }`)
		if err := dial(netip.AddrPortFrom(peer.V4, 80)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial through a local reject: %v", err)
		}
		undo()
		if err := dial(netip.AddrPortFrom(peer.V4, 80)); err != nil {
			t.Errorf("dial without the rule: %v", err)
		}
	})
}

// TestLabRouter holds the routes of a chain of hosts, and that a router tells of a TTL that ends at it.
func TestLabRouter(t *testing.T) {
	top := lab.Topology{
		Links:    []lab.Link{{A: "prober", B: "router"}, {A: "router", B: "peer"}, {A: "prober", B: "near"}},
		Prefixes: map[string][]netip.Prefix{"peer": {netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("fd88::/32")}},
	}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		peer, router, near := n.Host("peer"), n.Host("router"), n.Host("near")
		peer.Listen(t, 80)
		near.Listen(t, 80)
		for _, addr := range []netip.Addr{
			peer.V4, peer.V6, near.V4, near.V6, netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("fd88::7"),
		} {
			if err := dial(netip.AddrPortFrom(addr, 80)); err != nil {
				t.Errorf("dial %s: %v", addr, err)
			}
		}
		if err := dial(netip.AddrPortFrom(router.V4, 80)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial the router: %v", err)
		}
		linkLocal := netip.AddrPortFrom(near.Interface("eth0").LinkLocal.WithZone("eth1"), 80)
		if err := dial(linkLocal); err != nil {
			t.Errorf("dial %s: %v", linkLocal, err)
		}
		wire := router.Capture(t)
		n.Prober().Sysctl(t, "net/ipv4/ip_default_ttl", "1")
		target := netip.AddrPortFrom(peer.V4, 81)
		dial(target)
		packets := wire.Expect(t, target, lab.Sent("S"), lab.Error(11, 0))
		if from := packets[1].Src.Addr(); from != router.V4 {
			t.Errorf("%s tells of the TTL", from)
		}
	})
}

// TestLabChanges holds that routes, rules, addresses and links change and come back.
func TestLabChanges(t *testing.T) {
	top := lab.Topology{Links: []lab.Link{{A: "prober", B: "peer"}, {A: "prober", B: "peer"}}}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		target := netip.MustParseAddr("203.0.113.5")
		peer.AddAddress(t, "eth0", netip.PrefixFrom(target, 32))
		to := netip.PrefixFrom(target, 32)
		check := func(when string, want any) {
			t.Helper()
			if got := sourceFor(target); got != want {
				t.Errorf("%s: %v, not %v", when, got, want)
			}
		}
		first, second := prober.Interface("eth0").V4, prober.Interface("eth1").V4
		check("at first", syscall.ENETUNREACH)
		undoFirst := prober.AddRoute(t, lab.Route{To: to, Via: peer.V4})
		check("with a route", first)
		undoRule := prober.AddRule(t, lab.Rule{From: netip.MustParsePrefix("0.0.0.0/0"), Table: 77})
		prober.AddRoute(t, lab.Route{To: to, Via: peer.Interface("eth1").V4, Table: 77})
		check("with a rule", second)
		undoRule()
		check("without the rule", first)
		undoDown := prober.LinkDown(t, "eth0")
		check("with the link down", syscall.ENETUNREACH)
		undoDown()
		undoFirst()
		for kind, errno := range map[string]syscall.Errno{
			"unreachable": syscall.EHOSTUNREACH, "prohibit": syscall.EACCES, "blackhole": syscall.EINVAL,
		} {
			undo := prober.AddRoute(t, lab.Route{To: to, Type: kind})
			check(kind, errno)
			undo()
		}
	})
}

// sourceFor asks the kernel for the source address towards dst; it sends nothing.
func sourceFor(dst netip.Addr) any {
	conn, err := net.Dial("udp", netip.AddrPortFrom(dst, 9).String())
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	if err != nil {
		return fmt.Sprint(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
}
