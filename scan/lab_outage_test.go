//go:build linux && !android

package scan

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
)

// away is a way in which our side of the network goes away, until undo is called.
type away struct {
	name  string
	begin func(t *testing.T, n *lab.Net) (undo func())
	says  string // what is missing
}

// aways are all of them but the gateway's, which takes longer. The targets are behind host a, on the prober's eth0.
var aways = []away{
	{"down", func(t *testing.T, n *lab.Net) func() { return n.Prober().LinkDown(t, "eth0") }, "interface eth0 is down"},
	{"carrier", func(t *testing.T, n *lab.Net) func() { return n.Host("a").LinkDown(t, "eth0") }, "interface eth0 has no carrier"},
	{"route", withoutRoute, "there is no way to "},
}

// withoutRoute takes the routes to what is behind a away.
func withoutRoute(t *testing.T, n *lab.Net) (undo func()) {
	var all []func()
	for to, via := range map[string]string{"10.100.0.0/16": "10.77.1.2", "fd64::/64": "fd77:0:0:1::2"} {
		all = append(all, n.Prober().DelRoute(t, lab.Route{To: netip.MustParsePrefix(to), Via: netip.MustParseAddr(via)}))
	}
	return func() {
		for _, undo := range all {
			undo()
		}
	}
}

// behind are 2^11 addresses behind each of two routers, and some that never had a route, of each family.
func behind(six bool) (texts []string, of map[netip.Prefix]string) {
	of = map[netip.Prefix]string{}
	for _, p := range []struct{ v4, v6, name string }{
		{"10.100.0.0/21", "fd64::/117", "a"}, {"10.101.0.0/21", "fd65::/117", "b"}, {"10.103.0.0/28", "fd67::/124", "no route"},
	} {
		text := p.v4
		if six {
			text = p.v6
		}
		texts, of[netip.MustParsePrefix(text)] = append(texts, text), p.name
	}
	return texts, of
}

// outageTest runs a test between two routers for each family and layer.
func outageTest(t *testing.T, test func(t *testing.T, n *lab.Net, c Config, g *groups)) {
	for name, six := range map[string]bool{"v4": false, "v6": true} {
		for _, layer := range []rawshake.Layer{rawshake.LayerEthernet, rawshake.LayerIP} {
			t.Run(name+"/"+layer.String(), func(t *testing.T) {
				t.Parallel()
				lab.Test(t, crossing, func(t *testing.T, n *lab.Net) {
					n.Host("a").Respond(t, lab.Responder{})
					n.Host("b").Respond(t, lab.Responder{Fate: lab.Closed})
					texts, of := behind(six)
					c := Config{Targets: space(t, "80", texts...), Rate: 5000, Layer: layer, Lanes: 2, Timeout: 1200 * ms}
					test(t, n, c, &groups{t, of, map[string]int{}})
				})
			})
		}
	}
}

// when calls do once so many SYNs of a scan have left.
func when(t *testing.T, s *Scan, syns uint64, do func()) {
	go func() {
		for t.Context().Err() == nil {
			if s.Totals().SYNSent >= syns {
				do()
				return
			}
			time.Sleep(ms)
		}
	}()
}

// whole is what comes out when an outage is over: what would have without.
var whole = map[string]int{"a open syn-ack": 2048, "b closed rst": 2048, "no route unreachable no-route": 16}

// Our side of the network goes away in the middle of a scan and comes back: the scan waits, says so, and every target has its right
// verdict.
func TestLabOutage(t *testing.T) {
	for _, away := range aways {
		t.Run(away.name, func(t *testing.T) {
			outageTest(t, func(t *testing.T, n *lab.Net, c Config, g *groups) {
				s, err := New(c)
				if err != nil {
					t.Fatal(err)
				}
				var said atomic.Value
				when(t, s, 1000, func() {
					undo := away.begin(t, n)
					for end := time.Now().Add(10 * time.Second); s.Outage() == nil && time.Now().Before(end); time.Sleep(ms) {
					}
					if what := s.Outage(); what != nil {
						said.Store(what.Error())
					}
					time.Sleep(100 * ms) // all lanes have noticed
					sent := s.Totals().SYNSent
					time.Sleep(500 * ms)
					if more := s.Totals().SYNSent - sent; more > 0 {
						t.Errorf("%d SYNs left during the outage", more)
					}
					undo()
				})
				h := newTally(t, c.Targets)
				h.each = g.each
				if err := s.Run(t.Context(), h); err != nil {
					t.Fatal(err)
				}
				t.Logf("%v: %+v", said.Load(), s.Totals())
				if what, _ := said.Load().(string); !strings.Contains(what, away.says) {
					t.Errorf("it says %q, want %q", what, away.says)
				}
				if g.want(whole); s.Totals().Incomplete > 0 || s.Outage() != nil {
					t.Errorf("%d verdicts are missing, %v", s.Totals().Incomplete, s.Outage())
				}
			})
		})
	}
}

