//go:build linux && !android

package engine_test

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// lan is a wire to neighbours that we ask ourselves. Those with an even number are known some time after they were first asked
// for, the others have failed three seconds after that.
type lan struct {
	*wiretest.Wire
	answers time.Duration
	mu      sync.Mutex
	asked   map[netip.Addr]time.Time
	most    int // were asked for at a time
}

func newLAN(host wiretest.Host, answers time.Duration) *lan {
	l := &lan{Wire: wiretest.New(host), answers: answers, asked: map[netip.Addr]time.Time{}}
	l.OnLink, l.Asks, l.Hop = true, true, l.hop
	return l
}

func dead(a netip.Addr) bool { return a.AsSlice()[a.BitLen()/8-1]%2 != 0 }

func (l *lan) hop(a netip.Addr) engine.Neighbour {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked[a].IsZero() {
		l.asked[a] = time.Now()
		if len(l.asked)%64 == 0 {
			l.most = max(l.most, l.open())
		}
	}
	switch since := time.Since(l.asked[a]); {
	case dead(a) && since >= 3*time.Second:
		return engine.NeighbourFailed
	case !dead(a) && since >= l.answers:
		return engine.NeighbourKnown
	}
	return engine.NeighbourUnknown
}

// open returns how many are asked for and neither known nor failed.
func (l *lan) open() (n int) {
	for _, at := range l.asked {
		if time.Since(at) < 3*time.Second {
			n++
		}
	}
	return n
}

// even returns target with an address whose last byte is 2.
func even(target netip.AddrPort) netip.AddrPort {
	for dead(target.Addr()) {
		target = nth(target, 1)
	}
	return target
}

// Nothing is sent to a neighbour before it is known; who lives is not held up by who does not, and who does not has its verdict without
// a SYN, however many there are.
func TestInquiries(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		const n = 3000
		l := newLAN(wiretest.Delay(ms, wiretest.Open), 300*time.Microsecond)
		f := open(t, l.Wire, plan(t, 0))
		began := time.Now()
		for v := range verdicts(t, f, many(even(target), n), time.Second) {
			took := time.Since(began)
			switch {
			case !dead(v.Target.Addr()) && v.State == match.Open && took < 200*ms && v.Took() == ms:
			case dead(v.Target.Addr()) && v.State == match.Unreachable && v.Reason == match.NoNeighbour && v.Errno == syscall.EHOSTUNREACH && took < 3300*ms:
			default:
				t.Errorf("%v is %v %v, errno %v, RTT %v, after %v", v.Target, v.State, v.Reason, v.Errno, v.Took(), took)
			}
		}
		wantSent(t, l.Wire, n/2, n/2)
		for _, s := range wireOf(l.Wire) {
			if dead(s.To.Addr()) {
				t.Errorf("a packet to %v", s.To)
			}
		}
		if c := counters(t, f); c.SYNSent != n/2 || l.Asked() != n {
			t.Errorf("%d SYNs, %d neighbours asked for", c.SYNSent, l.Asked())
		}
	})
}

// No more than 4096 probes wait for neighbours.
func TestInquiriesAreBounded(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		l := newLAN(wiretest.Open, 4*time.Second)
		f := open(t, l.Wire, plan(t, 0))
		count := map[match.State]int{}
		for v := range verdicts(t, f, many(target, 6000), time.Second) {
			count[v.State]++
		}
		if count[match.Open] != 3000 || count[match.Unreachable] != 3000 || l.most > 4200 || l.most < 4000 {
			t.Errorf("%v, %d asked for at a time", count, l.most)
		}
	})
}

// The questions are packets, too: the pacer is charged for them.
func TestInquiriesAtARate(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		l := newLAN(wiretest.Silent, ms)
		f := open(t, l.Wire, with(plan(t, 0), pace(100)))
		began := time.Now()
		var last time.Duration
		for v := range verdicts(t, f, many(even(target), 100), time.Second) {
			if dead(v.Target.Addr()) != (v.State == match.Unreachable) {
				t.Errorf("%v is %v %v", v.Target, v.State, v.Reason)
			}
		}
		for _, at := range times(l.Wire, began, isSYN) {
			last = at
		}
		if wantSent(t, l.Wire, 50, 0); last < 1400*ms || last > 1600*ms {
			t.Errorf("100 questions and 50 SYNs took %v", last)
		}
	})
}

