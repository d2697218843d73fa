//go:build linux && !android

package engine_test

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// crowded has a ring with one place drop the answers to SYNs for which drop holds: another packet arrives before each.
func crowded(w *wiretest.Wire, h wiretest.Host, drop func(syn wiretest.Segment) bool) {
	w.Ring = 1
	w.Host = func(pkt []byte) []wiretest.Packet {
		s, _ := wiretest.Parse(pkt)
		if !s.SYN || !drop(s) {
			return h(pkt)
		}
		return append([]wiretest.Packet{{Data: []byte("another packet")}}, h(pkt)...)
	}
}

// first holds for the first n SYNs.
func first(n int) func(wiretest.Segment) bool {
	return func(wiretest.Segment) bool { n--; return n >= 0 }
}

// An open target whose answer our ring dropped is asked once more when its time is over, and found.
func TestDroppedAnswer(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(nil)
		crowded(w, wiretest.Open, first(1))
		f := open(t, w, plan(t, 0))
		p := start(t.Context(), f, target, 500*ms)
		p.want(t, match.Open, match.SYNACK, 500*ms)
		check(t, p.v, match.Open, match.SYNACK, 1, 0)
		if c := counters(t, f); c.RingDrops != 1 || c.Requeued != 1 || c.Verdicts[match.Filtered] != 0 {
			t.Errorf("counters %+v", c)
		}
		wantSent(t, w, 2, 1)
	})
}

// A drop just before the verdict counts as well.
func TestDropAtTheLastMoment(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(nil)
		n := 0
		crowded(w, syns(func(syn wiretest.Segment) []wiretest.Packet {
			if n++; n == 1 {
				return nil
			}
			return wiretest.Open(syn.Bytes())
		}), func(wiretest.Segment) bool { return n == 1 })
		f := open(t, w, plan(t, 0, 495*ms))
		start(t.Context(), f, target, 500*ms).want(t, match.Open, match.SYNACK, 500*ms)
		if c := counters(t, f); c.RingDrops != 1 || c.Requeued != 1 {
			t.Errorf("counters %+v", c)
		}
	})
}

// Another attempt that is due anyway finds it as well; then there is no extra one.
func TestDroppedAnswerOfEarlierAttempt(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(nil)
		crowded(w, wiretest.Open, first(1))
		f := open(t, w, nil)
		start(t.Context(), f, target, 3*time.Second).want(t, match.Open, match.SYNACK, time.Second)
		if c := counters(t, f); c.Requeued != 0 {
			t.Errorf("%d requeued", c.Requeued)
		}
		wantSent(t, w, 2, 1)
	})
}

// Every probe that was pending during a drop, whosever the packet was, gets exactly one extra attempt; others get none.
func TestDropsAndSilence(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		noisy := nth(target, 100)
		byPort := wiretest.ByPort(map[uint16]wiretest.Host{noisy.Port() + 1: wiretest.Open}, wiretest.Silent)
		w := wiretest.New(nil)
		drop := first(1)
		crowded(w, byPort, func(s wiretest.Segment) bool { return s.To.Port() == noisy.Port()+1 && drop(s) })
		f := open(t, w, plan(t, 0, 400*ms))
		began := time.Now()
		pendings := startIn(t.Context(), f, time.Second, many(target, 5)...)
		time.Sleep(100 * ms)
		dropped := start(t.Context(), f, shift(noisy, 1), 50*ms)
		time.Sleep(600 * ms) // the next ones begin after the drop was noticed
		later := startIn(t.Context(), f, time.Second, nth(target, 50), nth(target, 51))
		for _, p := range pendings {
			p.want(t, match.Filtered, match.Timeout, 2*time.Second) // a second of grace for the extra attempt
			if p.v.Attempt != 2 {
				t.Errorf("%v: attempt %d", p.v.Target, p.v.Attempt)
			}
		}
		dropped.want(t, match.Open, match.SYNACK, 50*ms)
		for _, p := range later {
			p.want(t, match.Filtered, match.Timeout, time.Second)
		}
		count := map[netip.AddrPort][]time.Duration{}
		for _, to := range []netip.AddrPort{target, nth(target, 4), nth(target, 50)} {
			count[to] = times(w, began, func(s wiretest.Segment) bool { return s.SYN && s.To == to })
		}
		wantTimes(t, count[target], 0, 400*ms, time.Second)
		wantTimes(t, count[nth(target, 4)], 0, 400*ms, time.Second)
		wantTimes(t, count[nth(target, 50)], 700*ms, 1100*ms)
		if c := counters(t, f); c.Requeued != 6 {
			t.Errorf("%d requeued, want 6", c.Requeued)
		}
	})
}

// Silence whose reason may be our own loss, again, is no verdict on the target.
func TestLostAgain(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(nil)
		crowded(w, wiretest.Open, func(wiretest.Segment) bool { return true })
		f := open(t, w, plan(t, 0))
		p := start(t.Context(), f, target, 500*ms)
		p.want(t, match.Unsent, match.LossOfOurs, 1500*ms)
		if p.v.Errno != 0 || p.v.Attempt != 1 {
			t.Errorf("errno %v, attempt %d", p.v.Errno, p.v.Attempt)
		}
		wantSent(t, w, 2, 0)
	})
}

