//go:build linux && !android

package engine_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// phases bring a probe to each place where it may wait.
var phases = map[string]struct {
	change  func(*testing.T) func(*engine.Config)
	before  int // probes to other targets ahead of it
	same    int // probes to its target ahead of it
	hop     engine.Neighbour
	asks    bool
	wantSYN bool
}{
	"on the wire":     {wantSYN: true},
	"in the backlog":  {change: func(*testing.T) func(*engine.Config) { return limit(2) }, before: 2},
	"paced":           {change: func(*testing.T) func(*engine.Config) { return pace(0.1) }, before: 2},
	"without a port":  {same: 4},
	"held up by hops": {before: 200, hop: engine.NeighbourUnknown},
	"asked for":       {before: 10, hop: engine.NeighbourUnknown, asks: true},
	"not asked for":   {before: 4096, hop: engine.NeighbourUnknown, asks: true},
}

// reach starts a probe and brings it to a phase.
func reach(t *testing.T, phase string, target netip.AddrPort, ctx context.Context) (*engine.Front, *wiretest.Wire, *pending) {
	c := phases[phase]
	w := wiretest.New(wiretest.Silent)
	w.OnLink, w.Asks = true, c.asks
	w.Hop = func(netip.Addr) engine.Neighbour { return c.hop }
	change := plan(t, 0)
	if c.change != nil {
		change = with(change, c.change(t))
	}
	f := open(t, w, change)
	startIn(t.Context(), f, time.Minute, many(nth(target, 1), c.before)...)
	startIn(t.Context(), f, time.Minute, slices.Repeat([]netip.AddrPort{target}, c.same)...)
	p := startIn(ctx, f, time.Minute, target)[0]
	time.Sleep(100 * ms)
	return f, w, p
}

// A probe may be cancelled wherever it is: its caller returns at once, and nothing more is sent.
func TestCancelInEveryPhase(t *testing.T) {
	why := errors.New("enough")
	for phase, c := range phases {
		t.Run(phase, func(t *testing.T) {
			families(t, func(t *testing.T, target netip.AddrPort) {
				ctx, cancel := context.WithCancelCause(t.Context())
				f, w, p := reach(t, phase, target, ctx)
				before, _ := sent(w)
				_, others := f.Counters()
				cancel(why)
				if <-p.done; !errors.Is(p.err, why) || p.took != 100*ms {
					t.Errorf("error %v after %v", p.err, p.took)
				}
				synctest.Wait()
				held := 0
				if phase != "in the backlog" {
					held = 1
				}
				if _, n := f.Counters(); n != others-held {
					t.Errorf("%d pending, before %d", n, others)
				}
				time.Sleep(30 * time.Second)
				to := times(w, time.Now(), func(s wiretest.Segment) bool { return s.SYN && s.To == target })
				if n := len(to) - c.same; n != 0 && !c.wantSYN || n > 1 {
					t.Errorf("%d SYNs to the target, %d before", n, before)
				}
			})
		})
	}
}

func TestCancelBefore(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Open)
		f := open(t, w, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p := start(ctx, f, target, time.Second)
		if <-p.done; !errors.Is(p.err, context.Canceled) {
			t.Errorf("error %v", p.err)
		}
		wantSent(t, w, 0, 0)
	})
}

// Cancelled callers leave their places to others, again and again, and get nobody else's verdict.
func TestCancelManyTimes(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Delay(10*ms, wiretest.Open))
		f := open(t, w, limit(20))
		for round := range 10 {
			var quit, stay []*pending
			for i := range 40 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*ms/2)
				defer cancel()
				quit = append(quit, start(ctx, f, nth(target, i), time.Second))
				stay = append(stay, start(t.Context(), f, nth(target, 50+i), time.Second))
			}
			for i, p := range quit {
				if <-p.done; p.err == nil && p.v.Target != nth(target, i) || p.err != nil && !errors.Is(p.err, context.DeadlineExceeded) {
					t.Errorf("round %d: %v, error %v", round, p.v.Target, p.err)
				}
			}
			for i, p := range stay {
				if <-p.done; p.err != nil || p.v.Target != nth(target, 50+i) || p.v.State != match.Open {
					t.Errorf("round %d: %v is %v %v, error %v", round, p.v.Target, p.v.State, p.v.Reason, p.err)
				}
			}
		}
		counters(t, f)
	})
}

// A caller who takes the place of one that left the backlog gets its own verdict, and nothing is sent for the other.
func TestCancelInBacklogForAnother(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		f := open(t, w, with(plan(t, 0), limit(1)))
		startIn(t.Context(), f, time.Second, target)
		ctx, cancel := context.WithCancel(t.Context())
		startIn(ctx, f, 5*time.Second, nth(target, 1))
		cancel()
		synctest.Wait()
		p := start(t.Context(), f, nth(target, 2), 3*time.Second)
		p.want(t, match.Filtered, match.Timeout, 4*time.Second) // one for its turn
		if got := wireOf(w); len(got) != 2 || got[1].To != nth(target, 2) || p.v.Target != nth(target, 2) {
			t.Errorf("verdict on %v, on the wire %+v", p.v.Target, got)
		}
	})
}

// Close ends probes wherever they are, and sends nothing for them.
func TestCloseInEveryPhase(t *testing.T) {
	for phase := range phases {
		t.Run(phase, func(t *testing.T) {
			families(t, func(t *testing.T, target netip.AddrPort) {
				f, w, p := reach(t, phase, target, t.Context())
				before := len(w.Sent())
				if err := f.Close(); err != nil {
					t.Error(err)
				}
				if <-p.done; !errors.Is(p.err, net.ErrClosed) || p.took != 100*ms {
					t.Errorf("error %v after %v", p.err, p.took)
				}
				time.Sleep(time.Minute)
				if n := len(w.Sent()); n != before {
					t.Errorf("%d packets after Close", n-before)
				}
				late := start(t.Context(), f, target, time.Second)
				if <-late.done; !errors.Is(late.err, net.ErrClosed) {
					t.Errorf("error after Close %v", late.err)
				}
				if err := f.Close(); err != nil {
					t.Errorf("second Close: %v", err)
				}
			})
		})
	}
}

// Callers come while the Front closes: each gets a verdict or net.ErrClosed, and none waits for ever.
func TestCloseUnderWay(t *testing.T) {
	for range 20 {
		families(t, func(t *testing.T, target netip.AddrPort) {
			f := open(t, wiretest.New(wiretest.Delay(ms, wiretest.Open)), nil)
			var all []*pending
			for i := range 50 {
				all = append(all, start(t.Context(), f, nth(target, i), time.Second))
				if i == 30 {
					go f.Close()
				}
			}
			for _, p := range all {
				if <-p.done; p.err != nil && !errors.Is(p.err, net.ErrClosed) {
					t.Error(p.err)
				}
			}
		})
	}
}
