//go:build linux && !android

package scan

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// A scan over a tun interface, which has no link header and no neighbours: the packets are those of any other way.
func TestLabTun(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		tun := n.Prober().Tun(t, "tun0", answerMixed)
		behind := []string{"10.89.0.0/27", "fd89::/123"}
		for i, own := range []string{"10.88.0.1/32", "fd88::1/128"} {
			n.Prober().AddAddress(t, "tun0", netip.MustParsePrefix(own))
			n.Prober().AddRoute(t, lab.Route{To: netip.MustParsePrefix(behind[i]), Device: "tun0"})
		}
		wire, all := tun.Capture(t), space(t, "80", behind...)
		tally, totals := scanAll(t, Config{Targets: all, Attempts: 2, Timeout: 1500 * ms}, nil)
		packets, held := 0, map[string]bool{}
		for i, state := range tally.states {
			at := all.At(uint64(i))
			fate := lab.MixedFate(at)
			if got := match.State(state - 1); got != stateOf[fate] {
				t.Errorf("%v is %v, want %v", at, got, stateOf[fate])
			}
			steps := stepsOf[fate]
			packets += len(steps)
			if kind := fmt.Sprint(at.Addr().Is6(), fate); !held[kind] {
				held[kind] = true
				wire.Expect(t, at, steps...)
			}
		}
		if got := len(wire.Packets(t)); got != packets || len(held) != 6 {
			t.Errorf("%d packets, want %d; held %v, %+v", got, packets, held, totals)
		}
	})
}

// answerMixed gives targets their fates.
func answerMixed(p lab.Packet) []lab.Answer {
	switch fate := lab.MixedFate(p.Dst); {
	case p.Flags() == "S" && fate == lab.Open:
		return lab.Now(p.SYNACK())
	case p.Flags() == "S" && fate == lab.Closed:
		return lab.Now(p.PeerRST())
	}
	return nil
}

// stepsOf are the packets of a target that is asked twice.
var stepsOf = map[lab.Fate][]lab.Step{
	lab.Open:   {lab.SYN(), lab.SYNACK(), lab.RST()},
	lab.Closed: {lab.SYN(), lab.PeerRST()},
	lab.Silent: {lab.SYN(), lab.SYN()},
}
