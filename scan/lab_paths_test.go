//go:build linux && !android

package scan

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// crossing is a prober between two routers, with networks behind each.
var crossing = lab.Topology{
	Links: []lab.Link{{A: "prober", B: "a"}, {A: "prober", B: "b"}},
	Prefixes: map[string][]netip.Prefix{
		"a": {netip.MustParsePrefix("10.100.0.0/16"), netip.MustParsePrefix("fd64::/64")},
		"b": {netip.MustParsePrefix("10.101.0.0/16"), netip.MustParsePrefix("fd65::/64")},
	},
}

// groups count verdicts by what they are and where the target lies.
type groups struct {
	t    *testing.T
	of   map[netip.Prefix]string // the name of a group
	seen map[string]int
}

func (g *groups) each(v *engine.Verdict) {
	for p, name := range g.of {
		if p.Contains(v.Target.Addr().WithZone("")) {
			g.seen[fmt.Sprintf("%s %v %v", name, v.State, v.Reason)]++
			return
		}
	}
	g.t.Errorf("%v is in no group", v.Target)
}

func (g *groups) want(want map[string]int) {
	g.t.Helper()
	for what, n := range want {
		if g.seen[what] != n {
			g.t.Errorf("%s: %d, want %d", what, g.seen[what], n)
		}
	}
	for what, n := range g.seen {
		if want[what] == 0 {
			g.t.Errorf("%s: %d, want none", what, n)
		}
	}
}

// One scan over two interfaces and four gateways, neighbours that live and that do not, networks without a route, loopback and our
// own addresses: every target has the verdict of its way.
func TestLabPaths(t *testing.T) {
	t.Parallel() // it mostly waits: the kernel asks for a dead neighbour three times, a second apart
	lab.Test(t, crossing, func(t *testing.T, n *lab.Net) {
		prober := n.Prober()
		n.Host("a").Respond(t, lab.Responder{})
		n.Host("b").Respond(t, lab.Responder{Fate: lab.Closed})
		prober.Listen(t, 80)
		prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix("10.102.0.0/16"), Via: netip.MustParseAddr("10.77.1.99")})
		prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix("fd66::/64"), Via: netip.MustParseAddr("fd77:0:0:2::99")})
		lo := prober.CaptureOn(t, "lo")
		g := groups{t, map[netip.Prefix]string{}, map[string]int{}}
		var all []string
		for name, texts := range map[string][]string{
			"behind a":    {"10.100.7.0/24", "fd64::/120"},
			"behind b":    {"10.101.7.0/24", "fd65::/120"},
			"a":           {"10.77.1.2/32", "fd77:0:0:1::2/128"},
			"b":           {"10.77.2.2/32", "fd77:0:0:2::2/128"},
			"dead on a":   {"10.77.1.64/27", "fd77:0:0:1::1:0/124"},
			"dead on b":   {"10.77.2.64/28", "fd77:0:0:2::1:0/124"},
			"behind dead": {"10.102.7.0/28", "fd66::/124"},
			"no route":    {"10.103.0.0/24", "fd67::/120"},
			"own":         {"10.77.1.1/32", "10.77.2.1/32", "fd77:0:0:1::1/128", "fd77:0:0:2::1/128"},
			"loopback":    {"127.0.0.0/28", "::1/128"},
		} {
			for _, text := range texts {
				g.of[netip.MustParsePrefix(text)] = name
				all = append(all, text)
			}
		}
		_, totals := scanAll(t, Config{Targets: space(t, "80", all...), Rate: -1, Lanes: 2, Timeout: 4500 * ms}, g.each)
		g.want(map[string]int{
			"behind a open syn-ack": 512, "behind b closed rst": 512, "a open syn-ack": 2, "b closed rst": 2,
			"dead on a unreachable no-neighbour": 48, "dead on b unreachable no-neighbour": 32,
			"behind dead unsent gateway-down": 32, "no route unreachable no-route": 512,
			"own open syn-ack": 4, "loopback open syn-ack": 17,
		})
		t.Logf("%+v", totals)
		own := netip.MustParseAddrPort("10.77.2.1:80")
		for _, target := range []netip.AddrPort{own, netip.MustParseAddrPort("127.0.0.5:80"), netip.MustParseAddrPort("[::1]:80")} {
			lo.Expect(t, target, lab.SYN(), lab.SYNACK(), lab.RST())
		}
	})
}

