//go:build linux && !android && !rawshake_connect && !race

package rawshake_test

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

const million = 1_000_000

// TestLabMillionPending has a million probes of silent targets pending at once, and says what they cost in memory. In IPv4 all of
// them end in their verdict, in IPv6 by their context.
func TestLabMillionPending(t *testing.T) {
	top := lab.Topology{Prefixes: map[string][]netip.Prefix{"peer": {netip.MustParsePrefix("10.128.0.0/9"), netip.MustParsePrefix("fd80::/64")}}}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		silence := n.Host("peer").Respond(t, lab.Responder{Fate: lab.Silent})
		enough := errors.New("enough")
		families(t, func(t *testing.T, v6 bool) {
			asked := silence.Counters(t).SYN
			p := newProber(t, rawshake.Config{Timeout: 8 * time.Second, Attempts: 1})
			before := used(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			peak := make(chan int, 1)
			go func() {
				eventually(t, "a million pending", func() bool { s := p.Stats(); return s.InFlight == million && s.SYNSent == million })
				peak <- used(t).resident
				if v6 {
					cancel(enough)
				}
			}()
			start := time.Now()
			first := map[bool]string{false: "10.128.0.0", true: "fd80::"}[v6]
			filtered, err := sweep(ctx, p, addresses(netip.MustParseAddr(first), million))
			took := time.Since(start)
			if v6 && err != enough || !v6 && (err != nil || filtered != million) {
				t.Errorf("%d filtered, error %v", filtered, err)
			}
			if s := settled(t, p); s.SYNSent != million || silence.Counters(t).SYN-asked != million {
				t.Errorf("%+v", s)
			}
			each := (<-peak - before.resident) / million
			if each > mostBytes {
				t.Errorf("%d bytes of memory for each pending probe, want at most %d", each, mostBytes)
			}
			t.Logf("%d bytes of memory for each of %d pending probes; over after %v; %v before, %v after", each, million, took, before, used(t))
		})
	})
}

// mostBytes is the most memory that a pending probe may cost: its slot of 32 or 48 bytes, and its share of the ledger. What waits for
// its turn is in no queue.
const mostBytes = 64

// sweep counts the targets that are silent, and returns the error that ended the sequence.
func sweep(ctx context.Context, p *rawshake.Prober, targets iter.Seq[netip.AddrPort]) (filtered int, err error) {
	for r, err := range p.ProbeAll(ctx, targets) {
		if err != nil {
			return filtered, err
		}
		if r.State == rawshake.Filtered && r.Reason == match.Timeout {
			filtered++
		}
	}
	return filtered, nil
}

// addresses yields n targets at consecutive addresses.
func addresses(first netip.Addr, n int) iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		for addr := first; n > 0 && yield(at(addr, 80)); n-- {
			addr = addr.Next()
		}
	}
}

// TestLabAllocations counts the allocations of probes once warm, with a context that can be cancelled: of a caller that finds
// its answer at once, and of callers that park. Besides, the prober asks its rings a hundred times a second for what they lost.
func TestLabAllocations(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		peer.Drop(t, 82)
		p := newProber(t, rawshake.Config{Timeout: 20 * time.Millisecond})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for warm := time.Now(); time.Since(warm) < 200*time.Millisecond; { // until the kernel's notices have been read
			probe(t, p, at(peer.V4, 80))
			probe(t, p, at(peer.V6, 80))
		}
		families(t, func(t *testing.T, v6 bool) {
			for port, state := range map[uint16]rawshake.State{80: rawshake.Open, 81: rawshake.Closed} {
				target, wrong := at(peer.Addr(v6), port), 0
				if n := testing.AllocsPerRun(2000, func() {
					if r, err := p.Probe(ctx, target); err != nil || r.State != state {
						wrong++
					}
				}); n != 0 || wrong > 0 {
					t.Errorf("%v: %v allocations a probe, %d wrong verdicts", target, n, wrong)
				}
			}
			const callers = 60
			for port, checks := range map[uint16]int{80: 30_000, 81: 30_000, 82: 1500} {
				target := at(peer.Addr(v6), port)
				crowd(t, p, target, checks, callers)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				start := time.Now()
				crowd(t, p, target, checks, callers)
				took := time.Since(start)
				runtime.ReadMemStats(&after)
				// A caller is a goroutine of the test with a map; each desk asks two rings.
				own, rings := 8*callers, 2*min(runtime.GOMAXPROCS(0), 4)*int(took/(10*time.Millisecond)+1)
				n := int(after.Mallocs - before.Mallocs)
				if n > own+rings+checks/100 {
					t.Errorf("%v: %d allocations for %d probes by %d callers in %v", target, n, checks, callers, took)
				}
				t.Logf("%v: %d allocations for %d probes by %d callers in %v", target, n, checks, callers, took)
			}
		})
	})
}
