//go:build linux && !android

package scan

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// unplugged is a world whose link loses everything while it is out.
type unplugged struct {
	world
	out     atomic.Bool
	refuses error // what sending says meanwhile; nil: it is lost without a word
}

var errUnplugged = errors.New("interface eth0 has no carrier")

func newUnplugged(refuses error) *unplugged {
	w := &unplugged{refuses: refuses}
	w.tweak = func(wire *wiretest.Wire) {
		host := wire.Host
		wire.Gone = func(a netip.Addr) error {
			if w.out.Load() && noRoute(a) == nil {
				return errUnplugged
			}
			return nil
		}
		wire.SendErr = func([]byte) error {
			if w.out.Load() {
				return w.refuses
			}
			return nil
		}
		wire.Host = func(pkt []byte) []wiretest.Packet {
			if w.out.Load() {
				return nil
			}
			return host(pkt)
		}
	}
	return w
}

// for takes the link out for a while.
func (w *unplugged) during(after, lasts time.Duration) {
	time.AfterFunc(after, func() {
		w.out.Store(true)
		time.AfterFunc(lasts, func() { w.out.Store(false) })
	})
}

// An outage of any length takes its time and changes no verdict, and the log has two lines about it.
func TestOutage(t *testing.T) {
	for name, refuses := range map[string]error{"lost": nil, "down": syscall.ENETDOWN, "buffers": syscall.ENOBUFS, "route": syscall.ENETUNREACH} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				for _, lasts := range []time.Duration{30 * ms, 400 * ms, 2 * time.Second, 20 * time.Second} {
					w, text := newUnplugged(refuses), &bytes.Buffer{}
					w.during(time.Second, lasts)
					c := Config{
						Targets: space(t, "80-109", mixed), Rate: 2000, Lanes: 2, Attempts: 2, Timeout: time.Second,
						Logger: slog.New(slog.NewTextHandler(text, nil)),
					}
					began := time.Now()
					verdicts, s := run(t, c, &w.world)
					took := time.Since(began)
					right(t, s, verdicts)
					if totals := s.Totals(); totals.Requeued == 0 || totals.Incomplete > 0 || s.Outage() != nil {
						t.Errorf("%v: %+v, %v", lasts, totals, s.Outage())
					}
					if most := time.Duration(c.Targets.Size()*3)*time.Second/2000 + lasts + 4*time.Second; took < lasts+time.Second || took > most {
						t.Errorf("%v: it took %v, want at most %v", lasts, took, most)
					}
					for _, p := range syns(w.sent()) {
						if at := p.at.Sub(began); at > time.Second+30*ms && at < time.Second+lasts {
							t.Fatalf("%v: a SYN left after %v", lasts, at)
						}
					}
					if got := text.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, `waits for our side of the network" missing=`) || !strings.Contains(got, "goes on") {
						t.Errorf("%v: the log says\n%s", lasts, got)
					}
				}
			})
		})
	}
}

// What does not come back ends the scan, with all that is pending in its last Checkpoint; who goes on finds the rest, once, also after
// he has come too early.
func TestOutageForGood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newUnplugged(syscall.ENETDOWN)
		time.AfterFunc(time.Second, func() { w.out.Store(true) })
		c := Config{Targets: space(t, "80-109", mixed), Rate: 2000, Lanes: 2, Timeout: time.Second, Outage: 5 * time.Second}
		var l log
		for range 2 {
			began := time.Now()
			s := start(t, c, &w.world)
			var gone *OutageError
			if err := s.Run(t.Context(), &l); !errors.As(err, &gone) || !errors.Is(err, errUnplugged) || gone.Waited != c.Outage {
				t.Fatalf("Run returned %v", err)
			}
			if took := time.Since(began); took < c.Outage || took > c.Outage+1100*ms {
				t.Errorf("it took %v", took)
			}
			if len(l.tail) > 0 || l.state.Totals.Done() >= c.Targets.Size() || l.state.Totals.Incomplete > 0 || len(l.state.Ways) == 0 {
				t.Errorf("%d verdicts after the last Checkpoint, %+v, ways %v", len(l.tail), l.state.Totals, l.state.Ways)
			}
			c.Resume = l.state
		}
		w.out.Store(false)
		s := start(t, c, &w.world)
		if err := s.Run(t.Context(), &l); err != nil {
			t.Fatal(err)
		}
		l.commit()
		right(t, s, once(t, l.kept))
	})
}

// Every unsent target is a missing verdict, but for those out of scope.
func TestMissing(t *testing.T) {
	for r := range match.NumReasons {
		if missing(r) == (r == match.OutOfScope) {
			t.Errorf("%v: missing %v", r, missing(r))
		}
	}
	bubble(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			c       Config
			tweak   func(*wiretest.Wire)
			missing uint64
		}{
			"no source": {Config{Targets: space(t, "80", "2001:db8:1::/124")}, func(w *wiretest.Wire) { w.Source6 = netip.Addr{} }, 16},
			"down":      {Config{Targets: space(t, "80", "198.18.0.0/28"), Outage: -1}, func(w *wiretest.Wire) { w.SendErr = fails(syscall.ENETDOWN) }, 16},
			"firewall":  {Config{Targets: space(t, "80", "198.18.0.0/28")}, func(w *wiretest.Wire) { w.SendErr = fails(syscall.EPERM) }, 16},
			"size":      {Config{Targets: space(t, "80", "198.18.0.0/28")}, func(w *wiretest.Wire) { w.SendErr = fails(syscall.EMSGSIZE) }, 16},
			"gateway": {Config{Targets: space(t, "80", "198.18.0.0/28"), Timeout: time.Second}, func(w *wiretest.Wire) {
				w.Gateway = netip.MustParseAddr("192.0.2.254")
				w.Hop = func(netip.Addr) engine.Neighbour { return engine.NeighbourFailed }
			}, 16},
			"scope": {Config{Targets: space(t, "80", "198.18.0.0/28"), Scope: func(netip.Addr) bool { return false }}, everyRoute, 0},
		} {
			test.c.Rate = -1
			_, s := run(t, test.c, &world{host: wiretest.Silent, tweak: func(w *wiretest.Wire) { everyRoute(w); test.tweak(w) }})
			if got := s.Totals(); got.Incomplete != test.missing || got.Verdicts[match.Unsent] != 16 {
				t.Errorf("%s: %+v", name, got)
			}
		}
	})
}

func fails(err error) func([]byte) error { return func([]byte) error { return err } }
