//go:build linux && !android

package engine_test

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// shortage is something that probes wait for, when many of them ask open targets.
type shortage struct {
	change func(*engine.Config)
	same   bool          // all ask one target
	cold   time.Duration // when the link addresses of neighbours become known, if targets are those
	n      int
	reason match.Reason // of those that do not wait as long as it takes
	errno  syscall.Errno
}

var shortages = map[string]shortage{
	"rate":  {change: pace(20), n: 30, reason: match.Overload}, // each costs a RST, too
	"slots": {change: limit(10), n: 80, reason: match.Overload},
	"ports": {same: true, n: 32, reason: match.Overload, errno: syscall.EADDRNOTAVAIL},
	"hops":  {cold: 500 * ms, n: 300, reason: match.Unresolved, errno: syscall.EHOSTUNREACH},
}

// short makes a front that is short of something, and the targets that make it so. They are 150 ms away, or 750 ms those that were
// not sent before the link addresses were known.
func short(t *testing.T, s shortage, target netip.AddrPort) (*engine.Front, *wiretest.Wire, []netip.AddrPort) {
	h, began := newHost(), time.Now()
	host := wiretest.Delay(150*ms, h.answer)
	w := wiretest.New(host)
	if s.cold > 0 {
		w.OnLink = true
		w.Hop = func(netip.Addr) engine.Neighbour {
			if time.Since(began) < s.cold {
				return engine.NeighbourUnknown
			}
			return engine.NeighbourKnown
		}
		w.Host = func(pkt []byte) []wiretest.Packet {
			if wait := s.cold - time.Since(began); wait > 0 { // the kernel keeps it so long
				return wiretest.Delay(wait, host)(pkt)
			}
			return wiretest.Delay(600*ms, host)(pkt)
		}
	}
	targets := many(target, s.n)
	if s.same {
		targets = slices.Repeat(targets[:1], s.n)
	}
	return open(t, w, with(plan(t, 0), func(c *engine.Config) {
		if s.change != nil {
			s.change(c)
		}
	})), w, targets
}

// What we are short of must not read as the target's silence: whoever gets its turn before its timeout is over has the whole
// timeout from its first SYN on; whoever does not was not sent.
func TestCallersWaitForTheirTurn(t *testing.T) {
	const timeout = time.Second
	for name, s := range shortages {
		t.Run(name, func(t *testing.T) {
			families(t, func(t *testing.T, target netip.AddrPort) {
				f, w, targets := short(t, s, target)
				began := time.Now()
				states := map[match.State]int{}
				for _, p := range startIn(t.Context(), f, timeout, targets...) {
					switch <-p.done; {
					case p.v.State == match.Open && p.took <= 2*timeout:
					case p.v.State == match.Unsent && p.v.Reason == s.reason && p.v.Errno == s.errno && p.took == timeout:
					default:
						t.Errorf("%v: %v %v, errno %v, after %v", p.v.Target, p.v.State, p.v.Reason, p.v.Errno, p.took)
					}
					states[p.v.State]++
				}
				at := times(w, began, isSYN)
				if last := slices.Max(at); last < s.cold || s.cold == 0 && (last <= timeout-150*ms || states[match.Unsent] == 0) {
					t.Errorf("verdicts %v, the last SYN left at %v: the test tests nothing", states, last)
				}
			})
		})
	}
}

// A SYN that leaves at the last moment has the whole timeout, and so have the attempts after it their times.
func TestWholeTimeoutFromTheFirstSYN(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		f := open(t, w, with(plan(t, 0, 300*ms, 900*ms), limit(1)))
		began := time.Now()
		start(t.Context(), f, nth(target, 1), 999*ms)
		synctest.Wait()
		p := start(t.Context(), f, target, time.Second)
		p.want(t, match.Filtered, match.Timeout, 1999*ms)
		wantTimes(t, times(w, began, func(s wiretest.Segment) bool { return s.SYN && s.To == target }), 999*ms, 1299*ms, 1899*ms)
	})
}

// The targets of a stream wait for their turn as long as it takes.
func TestStreamWaitsForItsTurn(t *testing.T) {
	for name, s := range shortages {
		t.Run(name, func(t *testing.T) {
			families(t, func(t *testing.T, target netip.AddrPort) {
				s.n *= 4
				f, _, targets := short(t, s, target)
				n := 0
				for v := range verdicts(t, f, targets, time.Second) {
					if n++; v.State != match.Open {
						t.Errorf("%v is %v %v", v.Target, v.State, v.Reason)
					}
				}
				if n != s.n {
					t.Errorf("%d verdicts", n)
				}
			})
		})
	}
}