// slow is a pacer that grants a burst, and then a packet each second.
type slow struct {
	burst int
	next  time.Duration
}

func (p *slow) Take(now time.Duration, want int) (int, time.Duration) {
	if n := min(want, p.burst); n > 0 {
		p.burst -= n
		return n, 0
	}
	if now < p.next {
		return 0, p.next - now
	}
	p.next = now + time.Second
	return min(want, 1), time.Second
}

func (p *slow) Charge(time.Duration, int) {}

// In a scan the extra attempt waits for its turn as the first one does, and the grace begins when it has left: the rate is low
// after a loss.
func TestExtraAttemptsWaitForTheirTurn(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		const n = 10
		seen := 0
		w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
			switch seen++; {
			case seen == 1: // the second packet finds the ring full
				return []wiretest.Packet{{Data: []byte("one packet")}, {Data: []byte("another packet")}}
			case seen <= n:
				return nil
			}
			return []wiretest.Packet{after(600*ms, syn.SYNACK())}
		}))
		w.Ring = 1
		f := open(t, w, with(plan(t, 0), func(c *engine.Config) { c.Pacer = &slow{burst: n} }))
		states := map[match.Reason]int{}
		for v := range verdicts(t, f, many(target, n), 500*ms) {
			states[v.Reason]++
		}
		c := counters(t, f)
		if states[match.SYNACK] != n || c.Requeued != n {
			t.Errorf("verdicts %v, %d asked again, %d drops", states, c.Requeued, c.RingDrops)
		}
	})
}

// The extra attempt may be refused by full buffers: it is repeated, and if that does not help either, our loss remains.
func TestExtraAttemptRefused(t *testing.T) {
	for _, refused := range []time.Duration{100 * ms, time.Hour} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := wiretest.New(nil)
			crowded(w, wiretest.Open, first(1))
			began := time.Now()
			w.SendErr = func([]byte) error {
				if at := time.Since(began); at >= 500*ms && at < 500*ms+refused {
					return syscall.ENOBUFS
				}
				return nil
			}
			f := open(t, w, plan(t, 0))
			p := start(t.Context(), f, target, 500*ms)
			if refused > time.Second {
				p.want(t, match.Unsent, match.LossOfOurs, 1500*ms)
			} else {
				p.want(t, match.Open, match.SYNACK, 600*ms)
			}
		})
	}
}

// With fifteen attempts planned, the sixteenth is the extra one, and a verdict on the way to it has the right RTT.
func TestExtraAttemptBeyondThePlan(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(nil)
		crowded(w, wiretest.Open, func(wiretest.Segment) bool { return true })
		f := open(t, w, every(t, 10*ms, match.MaxAttempts))
		p := start(t.Context(), f, target, 500*ms)
		p.want(t, match.Unsent, match.LossOfOurs, 1500*ms)
		if p.v.Attempt != match.MaxAttempts {
			t.Errorf("attempt %d", p.v.Attempt)
		}
		wantSent(t, w, 16, 0)
	})
}

// However many attempts are due at a time, answers are fetched between them: 600 places are enough.
func TestAnswersBetweenAttempts(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		const n = 1500
		w := wiretest.New(wiretest.LoseFirst(n, wiretest.Open))
		w.Ring = 600
		f := open(t, w, plan(t, 0, time.Second))
		for v := range verdicts(t, f, many(target, n), 3*time.Second) {
			if v.State != match.Open || v.Attempt != 1 {
				t.Errorf("%v is %v %v after attempt %d", v.Target, v.State, v.Reason, v.Attempt)
			}
		}
		for v := range verdicts(t, f, many(target, n), 3*time.Second) {
			if v.State != match.Open || v.Attempt != 0 {
				t.Errorf("%v is %v %v after attempt %d", v.Target, v.State, v.Reason, v.Attempt)
			}
		}
		if c := counters(t, f); c.RingDrops != 0 || c.Verdicts[match.Open] != 2*n {
			t.Errorf("counters %+v", c)
		}
	})
}

// A small ring and many open targets: all are found.
func TestManyDrops(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Open)
		w.Ring = 20 // of a batch of 64
		f := open(t, w, plan(t, 0))
		const n = 2000
		states := map[match.State]int{}
		for round := 0; round < 2; round++ {
			for v := range verdicts(t, f, many(nth(target, round*n), n), 300*ms) {
				if states[v.State]++; v.State == match.Filtered {
					t.Fatalf("%v is filtered", v.Target)
				}
			}
		}
		c := counters(t, f)
		if c.RingDrops == 0 || c.Requeued == 0 {
			t.Errorf("%d drops, %d requeued: the test tests nothing", c.RingDrops, c.Requeued)
		}
		if states[match.Open]+states[match.Unsent] != 2*n {
			t.Errorf("states %v", states)
		}
	})
}
