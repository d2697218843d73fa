//go:build linux && !android

package engine_test

import (
	"context"
	"errors"
	"math"
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

// Attempts leave exactly when the plan says, however far apart, and the verdict comes exactly at the timeout.
func TestSchedule(t *testing.T) {
	for _, c := range []struct {
		at      []time.Duration
		timeout time.Duration
		n       int
	}{
		{[]time.Duration{0}, time.Second, 1},
		{[]time.Duration{0, 1 * ms, 2 * ms, 3 * ms}, 10 * ms, 4},
		{[]time.Duration{0, 250 * ms, 900 * ms, 1000 * ms}, time.Second, 3},
		{[]time.Duration{0, 4094 * ms, 8190 * ms, 12287 * ms}, 13 * time.Second, 4},
		{[]time.Duration{0, 5 * time.Second, 10 * time.Second, 60 * time.Second}, 2 * time.Minute, 4},
		{[]time.Duration{0, 10 * time.Minute, 30 * time.Minute}, time.Hour, 3},
	} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := wiretest.New(wiretest.Silent)
			f := open(t, w, plan(t, c.at...))
			began := time.Now()
			p := start(t.Context(), f, target, c.timeout)
			p.want(t, match.Filtered, match.Timeout, c.timeout)
			if p.v.Attempt != c.n-1 {
				t.Errorf("attempt %d, want %d", p.v.Attempt, c.n-1)
			}
			wantTimes(t, times(w, began, isSYN), c.at[:c.n]...)
		})
	}
}

// Timeouts of all lengths at a time: the long ones do not keep the short ones.
func TestTimeoutsAtATime(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		f := open(t, wiretest.New(wiretest.Silent), nil)
		timeouts := []time.Duration{10 * time.Second, 50 * ms, 3 * time.Second, ms, 20 * time.Second, 300 * ms, 4095 * ms, 5 * time.Second}
		var all []*pending
		for i, d := range timeouts {
			all = append(all, start(t.Context(), f, nth(target, i), d))
		}
		time.Sleep(500 * time.Microsecond) // some begin between two ticks
		for i, d := range timeouts {
			all = append(all, start(t.Context(), f, nth(target, 100+i), d))
		}
		for i, p := range all {
			want := timeouts[i%len(timeouts)]
			if <-p.done; p.v.State != match.Filtered || p.took < want || p.took > want+ms {
				t.Errorf("timeout %v: %v after %v", want, p.v.State, p.took)
			}
		}
	})
}

func TestTimeoutOfNothing(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Open)
		f := open(t, w, nil)
		for _, d := range []time.Duration{0, -1, math.MinInt64 / 2} {
			start(t.Context(), f, target, d).want(t, match.Filtered, match.Timeout, 0)
		}
		wantSent(t, w, 0, 0)
	})
}

// A timeout without end is as long as there are.
func TestTimeoutForEver(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Delay(time.Minute, wiretest.Open))
		f := open(t, w, plan(t, 0))
		start(t.Context(), f, target, math.MaxInt64).want(t, match.Open, match.SYNACK, time.Minute)
	})
}

// After months the ticks wrap around, and nobody notices: neither a busy engine nor one that slept.
func TestAfterMonths(t *testing.T) {
	const wrap = 1 << 32 * ms // 49.7 days
	for _, sleep := range []time.Duration{wrap/2 - time.Second, wrap / 2, 26 * 24 * time.Hour, wrap - time.Second, wrap, wrap + time.Hour, 3*wrap - time.Second} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := wiretest.New(wiretest.LoseFirst(1, wiretest.Delay(20*ms, wiretest.Open)))
			f := open(t, w, nil)
			time.Sleep(sleep)
			began := time.Now()
			start(t.Context(), f, target, 4*time.Second).want(t, match.Open, match.SYNACK, 1020*ms)
			synctest.Wait()
			w.Host = wiretest.Silent
			p := start(t.Context(), f, target, 2500*ms)
			p.want(t, match.Filtered, match.Timeout, 2500*ms)
			wantTimes(t, times(w, began, isSYN), 0, time.Second, 1020*ms, 2020*ms, 3020*ms)
		})
	}
}

// A pacer spaces packets exactly, resets included.
func TestPace(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		f := open(t, w, with(plan(t, 0), pace(10)))
		began := time.Now()
		for _, p := range startIn(t.Context(), f, 2*time.Second, many(target, 5)...) {
			p.want(t, match.Filtered, match.Timeout, 2*time.Second)
		}
		wantTimes(t, times(w, began, isSYN), 0, 100*ms, 200*ms, 300*ms, 400*ms)
	})
}

func TestPaceOfResets(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Delay(50*ms, wiretest.Open))
		f := open(t, w, pace(10))
		began := time.Now()
		startIn(t.Context(), f, 2*time.Second, many(target, 3)...)[2].want(t, match.Open, match.SYNACK, 450*ms)
		wantTimes(t, times(w, began, isSYN), 0, 200*ms, 400*ms)
		wantTimes(t, times(w, began, isRST), 50*ms, 250*ms, 450*ms) // at once, at the cost of the next SYN
	})
}

// Later attempts are paced like first ones, and both families together.
func TestPaceOfAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := wiretest.New(wiretest.Silent)
		f := open(t, w, with(every(t, 10*ms, 3), pace(100)))
		began := time.Now()
		startIn(t.Context(), f, time.Second, target4, target6)[1].want(t, match.Filtered, match.Timeout, time.Second)
		wantTimes(t, times(w, began, isSYN), 0, 10*ms, 20*ms, 30*ms, 40*ms, 50*ms)
	})
}

