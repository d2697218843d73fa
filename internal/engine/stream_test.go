//go:build linux && !android

package engine_test

import (
	"context"
	"errors"
	"iter"
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

// endless yields targets for ever and counts them.
func endless(target netip.AddrPort, pulled *int) iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		for ; ; target = nth(target, 1) {
			*pulled++
			if !yield(target) {
				return
			}
		}
	}
}

// A consumer that is slow holds the feeder back, and loses nothing.
func TestStreamBackPressure(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		const limit, n = 10, 200
		w := wiretest.New(wiretest.Delay(10*ms, wiretest.Open))
		f := open(t, w, nil)
		pulled, taken := 0, 0
		seen := map[netip.AddrPort]bool{}
		for v, err := range f.All(t.Context(), endless(target, &pulled), time.Second, limit) {
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * ms)
			synctest.Wait()
			if taken++; pulled > taken+2*limit+1 {
				t.Fatalf("%d targets fetched for %d verdicts", pulled, taken)
			}
			if seen[v.Target] || v.State != match.Open || v.RTT != 10*ms {
				t.Fatalf("%v is %v, RTT %v, seen %v", v.Target, v.State, v.RTT, seen[v.Target])
			}
			seen[v.Target] = true
			if taken == n {
				break
			}
		}
		for i := range n - limit { // in order, but for those that are on their way
			if !seen[nth(target, i)] {
				t.Errorf("%v is missing", nth(target, i))
			}
		}
		counters(t, f)
	})
}

// At most limit targets are on the wire.
func TestStreamLimit(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		f := open(t, w, plan(t, 0))
		began := time.Now()
		for _, err := range f.All(t.Context(), slices.Values(many(target, 25)), time.Second, 10) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("took %v", d)
		}
		for i, at := range times(w, began, isSYN) {
			if want := time.Duration(i/10) * time.Second; at != want {
				t.Errorf("SYN %d left at %v, want %v", i, at, want)
			}
		}
	})
}

// A target is sent as soon as it is known, even if the next one waits for its verdict.
func TestStreamFeedsOnItself(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Delay(10*ms, wiretest.ByPort(map[uint16]wiretest.Host{443: wiretest.Open}, wiretest.Silent)))
		f := open(t, w, nil)
		answered := make(chan bool)
		targets := func(yield func(netip.AddrPort) bool) {
			if !yield(shift(target, 1)) { // silent, and so always somebody is on the way
				return
			}
			for i := range 20 {
				if !yield(nth(target, i)) {
					return
				}
				<-answered
			}
		}
		began, n := time.Now(), 0
		for v, err := range f.All(t.Context(), targets, time.Second, 100) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; v.State == match.Open {
				answered <- true
			}
		}
		if d := time.Since(began); n != 21 || d != time.Second {
			t.Errorf("%d verdicts in %v", n, d)
		}
	})
}

// break cancels what is pending, and waits until it is gone.
func TestStreamBreak(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		for _, enough := range []int{1, 7, 100} {
			w := wiretest.New(wiretest.ByPort(map[uint16]wiretest.Host{443: wiretest.Delay(ms, wiretest.Open)}, wiretest.Silent))
			f := open(t, w, limit(50)) // part of it waits in the backlog
			pulled, n := 0, 0
			for _, err := range f.All(t.Context(), endless(target, &pulled), time.Minute, 200) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n == enough {
					break
				}
			}
			synctest.Wait() // the counters are shown
			if _, pending := f.Counters(); pending != 0 {
				t.Errorf("%d pending after break", pending)
			}
			fetched := pulled
			time.Sleep(time.Minute)
			if pulled != fetched {
				t.Error("targets are fetched after break")
			}
			check(t, probe(t, f, target, time.Second), match.Open, match.SYNACK, 0, ms)
			f.Close()
		}
	})
}

// Who breaks while SYNs wait in a batch must not have them count for the next probes of their slots.
func TestStreamBreakAtOnce(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Open)
		f := open(t, w, limit(300))
		for i := range 50 {
			pulled, n := 0, 0
			for range f.All(t.Context(), endless(target, &pulled), time.Second, 1000) {
				if n++; n > i%7 {
					break
				}
			}
		}
		for v := range verdicts(t, f, many(target, 1000), time.Second) {
			if v.State != match.Open {
				t.Errorf("%v is %v %v", v.Target, v.State, v.Reason)
			}
		}
		counters(t, f)
	})
}

// When the context ends, its cause comes last and at once, whether verdicts were on hand or not.
func TestStreamContext(t *testing.T) {
	why := errors.New("enough")
	for name, host := range map[string]wiretest.Host{"silent": wiretest.Silent, "open": wiretest.Delay(ms, wiretest.Open)} {
		t.Run(name, func(t *testing.T) {
			families(t, func(t *testing.T, target netip.AddrPort) {
				f := open(t, wiretest.New(host), nil)
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(55*ms, func() { cancel(why) })
				pulled, began := 0, time.Now()
				var last error
				for v, err := range f.All(ctx, endless(target, &pulled), time.Minute, 20) {
					if last != nil {
						t.Fatal("something comes after the error")
					}
					if last = err; err != nil && v != nil {
						t.Error("a verdict comes with the error")
					}
				}
				if d := time.Since(began); !errors.Is(last, why) || d != 55*ms {
					t.Errorf("error %v after %v", last, d)
				}
				counters(t, f)
			})
		})
	}
}

