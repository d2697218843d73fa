package pace_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rawshake/rawshake/scan/pace"
)

// lane is a scan loop with a limiter that it shares the limits of, and targets of its own.
type lane struct {
	limiter *pace.HostLimiter
	targets []netip.Addr
	next    int
	out     []visit
}

// lanesOf deals targets out.
func lanesOf(c pace.HostConfig, n int, targets []netip.Addr) []*lane {
	first := pace.NewHostLimiter(c)
	lanes := []*lane{{limiter: first}}
	for len(lanes) < n {
		lanes = append(lanes, &lane{limiter: first.Share()})
	}
	for i, a := range targets {
		l := lanes[i%n]
		l.targets = append(l.targets, a)
	}
	return lanes
}

// step sends at most one packet.
func (l *lane) step(t testing.TB, now int64) {
	if item, ok := l.limiter.Next(now); ok {
		l.out = append(l.out, visit{now, l.targets[item]})
		return
	}
	for l.next < len(l.targets) {
		got := l.limiter.Admit(now, l.targets[l.next], uint64(l.next))
		if got == pace.Full {
			return
		}
		l.next++
		if got == pace.Go {
			l.out = append(l.out, visit{now, l.targets[l.next-1]})
			return
		}
	}
	if _, ok := l.limiter.Due(); !ok && !l.done() {
		t.Fatalf("%d of %d targets are sent, and nothing is waited for", len(l.out), len(l.targets))
	}
}

func (l *lane) done() bool { return len(l.out) == len(l.targets) }

func allDone(lanes []*lane) bool {
	return !slices.ContainsFunc(lanes, func(l *lane) bool { return !l.done() })
}

// TestSharedLimits: several limiters that share their limits keep them as one does, and lose nothing.
func TestSharedLimits(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 7))
		for _, c := range []pace.HostConfig{
			{},
			{PerHost: 100},
			{PerNet: 300},
			{PerHost: 50, PerNet: 400},
			{PerHost: 1000, PerNet: 100},
			{PerHost: 50, PerNet: 400, Deferred: 3},
			{PerHost: 50, PerNet: 400, Memory: 5, Deferred: 4},
		} {
			targets := addrs(r, 600, 1+r.IntN(6), 1+r.IntN(40))
			lanes := lanesOf(c, 2+r.IntN(3), targets)
			for now := int64(1); !allDone(lanes); now += 1 + r.Int64N(200_000) {
				lanes[r.IntN(len(lanes))].step(t, now)
				if now > 600e9 {
					t.Fatalf("seed %d, %+v: %d of %d targets are sent in ten minutes", seed, c, len(merged(lanes)), len(targets))
				}
			}
			about := fmt.Sprintf("seed %d, %+v", seed, c)
			out := merged(lanes)
			checkApart(t, about+" hosts", out, c.PerHost, hostOf)
			checkApart(t, about+" nets", out, c.PerNet, netOf)
			expectAddrs(t, about, out, targets)
		}
	}
}

// merged returns what all lanes sent, in the order of time.
func merged(lanes []*lane) (all []visit) {
	for _, l := range lanes {
		all = append(all, l.out...)
	}
	slices.SortStableFunc(all, func(a, b visit) int { return cmp.Compare(a.at, b.at) })
	return all
}

func expectAddrs(t *testing.T, about string, out []visit, want []netip.Addr) {
	t.Helper()
	var got []netip.Addr
	for _, v := range out {
		got = append(got, v.addr)
	}
	want = slices.Clone(want)
	slices.SortFunc(got, netip.Addr.Compare)
	slices.SortFunc(want, netip.Addr.Compare)
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d targets went in and %d came out, or others", about, len(want), len(got))
	}
}

// TestSharedLimitIsReached: the ports of one host, dealt out unevenly, leave at the host's rate: no part of it is kept for a lane that has
// nothing to send.
func TestSharedLimitIsReached(t *testing.T) {
	for _, c := range []pace.HostConfig{{PerHost: 1000}, {PerNet: 1000}, {PerHost: 1000, PerNet: 5000}} {
		targets := slices.Repeat([]netip.Addr{netip.MustParseAddr("10.0.0.1")}, 3000)
		lanes := lanesOf(c, 3, targets)
		lanes[0].targets, lanes[1].targets = append(lanes[0].targets, lanes[1].targets[:900]...), lanes[1].targets[900:]
		for now := int64(1); !allDone(lanes) && now < 10e9; now += 50_000 {
			for _, l := range lanes {
				l.step(t, now)
			}
		}
		out := merged(lanes)
		if took := out[len(out)-1].at; len(out) != 3000 || took < 2_990e6 || took > 3_010e6 {
			t.Errorf("%+v: %d packets took %.3f s, want 3", c, len(out), float64(took)/1e9)
		}
	}
}

// TestSharedCharge: what one lane sends without asking counts for the others.
func TestSharedCharge(t *testing.T) {
	a := pace.NewHostLimiter(pace.HostConfig{PerHost: 10})
	b := a.Share()
	addr := netip.MustParseAddr("10.0.0.1")
	a.Charge(0, addr)
	if got := b.Admit(50e6, addr, 1); got != pace.Later {
		t.Errorf("50 ms after a packet of another lane: %v", got)
	}
	if due, ok := b.Due(); !ok || due < 90e6 || due > 100e6 {
		t.Errorf("due at %d ns, %v", due, ok)
	}
	a.Charge(60e6, addr)
	if _, ok := b.Next(100e6); ok {
		t.Error("it leaves as if the second packet of the other lane had not been")
	}
	if item, ok := b.Next(200e6); !ok || item != 1 || b.Len() != 0 {
		t.Errorf("%d, %v", item, ok)
	}
}

// TestSharedByGoroutines has lanes run at the same time.
func TestSharedByGoroutines(t *testing.T) {
	targets := addrs(rand.New(rand.NewPCG(1, 1)), 1000, 3, 20)
	lanes := lanesOf(pace.HostConfig{PerHost: 1000, PerNet: 8000}, 4, targets)
	var now atomic.Int64
	var all sync.WaitGroup
	for _, l := range lanes {
		all.Go(func() {
			for !l.done() {
				l.step(t, now.Add(1000))
			}
		})
	}
	all.Wait()
	expectAddrs(t, "goroutines", merged(lanes), targets)
}
