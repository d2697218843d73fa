//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// TestLabLoss loses 30 % of the segments each way, by a seed: with an attempt each second and 10 s of time every one of 1 000
// open targets is found. The targets of "program" answer each SYN once, so the test knows which attempt gets through; those
// of "kernel" are a listener that repeats its SYN-ACK, and whose SYN-ACKs come again when our RST is lost.
func TestLabLoss(t *testing.T) {
	const count, attempts = 1000, 10
	loss := lab.Loss{In: 30, Out: 30, Seed: 7}
	top := lab.Topology{
		Links: []lab.Link{{A: "prober", B: "program"}, {A: "prober", B: "kernel"}},
		Prefixes: map[string][]netip.Prefix{
			"program": {netip.MustParsePrefix("10.128.0.0/16"), netip.MustParsePrefix("fd80::/64")},
			"kernel":  {netip.MustParsePrefix("10.129.0.0/16"), netip.MustParsePrefix("fd81::/64")},
		},
	}
	predictable := append(block("10.128.1.0/16", count, 80), block("fd80::1000/64", count, 80)...)
	repeating := append(block("10.129.1.0/16", count, 80), block("fd81::1000/64", count, 80)...)
	for _, target := range predictable {
		if loss.Answered(target, attempts) < 0 {
			t.Fatalf("with this seed no attempt at %v gets through", target)
		}
	}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		n.Host("program").Respond(t, lab.Responder{})
		listener := n.Host("kernel").Listen(t, 80)
		n.Host("program").Lose(t, loss)
		n.Host("kernel").Lose(t, loss)
		p := newProber(t, rawshake.Config{Timeout: attempts * time.Second})
		results := probeAll(t, p, slices.Concat(predictable, repeating)...)
		for _, target := range slices.Concat(predictable, repeating) {
			want(t, results[target], rawshake.Open, match.SYNACK)
		}
		for _, target := range predictable {
			if got, due := results[target].Attempt, loss.Answered(target, attempts); got != due {
				t.Errorf("%v answered attempt %d, want %d", target, got, due)
			}
		}
		if n := listener.Accepted(); n != 0 {
			t.Errorf("accept returned %d times", n)
		}
		if s := settled(t, p); s.Open != 4*count || s.RingDrops != 0 {
			t.Errorf("%+v", s)
		}
	})
}
