//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// TestLabDeadBeforeTheTimeout: who has much time still hears of a dead host on the link when the kernel gives it up, after about
// three seconds, like connect(2), and also where the kernel has made so many ICMP errors that it makes no more.
func TestLabDeadBeforeTheTimeout(t *testing.T) {
	t.Parallel()
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		gateways := behindDead(t, n.Prober())
		hosts := append(block("10.77.1.10/24", 30, 80), block("fd77:0:0:1::1000/64", 30, 80)...)
		for _, attempts := range []int{1, 0} {
			n.Prober().FlushNeighbours(t)
			p := newProber(t, rawshake.Config{Timeout: 10 * time.Second, Attempts: attempts})
			start := time.Now()
			results := probeAll(t, p, append(slices.Clone(gateways), hosts...)...)
			if took := time.Since(start); took < 2*time.Second || took > 3500*time.Millisecond {
				t.Errorf("%d attempts: it took %v, want about 3 s", attempts, took)
			}
			for target, r := range results {
				state, reason := rawshake.Unreachable, match.NoNeighbour
				if slices.Contains(gateways, target) {
					state, reason = rawshake.Unsent, match.GatewayDown
				}
				if want(t, r, state, reason); r.Err != syscall.EHOSTUNREACH {
					t.Errorf("%v: error %v", target, r.Err)
				}
			}
		}
		single := newProber(t, rawshake.Config{Timeout: 10 * time.Second})
		for _, target := range []netip.AddrPort{at(dead4.Next(), 80), at(dead6.Next(), 80)} {
			start := time.Now()
			want(t, probe(t, single, target), rawshake.Unreachable, match.NoNeighbour)
			if took := time.Since(start); took > 3500*time.Millisecond {
				t.Errorf("%v: it took %v, want about 3 s", target, took)
			}
		}
	})
}
