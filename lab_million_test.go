//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"context"
	"errors"
	"iter"
	"net/netip"
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
	if raced || testing.Short() {
		t.Skip("it takes two million probes")
	}
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

// mostBytes is the most memory that a pending probe may cost: its slot of 32 or 48 bytes, its share of the ledger, and the place in
// a queue where it waited for its turn, because targets come faster than packets leave.
const mostBytes = 160

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