// No more questions leave at a time than the rate allows, however many callers there are.
func TestInquiriesOfACrowdAtARate(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		l := newLAN(wiretest.Silent, ms)
		f := open(t, l.Wire, with(plan(t, 0), pace(20)))
		began := time.Now()
		for i := range 100 {
			start(t.Context(), f, nth(even(target), 2*i+1), 5*time.Second)
		}
		time.Sleep(time.Second)
		first := 0
		l.mu.Lock()
		for _, at := range l.asked {
			if at.Sub(began) < time.Second {
				first++
			}
		}
		l.mu.Unlock()
		if first < 15 || first > 25 {
			t.Errorf("%d questions in a second", first)
		}
		time.Sleep(10 * time.Second)
	})
}

// A check whose time is over before anybody has answered was not sent; one that is told in time that nobody does is unreachable.
func TestInquiryOfACheck(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		l := newLAN(wiretest.Silent, ms)
		f := open(t, l.Wire, plan(t, 0))
		nobody := nth(even(target), 1)
		start(t.Context(), f, nobody, time.Second).want(t, match.Unsent, match.Unresolved, time.Second)
		p := start(t.Context(), f, nobody, 5*time.Second)
		if <-p.done; p.v.State != match.Unreachable || p.v.Reason != match.NoNeighbour || p.took < 2*time.Second || p.took > 2020*ms {
			t.Errorf("%v %v after %v", p.v.State, p.v.Reason, p.took)
		}
		start(t.Context(), f, nobody, time.Second).want(t, match.Unreachable, match.NoNeighbour, 0)
		wantSent(t, l.Wire, 0, 0)
	})
}

// A neighbour that dies between two attempts, and a link that goes down while neighbours are asked for.
func TestInquiryMeanwhile(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		w.OnLink, w.Asks = true, true
		var state atomic.Uint32 // engine.NeighbourKnown
		var down atomic.Bool
		w.Hop = func(netip.Addr) engine.Neighbour { return engine.Neighbour(state.Load()) }
		w.Down = down.Load
		f := open(t, w, plan(t, 0, 500*ms))
		p := start(t.Context(), f, target, 2*time.Second)
		time.Sleep(100 * ms)
		state.Store(uint32(engine.NeighbourFailed))
		p.want(t, match.Unreachable, match.NoNeighbour, 500*ms)
		wantSent(t, w, 1, 0)

		state.Store(uint32(engine.NeighbourUnknown))
		p = start(t.Context(), f, nth(target, 1), 2*time.Second)
		time.Sleep(100 * ms)
		down.Store(true)
		state.Store(uint32(engine.NeighbourFailed))
		if <-p.done; p.v.State != match.Unsent || p.v.Reason != match.LinkDown || p.took > 110*ms {
			t.Errorf("%v %v after %v", p.v.State, p.v.Reason, p.took)
		}
	})
}

// A target whose link address was forgotten is reset when it is known again, as it repeats its SYN-ACK.
func TestResetWaitsForTheNeighbour(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		var state atomic.Uint32 // engine.NeighbourKnown
		var synack []byte
		w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
			synack = syn.SYNACK().Bytes()
			state.Store(uint32(engine.NeighbourUnknown))
			return []wiretest.Packet{after(10*ms, syn.SYNACK())}
		}))
		w.OnLink, w.Asks = true, true
		w.Hop = func(netip.Addr) engine.Neighbour { return engine.Neighbour(state.Load()) }
		f := open(t, w, plan(t, 0))
		start(t.Context(), f, target, time.Second).want(t, match.Open, match.SYNACK, 10*ms)
		time.Sleep(900 * ms)
		wantSent(t, w, 1, 0)
		state.Store(uint32(engine.NeighbourKnown))
		w.Inject(synack)
		time.Sleep(200 * ms)
		wantSent(t, w, 1, 1)
	})
}

