//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

var (
	dead4 = netip.MustParseAddr("10.77.1.99") // nobody has them
	dead6 = netip.MustParseAddr("fd77:0:0:1::99")
)

// behindDead makes networks whose gateway is dead.
func behindDead(t *testing.T, prober *lab.Host) []netip.AddrPort {
	prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix("10.88.0.0/16"), Via: dead4})
	prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix("fd88::/64"), Via: dead6})
	return []netip.AddrPort{netip.MustParseAddrPort("10.88.0.1:80"), netip.MustParseAddrPort("[fd88::1]:80")}
}

// TestLabDeadNeighbour tells a dead host on the link, which is the target's failure, from a dead gateway, which is ours. The
// errno is net.Dial's.
func TestLabDeadNeighbour(t *testing.T) {
	t.Parallel() // it mostly waits: the kernel asks three times, a second apart
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		hosts := []netip.AddrPort{at(dead4.Next(), 80), at(dead6.Next(), 80)}
		gateways := behindDead(t, n.Prober())
		p := newProber(t, rawshake.Config{})
		wire := n.Host("peer").Capture(t)
		dialed := make(chan map[netip.AddrPort]error)
		go func() {
			errs := map[netip.AddrPort]error{}
			for _, target := range slices.Concat(hosts, gateways) {
				errs[target] = nil
			}
			dialed <- dialSlowly(t, errs)
		}()
		results := probeAll(t, p, slices.Concat(hosts, gateways)...)
		for _, target := range hosts {
			want(t, results[target], rawshake.Unreachable, match.NoNeighbour)
		}
		for _, target := range gateways {
			want(t, results[target], rawshake.Unsent, match.GatewayDown)
		}
		for target, err := range <-dialed {
			// connect(2) learns it from an ICMP error of its own kernel, which has a limit for those, and else waits.
			if r := results[target]; r.Err != syscall.EHOSTUNREACH || errnoOf(err) != r.Err && errnoOf(err) != 0 {
				t.Errorf("%v: error %v, net.Dial's is %v", target, r.Err, err)
			}
		}
		wire.ExpectNothingElse(t)
	})
}

// dialSlowly connects to the keys of errs, with time for the kernel to give a neighbour up.
func dialSlowly(t *testing.T, errs map[netip.AddrPort]error) map[netip.AddrPort]error {
	type outcome struct {
		target netip.AddrPort
		err    error
	}
	outcomes := make(chan outcome)
	for target := range errs {
		go func() {
			outcomes <- outcome{target, kernelDial(t.Context(), net.Dialer{Timeout: 5 * time.Second}, target)}
		}()
	}
	for range len(errs) {
		o := <-outcomes
		errs[o.target] = o.err
	}
	return errs
}

// TestLabUnresolved ends probes while the kernel still asks for the neighbour: nobody knows yet, so they are unsent.
func TestLabUnresolved(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		targets := append(behindDead(t, n.Prober()), at(dead4.Next(), 80), at(dead6.Next(), 80))
		for _, r := range probeAll(t, newProber(t, quick), targets...) {
			want(t, r, rawshake.Unsent, match.Unresolved)
		}
	})
}

// TestLabNeighbourTable probes many dead neighbours beside hosts that live: these are found at once all the same, and the dead
// ones that the kernel had time to ask for are told from those that it had not. Its table is not full then; see
// TestLabNeighbourTableFull.
func TestLabNeighbourTable(t *testing.T) {
	t.Parallel()
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		dead := append(block("10.77.1.10/24", 240, 80), block("fd77:0:0:1::1000/64", 400, 80)...)
		p := newProber(t, rawshake.Config{})
		again(t, p, []netip.AddrPort{at(peer.V4, 80), at(peer.V6, 80)})
		done := make(chan map[netip.AddrPort]rawshake.Result)
		go func() { done <- probeAll(t, p, dead...) }()
		time.Sleep(200 * time.Millisecond) // the dead ones fill what there is room for
		for range 20 {
			for _, r := range probeAll(t, p, at(peer.V4, 80), at(peer.V6, 80)) {
				if want(t, r, rawshake.Open, match.SYNACK); r.Attempt != 0 {
					t.Errorf("%v: attempt %d", r.Target, r.Attempt)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		count := map[rawshake.Reason]int{}
		for _, r := range <-done {
			count[r.Reason]++
		}
		if count[match.NoNeighbour] < 200 || count[match.NoNeighbour]+count[match.Unresolved] != len(dead) {
			t.Errorf("reasons of %d dead neighbours: %v", len(dead), count)
		}
		t.Log(count)
	})
}

// TestLabCarrier takes the link's carrier away and gives it back, between probes and during one.
func TestLabCarrier(t *testing.T) {
	t.Parallel()
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		peer.Drop(t, 82)
		p := newProber(t, rawshake.Config{Timeout: 1500 * time.Millisecond}) // the kernel may tell a second late
		targets := []netip.AddrPort{at(peer.V4, 80), at(peer.V6, 80)}
		again(t, p, targets)
		plug := peer.LinkDown(t, "eth0")
		for _, r := range probeAll(t, p, targets...) {
			if want(t, r, rawshake.Unsent, match.LinkDown); r.Err != syscall.ENETDOWN {
				t.Errorf("%v: error %v", r.Target, r.Err)
			}
		}
		plug()
		again(t, p, targets)

		pending := make(chan map[netip.AddrPort]rawshake.Result)
		go func() { pending <- probeAll(t, p, at(peer.V4, 82), at(peer.V6, 82)) }()
		eventually(t, "both SYNs", func() bool { return p.Stats().InFlight == 2 })
		plug = peer.LinkDown(t, "eth0")
		for _, r := range <-pending {
			want(t, r, rawshake.Unsent, match.LinkDown)
		}
		plug()
		again(t, p, targets)
	})
}

// again waits until the targets are open once more: after a change the kernel has to find its neighbours again.
func again(t *testing.T, p *rawshake.Prober, targets []netip.AddrPort) {
	t.Helper()
	eventually(t, "all open", func() bool {
		for _, r := range probeAll(t, p, targets...) {
			if r.State != rawshake.Open {
				return false
			}
		}
		return true
	})
}

// TestLabInterfaceGone takes the prober's own interface down, up, and away for good. The routes go with it, so there is no way
// to the targets; who insists on the interface hears that the link is down.
func TestLabInterfaceGone(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		peer.Listen(t, 80)
		targets := []netip.AddrPort{at(peer.V4, 80), at(peer.V6, 80), at(peer.Interfaces[0].LinkLocal.WithZone("eth0"), 80)}
		routed := newProber(t, quick)
		config := quick
		config.Interface = "eth0"
		bound := newProber(t, config)
		both := []*rawshake.Prober{routed, bound}
		for _, p := range both {
			again(t, p, targets)
		}
		gone := func() {
			t.Helper()
			for _, r := range probeAll(t, bound, targets...) {
				want(t, r, rawshake.Unsent, match.LinkDown)
			}
			for _, r := range probeAll(t, routed, targets[:2]...) {
				if want(t, r, rawshake.Unreachable, match.NoRoute); r.Err != syscall.ENETUNREACH {
					t.Errorf("%v: error %v", r.Target, r.Err)
				}
			}
		}
		up := prober.LinkDown(t, "eth0")
		gone()
		up()
		for _, p := range both {
			again(t, p, targets)
		}
		operate(t, prober, "delete eth0")
		gone()
	})
}