// A route changes during a scan: from then on targets are asked by the new way.
func TestLabRouteChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ prefix, half1, half2, via string }{
		"v4": {"10.100.0.0/18", "10.100.0.0/19", "10.100.32.0/19", "10.77.2.2"},
		"v6": {"fd64::/114", "fd64::/115", "fd64::2000/115", "fd77:0:0:2::2"},
	} {
		t.Run(name, func(t *testing.T) {
			lab.Test(t, crossing, func(t *testing.T, n *lab.Net) {
				n.Host("a").Respond(t, lab.Responder{})
				n.Host("b").Respond(t, lab.Responder{Fate: lab.Closed})
				var changed atomic.Int64
				time.AfterFunc(600*ms, func() {
					for _, to := range []string{c.half1, c.half2} {
						n.Prober().AddRoute(t, lab.Route{To: netip.MustParsePrefix(to), Via: netip.MustParseAddr(c.via)})
					}
					changed.Store(time.Now().UnixNano())
				})
				var mu sync.Mutex
				var open, closed []int64
				source := map[netip.Addr]int{}
				_, totals := scanAll(t, Config{Targets: space(t, "80", c.prefix), Rate: 12_000, Timeout: time.Second}, func(v *engine.Verdict) {
					mu.Lock()
					defer mu.Unlock()
					source[v.Source.Addr()]++
					switch v.State {
					case match.Open:
						open = append(open, v.Time)
					case match.Closed:
						closed = append(closed, v.Time)
					default:
						t.Errorf("%v is %v (%v)", v.Target, v.State, v.Reason)
					}
				})
				late := 0
				for _, at := range open {
					if at > changed.Load()+int64(100*ms) {
						late++
					}
				}
				t.Logf("%d by the old way, %d by the new, sources %v, %+v", len(open), len(closed), source, totals)
				if len(open) == 0 || len(closed) == 0 || late > 0 || len(source) != 2 {
					t.Errorf("%d targets were asked by the old way after the change", late)
				}
			})
		})
	}
}

// A ring that is too small drops answers: that is seen, the targets are asked once more, the scan slows down, and the result is
// whole. Where the first attempt is the only one, the extra one may be dropped like it; then the scan says what it does not know.
func TestLabSmallRing(t *testing.T) {
	both(t, 14, func(t *testing.T, n *lab.Net, prefix string) {
		peer := n.Host("peer").Respond(t, lab.Responder{Copies: 7})
		all := space(t, "80", prefix)
		for _, attempts := range []int{1, 3} {
			s, err := New(Config{Targets: all, Rate: -1, Attempts: attempts, Timeout: 600 * ms, RingFrames: 64})
			if err != nil {
				t.Fatal(err)
			}
			h := newTally(t, all)
			if err := s.Run(t.Context(), h); err != nil {
				t.Fatal(err)
			}
			totals, backoff := s.Totals(), s.Backoff()
			t.Logf("%d attempts: %+v, %+v; the peer saw %+v", attempts, totals, backoff, peer.Counters(t))
			if totals.RingDrops == 0 || backoff.Drops == 0 || attempts == 1 && totals.Requeued == 0 {
				t.Errorf("%d drops, %d asked again, slowed down %d times: the ring was large enough", totals.RingDrops, totals.Requeued, backoff.Drops)
			}
			found, missing := totals.Verdicts[match.Open], totals.Incomplete
			if found+missing != all.Size() || totals.Verdicts[match.Unsent] != missing || missing > 0 && (attempts > 1 || totals.Requeued < missing) {
				t.Errorf("%d found of %d, %d unsent by our own fault, %d asked again: %v", found, all.Size(), missing, totals.Requeued, totals.Verdicts)
			}
		}
	})
}