func TestStreamContextBefore(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Open)
		f := open(t, w, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		pulled, n := 0, 0
		for v, err := range f.All(ctx, endless(target, &pulled), time.Minute, 20) {
			if n++; v != nil || !errors.Is(err, context.Canceled) {
				t.Errorf("verdict %v, error %v", v, err)
			}
		}
		if n != 1 {
			t.Errorf("%d yields", n)
		}
		wantSent(t, w, 0, 0)
	})
}

// A context that ends while nothing is on its way, and the consumer is busy with what came before, is told of: there are targets left.
func TestStreamContextBetween(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		f := open(t, wiretest.New(wiretest.Open), nil)
		ctx, cancel := context.WithCancel(t.Context())
		var errs []error
		for _, err := range f.All(ctx, func(yield func(netip.AddrPort) bool) {
			yield(target)
			time.Sleep(time.Second)
			cancel()
			yield(nth(target, 1))
		}, time.Minute, 20) {
			errs = append(errs, err)
			time.Sleep(2 * time.Second)
		}
		if len(errs) != 2 || errs[0] != nil || !errors.Is(errs[1], context.Canceled) {
			t.Errorf("errors %v", errs)
		}
	})
}

// Close ends a stream: every target that was fetched has its verdict, and net.ErrClosed comes last.
func TestStreamClose(t *testing.T) {
	for _, many := range []bool{false, true} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := wiretest.New(wiretest.ByPort(map[uint16]wiretest.Host{443: wiretest.Delay(ms, wiretest.Open)}, wiretest.Silent))
			f := open(t, w, limit(50))
			if !many {
				target = shift(target, 1) // silent
			}
			time.AfterFunc(50*ms, func() { f.Close() })
			pulled, n := 0, 0
			var last error
			for v, err := range f.All(t.Context(), endless(target, &pulled), time.Minute, 200) {
				if last = err; err != nil {
					continue
				}
				if n++; v.State == match.Unsent && v.Reason != match.Stopped || !v.Target.IsValid() {
					t.Errorf("%v is %v %v", v.Target, v.State, v.Reason)
				}
			}
			if !errors.Is(last, net.ErrClosed) || pulled-n > 1 { // the last one may have come too late to count
				t.Errorf("error %v, %d verdicts of %d targets", last, n, pulled)
			}
			for _, err := range f.All(t.Context(), slices.Values([]netip.AddrPort{target}), time.Second, 1) {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("error after Close %v", err)
				}
			}
		})
	}
}

// A stream whose targets come slowly hears of Close, too.
func TestStreamCloseWithoutTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, wiretest.New(wiretest.Open), nil)
		gone := make(chan bool)
		time.AfterFunc(50*ms, func() { f.Close() })
		began := time.Now()
		for _, err := range f.All(t.Context(), func(func(netip.AddrPort) bool) { <-gone }, time.Minute, 10) {
			if !errors.Is(err, net.ErrClosed) || time.Since(began) != 50*ms {
				t.Errorf("error %v after %v", err, time.Since(began))
			}
			close(gone)
		}
	})
}

// Streams and callers of one Front do not disturb each other.
func TestStreamsAtATime(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.ByPort(map[uint16]wiretest.Host{443: wiretest.Delay(5*ms, wiretest.Open)}, wiretest.Silent))
		f := open(t, w, limit(100))
		done := make(chan int)
		for i := range 3 {
			go func() {
				n := 0
				for v := range verdicts(t, f, many(nth(target, 300*i), 300), 30*time.Second) {
					if n++; v.State != match.Open {
						t.Errorf("%v is %v %v", v.Target, v.State, v.Reason)
					}
				}
				done <- n
			}()
		}
		for i := range 20 {
			if v := probe(t, f, nth(target, 1000+i), 30*time.Second); v.State != match.Open || v.Target != nth(target, 1000+i) {
				t.Errorf("%v is %v", v.Target, v.State)
			}
		}
		for range 3 {
			if n := <-done; n != 300 {
				t.Errorf("%d verdicts", n)
			}
		}
		counters(t, f)
	})
}

// Two desks, with wires and ports of their own, serve callers and streams alike.
func TestTwoDesks(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		h := newHost()
		var cfgs []engine.Config
		var wires []engine.Wire
		for i := range 2 {
			cfg := engine.Config{Ports: []uint16{uint16(41000 + i), uint16(42000 + i)}, Limit: 1000}
			plan(t, 0, time.Second)(&cfg)
			cfgs, wires = append(cfgs, cfg), append(wires, wiretest.New(wiretest.Delay(5*ms, h.answer)))
		}
		f, err := engine.NewFront(cfgs, wires)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var all []*pending
		for range 40 {
			all = append(all, start(t.Context(), f, target, 4*time.Second))
		}
		n := 0
		for v := range verdicts(t, f, many(nth(target, 1), 500), 4*time.Second) {
			if n++; v.State != match.Open {
				t.Errorf("%v is %v %v", v.Target, v.State, v.Reason)
			}
		}
		for _, p := range all {
			if <-p.done; p.err != nil || p.v.State != match.Open {
				t.Errorf("%v %v, error %v", p.v.State, p.v.Reason, p.err)
			}
		}
		if c := counters(t, f); n != 500 || c.Verdicts[match.Open] != 540 || c.SYNSent != 540 || c.RSTSent != 540 {
			t.Errorf("%d verdicts, counters %+v", n, c)
		}
		if h.met != 0 {
			t.Errorf("%d SYNs met a half-open connection", h.met)
		}
		for i, w := range wires {
			if n := len(w.(*wiretest.Wire).Sent()); n < 20 {
				t.Errorf("desk %d sent %d packets", i, n)
			}
		}
	})
}