// Who waits for a port, or for a link address, does not spend the pace of others.
func TestWaitingIsFree(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		f := open(t, w, with(plan(t, 0), pace(100)))
		startIn(t.Context(), f, 4*time.Second, slices.Repeat([]netip.AddrPort{target}, 20)...)
		time.Sleep(100 * ms) // four have a port
		began := time.Now()
		startIn(t.Context(), f, time.Second, many(nth(target, 1), 10)...)[9].want(t, match.Filtered, match.Timeout, time.Second)
		at := times(w, began, func(s wiretest.Segment) bool { return s.SYN && s.To != target })
		if len(at) != 10 || at[9] != 90*ms {
			t.Errorf("others left at %v", at)
		}
	})
}

// A probe whose turn does not come before its timeout was not sent, and says so in time.
func TestTimeoutInPacedQueue(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		f := open(t, w, with(plan(t, 0), pace(1)))
		long := startIn(t.Context(), f, 10*time.Second, many(target, 3)...)
		short := start(t.Context(), f, nth(target, 10), 50*ms)
		longer := start(t.Context(), f, nth(target, 11), 30*time.Second)
		short.want(t, match.Unsent, match.Overload, 50*ms)
		wantLocal(t, short.v, nth(target, 10), match.Unsent, match.Overload, 0)
		for _, p := range long {
			p.want(t, match.Filtered, match.Timeout, 10*time.Second)
		}
		longer.want(t, match.Filtered, match.Timeout, 30*time.Second)
		wantSent(t, w, 4, 0)
	})
}

// Cancelled probes leave no gap in the pace.
func TestPaceAfterCancel(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		f := open(t, w, with(plan(t, 0), pace(10)))
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		startIn(t.Context(), f, time.Second, target)
		startIn(ctx, f, time.Second, many(nth(target, 1), 100)...)
		startIn(t.Context(), f, time.Second, nth(target, 200))
		cancel()
		time.Sleep(time.Second)
		wantTimes(t, times(w, began, isSYN), 0, 100*ms)
	})
}

func pace(rate float64) func(*engine.Config) {
	return func(c *engine.Config) { c.Pacer = engine.NewPace(rate) }
}

func limit(n int) func(*engine.Config) { return func(c *engine.Config) { c.Limit = n } }

// What the table has no room for waits its turn, and its timeout goes on.
func TestBacklog(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		f := open(t, w, with(plan(t, 0), limit(2)))
		began := time.Now()
		first := startIn(t.Context(), f, time.Second, many(target, 2)...)
		next := startIn(t.Context(), f, 3*time.Second, many(nth(target, 2), 2)...)
		hopeless := startIn(t.Context(), f, 100*ms, many(nth(target, 4), 3)...)
		last := start(t.Context(), f, nth(target, 7), 4*time.Second)
		for _, p := range hopeless {
			p.want(t, match.Unsent, match.Overload, 100*ms)
			wantLocal(t, p.v, p.v.Target, match.Unsent, match.Overload, 0)
		}
		for _, p := range first {
			p.want(t, match.Filtered, match.Timeout, time.Second)
		}
		for _, p := range next {
			p.want(t, match.Filtered, match.Timeout, 3*time.Second)
		}
		last.want(t, match.Filtered, match.Timeout, 4*time.Second)
		wantTimes(t, times(w, began, isSYN), 0, 0, time.Second, time.Second, 3*time.Second)
	})
}

// A slot that comes free is used at once, whoever freed it.
func TestBacklogGoesOn(t *testing.T) {
	for _, delay := range []time.Duration{0, 10 * ms} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := wiretest.New(wiretest.Delay(delay, wiretest.Open))
			f := open(t, w, limit(1))
			var all []*pending
			for i := range 50 {
				all = append(all, start(t.Context(), f, nth(target, i), 10*time.Second))
			}
			longest := time.Duration(0)
			for _, p := range all {
				if <-p.done; p.err != nil || p.v.State != match.Open {
					t.Errorf("%v %v, error %v", p.v.State, p.v.Reason, p.err)
				}
				longest = max(longest, p.took)
			}
			if longest != 50*delay {
				t.Errorf("the last one took %v, want %v", longest, 50*delay)
			}
		})
	}
}

// phases bring a probe to each place where it may wait.
var phases = map[string]struct {
	change  func(*testing.T) func(*engine.Config)
	before  int // probes to other targets ahead of it
	same    int // probes to its target ahead of it
	hop     engine.Neighbour
	wantSYN bool
}{
	"on the wire":     {wantSYN: true},
	"in the backlog":  {change: func(*testing.T) func(*engine.Config) { return limit(2) }, before: 2},
	"paced":           {change: func(*testing.T) func(*engine.Config) { return pace(0.1) }, before: 2},
	"without a port":  {same: 4},
	"held up by hops": {before: 200, hop: engine.NeighbourUnknown},
}

// reach starts a probe and brings it to a phase.
func reach(t *testing.T, phase string, target netip.AddrPort, ctx context.Context) (*engine.Front, *wiretest.Wire, *pending) {
	c := phases[phase]
	w := wiretest.New(wiretest.Silent)
	w.OnLink = true
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
		p.want(t, match.Filtered, match.Timeout, 3*time.Second)
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
