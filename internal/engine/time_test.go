//go:build linux && !android

package engine_test

import (
	"context"
	"math"
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
		for i, p := range startIn(t.Context(), f, 2*time.Second, many(target, 5)...) {
			p.want(t, match.Filtered, match.Timeout, 2*time.Second+time.Duration(i)*100*ms)
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
		synctest.Wait() // the verdict comes before the reset leaves
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
		startIn(t.Context(), f, time.Second, target4, target6)[1].want(t, match.Filtered, match.Timeout, 1010*ms)
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
		startIn(t.Context(), f, time.Second, many(nth(target, 1), 10)...)[9].want(t, match.Filtered, match.Timeout, 1090*ms)
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
		for i, p := range long {
			p.want(t, match.Filtered, match.Timeout, time.Duration(10+i)*time.Second)
		}
		longer.want(t, match.Filtered, match.Timeout, 33*time.Second)
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

// What the table has no room for waits its turn, for its timeout at most, and has the whole timeout then.
func TestBacklog(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		f := open(t, w, with(plan(t, 0), limit(2)))
		began := time.Now()
		first := startIn(t.Context(), f, time.Second, many(target, 2)...)
		next := startIn(t.Context(), f, 2*time.Second, many(nth(target, 2), 2)...)
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
		last.want(t, match.Filtered, match.Timeout, 7*time.Second)
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

// A send that the machine holds up for long leaves open when its packets left, and so their RTTs; one that it does not is exact.
func TestVagueSend(t *testing.T) {
	for _, held := range []time.Duration{500 * time.Microsecond, 2 * ms} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := wiretest.New(wiretest.Delay(30*ms, wiretest.Open))
			w.SendErr = func([]byte) error {
				time.Sleep(held)
				return nil
			}
			v := probe(t, open(t, w, nil), target, time.Second)
			rtt := v.Took()
			if v.State != match.Open || (held > ms) != (rtt == 0) || rtt != 0 && (rtt < 30*ms || rtt > 31*ms) {
				t.Errorf("held up for %v: %v, RTT %v", held, v.State, rtt)
			}
		})
	}
}