// During an outage nobody is asked for, and afterwards the probes that waited go on.
func TestInquiriesInAnOutage(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		down := false
		n := newLAN(wiretest.Open, 100*ms)
		n.Down = func() bool { return down }
		l := newLane(t, n.Wire, target)
		all := many(even(target), 20)
		for _, target := range all {
			l.submit(target)
		}
		l.run(50 * ms)
		down = true
		l.run(5 * time.Second)
		if _, what := l.Outage(); what == nil || len(l.verdicts) != 0 || l.Held() != 0 {
			t.Errorf("outage %v, %d verdicts, %d held", what, len(l.verdicts), l.Held())
		}
		down = false
		l.run(5 * time.Second)
		for _, target := range all {
			want := match.Open
			if dead(target.Addr()) {
				want = match.Unreachable
			}
			if v := l.verdicts[target]; v.State != want {
				t.Errorf("%v is %v %v", target, v.State, v.Reason)
			}
		}
		if l.Len() != 0 || l.Held() != 0 {
			t.Errorf("%d pending, %d held", l.Len(), l.Held())
		}
		synctest.Wait()
	})
}

// When we cannot ask any more, the probes that waited leave by the kernel's way, each once, also those whose time was over just then.
func TestInquiriesWithoutAVoice(t *testing.T) {
	for _, at := range []time.Duration{500 * ms, 999 * ms, 1000 * ms, 1001 * ms} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			began := time.Now()
			after := func() bool { return time.Since(began) >= at }
			w := wiretest.New(wiretest.Delay(100*ms, wiretest.Open))
			w.OnLink, w.Asks, w.Mute = true, true, after
			w.Hop = func(netip.Addr) engine.Neighbour {
				if after() {
					return engine.NeighbourKnown
				}
				return engine.NeighbourUnknown
			}
			l := newLane(t, w)
			for _, target := range many(target, 10) {
				l.submit(target)
			}
			l.run(2 * time.Second)
			if wantSent(t, w, 10, 10); len(l.verdicts) != 10 || l.Len() != 0 || l.Held() != 0 {
				t.Errorf("mute after %v: %d verdicts, %d pending, %d held", at, len(l.verdicts), l.Len(), l.Held())
			}
		})
	}
}

// A check whose link is down is unsent for that, and not because its neighbour does not answer.
func TestInquiryByALinkThatIsDown(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		w.OnLink, w.Asks = true, true
		w.Hop = func(netip.Addr) engine.Neighbour { return engine.NeighbourUnknown }
		w.Down = func() bool { return true }
		v := probe(t, open(t, w, plan(t, 0)), target, time.Second)
		wantLocal(t, v, target, match.Unsent, match.LinkDown, syscall.ENETDOWN)
	})
}

// Who waited for a neighbour that is known now waits for its turn: that is what it says if its time is over first.
func TestInquiryThenTurn(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		l := newLAN(wiretest.Silent, 10*ms)
		f := open(t, l.Wire, with(plan(t, 0), pace(0.1)))
		start(t.Context(), f, even(target), time.Second).want(t, match.Unsent, match.Overload, time.Second)
		wantSent(t, l.Wire, 0, 0)
	})
}

// At a low rate a neighbour has its SYN right after it has answered, and not when all others have been asked: an answer does not last that long.
func TestInquiriesAreFollowedUp(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		l := newLAN(wiretest.Open, ms)
		f := open(t, l.Wire, with(plan(t, 0), pace(1)))
		began := time.Now()
		var all []*pending
		for i := range 50 {
			all = append(all, start(t.Context(), f, nth(even(target), 2*i), time.Hour))
		}
		for _, p := range all {
			<-p.done
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, p := range all {
			syn := began.Add(p.took)
			if late := syn.Sub(l.asked[p.v.Target.Addr()]); p.v.State != match.Open || late > 3*time.Second {
				t.Errorf("%v is %v %v, %v after it was asked for", p.v.Target, p.v.State, p.v.Reason, late)
			}
		}
	})
}

// Who submits the target of a neighbour that is known to be dead learns that it has its verdict, and took no turn.
func TestSubmitToADeadNeighbour(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		w.OnLink, w.Asks = true, true
		w.Hop = func(netip.Addr) engine.Neighbour { return engine.NeighbourFailed }
		l := newLane(t, w)
		if _, ok := l.Submit(target, engine.Patient, l.Now(), time.Second, true); ok || l.verdicts[target].State != match.Unreachable {
			t.Errorf("pending: %v, %v", ok, l.verdicts)
		}
	})
}