// However many targets may be on their way, no more are fetched than the rate has use for.
func TestStreamAtALowRate(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Delay(10*ms, wiretest.Closed))
		f := open(t, w, pace(1000))
		began := time.Now()
		var n atomic.Int32
		targets := func(yield func(netip.AddrPort) bool) {
			for i, to := range many(target, 2000) {
				if n := int(n.Load()); i > n+1000 {
					t.Errorf("%d targets are fetched, with %d verdicts", i, n)
				}
				if !yield(to) {
					return
				}
			}
		}
		for v, err := range f.All(t.Context(), targets, time.Second, 1<<20) {
			if n.Add(1); err != nil || v.State != match.Closed {
				t.Fatalf("%v is %v %v, error %v", v.Target, v.State, v.Reason, err)
			}
		}
		if d := time.Since(began); n.Load() != 2000 || d != 1999*ms+10*ms {
			t.Errorf("%d verdicts in %v", n.Load(), d)
		}
	})
}

// One lost SYN is no silence, however low the rate: what is begun goes before what is not.
func TestLaterAttemptsGoFirst(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		asked := map[netip.AddrPort]int{}
		w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
			if asked[syn.To]++; asked[syn.To] == 1 || syn.To.Port() != target.Port() {
				return nil
			}
			return []wiretest.Packet{after(10*ms, syn.Refusal())}
		}))
		f := open(t, w, with(plan(t, 0, time.Second), pace(10)))
		var callers []*pending
		for i := range 30 { // with the stream, there is more to send than can be
			callers = append(callers, start(t.Context(), f, nth(shift(target, 1), i), 3*time.Second))
		}
		n := 0
		for v := range verdicts(t, f, many(target, 40), 3*time.Second) {
			if n++; v.State != match.Closed || v.Attempt != 1 {
				t.Errorf("%v is %v %v after attempt %d", v.Target, v.State, v.Reason, v.Attempt)
			}
		}
		sent := 0
		for _, p := range callers {
			if <-p.done; p.v.State == match.Filtered {
				if sent++; p.v.Attempt != 1 {
					t.Errorf("%v is filtered after attempt %d", p.v.Target, p.v.Attempt)
				}
			}
		}
		if n != 40 || sent == 0 || sent == len(callers) {
			t.Errorf("%d verdicts; %d of %d callers had their turn", n, sent, len(callers))
		}
	})
}

// A caller beside a stream without end has its turn soon, and so has a stream beside callers without end.
func TestStreamAndCallersTakeTurns(t *testing.T) {
	for name, change := range map[string]func(*engine.Config){"rate": pace(100), "slots": limit(4)} {
		t.Run(name, func(t *testing.T) {
			families(t, func(t *testing.T, target netip.AddrPort) {
				f := open(t, wiretest.New(wiretest.Delay(10*ms, wiretest.Closed)), change)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				called := make(chan int)
				for i := range 20 {
					go func() {
						n := 0
						for ; ctx.Err() == nil; n++ {
							if v := probe(t, f, nth(shift(target, 1), i), 4*time.Second); v.State != match.Closed {
								t.Errorf("caller: %v %v", v.State, v.Reason)
							}
						}
						called <- n
					}()
				}
				pulled, streamed := 0, 0
				for v, err := range f.All(ctx, endless(target, &pulled), time.Second, 1000) {
					if err == nil {
						streamed++
					}
					if err == nil && v.State != match.Closed {
						t.Errorf("%v is %v %v", v.Target, v.State, v.Reason)
					}
				}
				for range 20 {
					if n := <-called; n < 10 {
						t.Errorf("a caller had %d verdicts", n)
					}
				}
				if streamed < 50 {
					t.Errorf("%d verdicts of the stream", streamed)
				}
			})
		})
	}
}

// Both families have their turns, however much there is of one.
func TestFamiliesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, wiretest.New(wiretest.Silent), with(plan(t, 0), pace(10)))
		for _, crowd := range []netip.AddrPort{target4, target6} {
			other := target4
			if crowd == target4 {
				other = target6
			}
			startIn(t.Context(), f, 4*time.Second, many(crowd, 100)...)
			p := start(t.Context(), f, other, 4*time.Second)
			if <-p.done; p.v.State != match.Filtered {
				t.Errorf("%v beside a crowd of the other family: %v %v", other, p.v.State, p.v.Reason)
			}
			time.Sleep(10 * time.Second)
		}
	})
}
