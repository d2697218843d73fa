//go:build linux && !android

package scan

import (
	"maps"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// A scan of a network on the link, of which a part lives: whole frames leave for those alone, each with its own link address, and the
// others have their verdict without a SYN, thousands at a time. The kernel's table, which holds 1024 for the whole machine, stays out
// of it.
func TestLabNeighbours(t *testing.T) {
	for name, c := range map[string]struct{ network, lives string }{
		"v4": {"10.130.0.0/20", "10.130.0.0/21"},
		"v6": {"fd81::/118", "fd81::/120"},
	} {
		t.Run(name, func(t *testing.T) {
			lives := netip.MustParsePrefix(c.lives)
			lab.Test(t, lab.Topology{Prefixes: map[string][]netip.Prefix{"peer": {lives}}}, func(t *testing.T, n *lab.Net) {
				n.Prober().AddRoute(t, lab.Route{To: netip.MustParsePrefix(c.network), Device: "eth0", Metric: 1})
				n.Prober().DelRoute(t, lab.Route{To: lives, Via: n.Host("peer").Addr(lives.Addr().Is6())})
				if lives.Addr().Is6() {
					answerFor(t, n.Host("peer"), lives)
				}
				peer := n.Host("peer").Respond(t, lab.Responder{Mixed: true})
				all := space(t, "80", c.network)
				began := time.Now()
				wrong := 0
				_, totals := scanAll(t, Config{Targets: all, Rate: -1, Timeout: time.Second, Lanes: 2}, func(v *engine.Verdict) {
					state, reason := stateOf[lab.MixedFate(v.Target)], v.Reason
					if !lives.Contains(v.Target.Addr()) {
						state, reason = match.Unreachable, match.NoNeighbour
					}
					if v.State != state || v.Reason != reason {
						if wrong++; wrong < 5 {
							t.Errorf("%v is %v %v, want %v %v", v.Target, v.State, v.Reason, state, reason)
						}
					}
				})
				counters := peer.Counters(t)
				t.Logf("%v: %+v; the peer saw %+v", time.Since(began), totals, counters)
				if totals.SendErrors > 0 || counters.SYN != totals.SYNSent || counters.RST != totals.Verdicts[match.Open] {
					t.Errorf("sent %+v, the peer saw %+v", totals, counters)
				}
				if table, _ := os.ReadFile("/proc/net/arp"); strings.Contains(string(table), "10.130.") {
					t.Errorf("in the kernel's table:\n%s", table)
				}
			})
		})
	}
}

// answerFor has a host answer neighbours who look for an address of an IPv6 prefix: its kernel does so for those of an interface only.
func answerFor(t *testing.T, h *lab.Host, p netip.Prefix) {
	for a := p.Addr(); p.Contains(a); a = a.Next() {
		h.AddAddress(t, "eth0", netip.PrefixFrom(a, 128))
	}
}

// The layer of raw IP sockets has the kernel ask. It finds the same.
func TestLabNeighboursByKernel(t *testing.T) {
	networks := []string{"10.130.0.0/25", "fd81::/121"}
	var lives []netip.Prefix // the first half of each
	for _, network := range networks {
		p := netip.MustParsePrefix(network)
		lives = append(lives, netip.PrefixFrom(p.Addr(), p.Bits()+1))
	}
	lab.Test(t, lab.Topology{Prefixes: map[string][]netip.Prefix{"peer": lives}}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		for i, p := range lives {
			n.Prober().AddRoute(t, lab.Route{To: netip.MustParsePrefix(networks[i]), Device: "eth0", Metric: 1})
			n.Prober().DelRoute(t, lab.Route{To: p, Via: peer.Addr(p.Addr().Is6())})
		}
		answerFor(t, peer, lives[1])
		peer.Respond(t, lab.Responder{})
		g := groups{t, map[netip.Prefix]string{
			lives[0]: "alive", netip.MustParsePrefix("10.130.0.64/26"): "dead", lives[1]: "alive", netip.MustParsePrefix("fd81::40/122"): "dead",
		}, map[string]int{}}
		scanAll(t, Config{Targets: space(t, "80", networks...), Rate: -1, Timeout: 4500 * ms, Layer: rawshake.LayerIP}, g.each)
		g.want(map[string]int{"alive open syn-ack": 128, "dead unreachable no-neighbour": 128})
	})
}

// A neighbour that the kernel has spoken with and that is gone by now: frames go past the kernel, which would notice only then.
func TestLabNeighbourGone(t *testing.T) {
	t.Parallel()
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		all := space(t, "80", "10.77.1.50", "fd77:0:0:1::50")
		want := map[match.State]int{match.Closed: 2}
		verdicts := func(c Config) {
			t.Helper()
			got := map[match.State]int{}
			scanAll(t, c, func(v *engine.Verdict) { got[v.State]++ })
			if !maps.Equal(got, want) {
				t.Errorf("layer %v: %v, want %v", c.Layer, got, want)
			}
		}
		var undo []func()
		for _, a := range []string{"10.77.1.50/24", "fd77:0:0:1::50/64"} {
			undo = append(undo, peer.AddAddress(t, "eth0", netip.MustParsePrefix(a)))
		}
		verdicts(Config{Targets: all, Timeout: 4 * time.Second, Layer: rawshake.LayerIP})
		for _, remove := range undo {
			remove()
		}
		want = map[match.State]int{match.Unreachable: 2}
		verdicts(Config{Targets: all, Timeout: time.Second})
	})
}