// It does not come back in time: the scan ends as one that is interrupted does, and says what is missing. Who goes on while it still
// is away learns the same; who goes on afterwards finds all the rest, once.
func TestLabOutageForGood(t *testing.T) {
	for _, away := range aways {
		t.Run(away.name, func(t *testing.T) {
			outageTest(t, func(t *testing.T, n *lab.Net, c Config, g *groups) {
				c.Outage = 300 * ms
				var l log
				undo := make(chan func(), 1)
				for _, says := range []string{away.says, ""} { // who finds nothing there does not know why
					s, err := New(c)
					if err != nil {
						t.Fatal(err)
					}
					if c.Resume == nil {
						when(t, s, 1000, func() { undo <- away.begin(t, n) })
					}
					var gone *OutageError
					if err := s.Run(t.Context(), &l); !errors.As(err, &gone) || !strings.Contains(err.Error(), says) || l.state == nil {
						t.Fatalf("Run returned %v, want an outage: %s", err, says)
					}
					if done := l.state.Totals.Done(); done == 0 || done >= c.Targets.Size() || l.state.Totals.Incomplete > 0 {
						t.Errorf("%+v of %d targets", l.state.Totals, c.Targets.Size())
					}
					c.Resume = l.state
				}
				(<-undo)()
				s, err := New(c)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Run(t.Context(), &l); err != nil {
					t.Fatal(err)
				}
				l.commit()
				for _, v := range once(t, l.kept) {
					g.each(&v)
				}
				g.want(whole)
			})
		})
	}
}

// A link is away for a moment, shorter than the timeout and than anybody looks: what was under way then is asked once more.
func TestLabFlap(t *testing.T) {
	for name, host := range map[string]string{"down": "prober", "carrier": "a"} {
		t.Run(name, func(t *testing.T) {
			outageTest(t, func(t *testing.T, n *lab.Net, c Config, g *groups) {
				flaps := 0
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					for ; ctx.Err() == nil && flaps < 3; flaps++ {
						time.Sleep(250 * ms)
						n.Host(host).LinkDown(t, "eth0")()
					}
				}()
				_, totals := scanAll(t, c, g.each)
				stop()
				<-ended
				t.Logf("%d flaps, %+v", flaps, totals)
				g.want(whole)
			})
		})
	}
}

// A gateway dies in the middle of a scan, and comes back: it is asked whether it lives, so that nobody behind it reads as filtered.
func TestLabGatewayDies(t *testing.T) {
	outageTest(t, func(t *testing.T, n *lab.Net, c Config, g *groups) {
		c.Rate = 1000
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		var said atomic.Value
		when(t, s, 1000, func() {
			revive := n.Host("a").Deafen(t, "eth0")
			for end := time.Now().Add(20 * time.Second); s.Outage() == nil && time.Now().Before(end); time.Sleep(ms) {
			}
			if what := s.Outage(); what != nil {
				said.Store(what.Error())
			}
			time.Sleep(500 * ms)
			revive()
		})
		h := newTally(t, c.Targets)
		h.each = g.each
		if err := s.Run(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		t.Logf("%v: %+v", said.Load(), s.Totals())
		if what, _ := said.Load().(string); !strings.Contains(what, "gateway ") || !strings.Contains(what, "on interface eth0 does not answer") {
			t.Errorf("it says %q", what)
		}
		if g.want(whole); s.Totals().Incomplete > 0 {
			t.Errorf("%d verdicts are missing", s.Totals().Incomplete)
		}
	})
}

// Who does not want to wait hears of each target that it was not asked, and that verdicts are missing.
func TestLabOutageWithoutWaiting(t *testing.T) {
	for _, away := range aways {
		t.Run(away.name, func(t *testing.T) {
			outageTest(t, func(t *testing.T, n *lab.Net, c Config, g *groups) {
				c.Outage = -1
				s, err := New(c)
				if err != nil {
					t.Fatal(err)
				}
				when(t, s, 1000, func() { away.begin(t, n) })
				h := newTally(t, c.Targets)
				h.each = g.each
				if err := s.Run(t.Context(), h); err != nil {
					t.Fatal(err)
				}
				totals := s.Totals()
				t.Log(g.seen)
				open, down := g.seen["a open syn-ack"], g.seen["a unsent link-down"]
				if open == 0 || down == 0 || totals.Incomplete < uint64(down) || g.seen["a unreachable no-route"] > 0 {
					t.Errorf("%d open, %d unsent, %d verdicts missing: %v", open, down, totals.Incomplete, g.seen)
				}
				if g.seen["b closed rst"] != 2048 || g.seen["no route unreachable no-route"] != 16 {
					t.Errorf("elsewhere: %v", g.seen)
				}
			})
		})
	}
}
