//go:build linux && !android

package engine_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// openSmall opens an engine on real sockets whose receive rings hold 256 packets: the answers to what goes out in one turn, if
// each comes once.
func openSmall(t *testing.T, plan match.Plan) *engine.Front {
	t.Helper()
	wire, err := engine.OpenKernel(engine.KernelConfig{NumPorts: 32, Frames: 256})
	if err != nil {
		t.Fatal(err)
	}
	f, err := engine.NewFront([]engine.Config{{Plan: plan, Ports: wire.Ports(), Limit: 1 << 16}}, []engine.Wire{wire})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestLabRingOverflow has more answers arrive than the receive ring holds. The drops are counted, every probe that was pending
// asks once more, and none is read as silence of the target: with attempts to spare all are found, without them a probe whose
// extra answer was lost too says whose fault it was.
func TestLabRingOverflow(t *testing.T) {
	const count = 2000
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.128.0.0/16"), netip.MustParsePrefix("fd80::/64")}
	lab.Test(t, lab.Topology{Prefixes: map[string][]netip.Prefix{"peer": prefixes}}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer").Respond(t, lab.Responder{Copies: 1})
		for _, c := range []struct {
			name    string
			plan    match.Plan
			timeout time.Duration
		}{
			{"attempts to spare", mustPlan(t, 0, 50*ms, 100*ms, 150*ms, 200*ms, 250*ms, 300*ms, 350*ms), 400 * ms},
			{"a single attempt", mustPlan(t, 0), 200 * ms},
		} {
			for _, prefix := range prefixes {
				t.Run(c.name+" at "+prefix.String(), func(t *testing.T) {
					f := openSmall(t, c.plan)
					before := peer.Counters(t)
					found := map[match.Reason]int{}
					for v := range verdicts(t, f, many(netip.AddrPortFrom(prefix.Addr(), 80), count), c.timeout) {
						found[v.Reason]++
					}
					f.Close() // then the counters stand
					k, _ := f.Counters()
					after := peer.Counters(t)
					spare := c.plan.Attempts(c.timeout) > 1
					if k.RingDrops == 0 || !spare && k.Requeued == 0 {
						t.Errorf("the ring dropped %d packets, %d probes were asked once more: the test tests nothing", k.RingDrops, k.Requeued)
					}
					if spare && found[match.SYNACK] != count || found[match.SYNACK]+found[match.LossOfOurs] != count {
						t.Errorf("reasons %v, want %d open", found, count)
					}
					if syns := after.SYN - before.SYN; !spare && syns != count+k.Requeued || syns != k.SYNSent {
						t.Errorf("%d SYNs arrived, %d were sent, %d of them extra", syns, k.SYNSent, k.Requeued)
					}
					t.Logf("%v, %d drops, %d asked once more", found, k.RingDrops, k.Requeued)
				})
			}
		}
	})
}

func mustPlan(t *testing.T, at ...time.Duration) match.Plan {
	t.Helper()
	p, err := match.NewPlan(at, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
