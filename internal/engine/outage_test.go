//go:build linux && !android

package engine_test

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// lane is an owner that takes targets back, and moves packets each millisecond.
type lane struct {
	*engine.Shard
	w        *wiretest.Wire
	verdicts map[netip.AddrPort]engine.Verdict
	at       map[netip.AddrPort]time.Time
	back     []netip.AddrPort
}

func newLane(t *testing.T, w *wiretest.Wire, ways ...netip.AddrPort) *lane {
	t.Helper()
	l := &lane{w: w, verdicts: map[netip.AddrPort]engine.Verdict{}, at: map[netip.AddrPort]time.Time{}}
	p, err := match.NewPlan([]time.Duration{0, 500 * ms}, 2)
	if err != nil {
		t.Fatal(err)
	}
	l.Shard, err = engine.New(engine.Config{
		Plan: p, Ports: []uint16{40000, 40001, 40002}, Limit: 1 << 10, Once: true, Ways: ways,
		Return: func(target netip.AddrPort) { l.back = append(l.back, target) },
	}, w, l)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lane) Settle(_ uint32, v *engine.Verdict) {
	l.verdicts[v.Target], l.at[v.Target] = *v, time.Now()
}

func (l *lane) submit(target netip.AddrPort) {
	l.Submit(target, engine.Patient, l.Now(), time.Second, true)
}

func (l *lane) run(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(ms) {
		l.Step()
	}
}

// While something is gone the time stands still: a probe that was silent before has what was left of it afterwards, and an extra
// attempt, but what answers meanwhile counts.
func TestOutageStandsStill(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		gone := false
		late := nth(target, 1)
		w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
			if syn.To == late {
				return []wiretest.Packet{after(2*time.Second, syn.SYNACK())}
			}
			return nil
		}))
		w.Gone = func(netip.Addr) error {
			if gone {
				return errors.New("gone")
			}
			return nil
		}
		l := newLane(t, w)
		began := time.Now()
		l.submit(target)
		l.submit(late)
		l.run(300 * ms)
		gone = true
		l.run(4 * time.Second)
		if lasts, what := l.Outage(); what == nil || lasts < 3900*ms || len(w.Sent()) != 3 { // a RST, too
			t.Errorf("outage %v for %v, %d packets", what, lasts, len(w.Sent()))
		}
		if v := l.verdicts[late]; v.State != match.Open || l.at[late].Sub(began) > 2010*ms {
			t.Errorf("what answered during the outage is %v (%v)", v.State, v.Reason)
		}
		gone = false
		l.run(3 * time.Second)
		check(t, l.verdicts[target], match.Filtered, match.Timeout, 2, 0)
		sent := w.Sent()
		if len(sent) != 5 { // the second attempt as soon as it can, and the extra one
			t.Fatalf("%d packets", len(sent))
		}
		if again := sent[3].At.Sub(began); again < 4300*ms || again > 4330*ms {
			t.Errorf("the second attempt left after %v", again)
		}
		if took := l.at[target].Sub(began); took < 5900*ms || took > 6100*ms { // 1 s, 4 s of outage, 1 s for the extra attempt
			t.Errorf("the verdict fell after %v", took)
		}
		if c, _ := l.Counters(); c.Requeued != 1 || l.Len() != 0 {
			t.Errorf("%+v, %d pending", c, l.Len())
		}
	})
}

// A target whose way is gone goes back to the owner without a verdict; one that never had a way has it, unless some other way is gone.
func TestOutageTakesBack(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		gone := false
		never := nth(target, 1)
		w := wiretest.New(wiretest.Open)
		w.RouteErr = func(a netip.Addr) error {
			if gone || a == never.Addr() {
				return syscall.ENETUNREACH
			}
			return nil
		}
		l := newLane(t, w)
		l.submit(target)
		if l.submit(never); l.verdicts[never].Reason != match.NoRoute {
			t.Errorf("without a route: %+v", l.verdicts[never])
		}
		l.run(100 * ms)
		gone = true
		l.submit(never)
		if _, what := l.Outage(); what == nil || len(l.back) != 1 || len(l.verdicts) != 2 {
			t.Errorf("outage %v, given back: %v, verdicts %v", what, l.back, l.verdicts)
		}
		gone = false
		l.run(300 * ms)
		if _, what := l.Outage(); what != nil {
			t.Errorf("outage: %v", what)
		}
		var ways []netip.AddrPort
		l.Ways(func(w netip.AddrPort) { ways = append(ways, w) })
		if len(ways) != 1 || ways[0] != target {
			t.Errorf("ways: %v", ways)
		}
		gone = true
		if next := newLane(t, w, ways...); next.Step() || next.Len() != 0 {
			t.Error("something to do")
		} else if _, what := next.Outage(); what == nil {
			t.Error("who goes on does not know that there was a way")
		}
	})
}

// An error that nothing explains is waited for as one outage, however often it comes.
func TestOutageOfUnknownCause(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		began := time.Now()
		w := wiretest.New(wiretest.Open)
		w.SendErr = func([]byte) error {
			if time.Since(began) < 3*time.Second {
				return syscall.ENETUNREACH
			}
			return nil
		}
		l := newLane(t, w)
		l.submit(target)
		l.run(2900 * ms)
		if lasts, _ := l.Outage(); len(l.verdicts) > 0 || lasts != 0 && lasts < 2600*ms {
			t.Errorf("verdicts %v, an outage for %v", l.verdicts, lasts)
		}
		l.run(time.Second)
		check(t, l.verdicts[target], match.Open, match.SYNACK, 0, 0)
	})
}

// Behind a gateway that answers when it is asked, silence counts when the gateway was heard after the attempt: by its own answer, or
// by what another target says.
func TestSilenceOfGateway(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		for name, hears := range map[string]func(l *lane, p *engine.Path){
			"itself":  func(_ *lane, p *engine.Path) { p.Heard = time.Now().UnixNano() },
			"through": func(l *lane, _ *engine.Path) { l.submit(nth(target, 1)) },
		} {
			w := wiretest.New(wiretest.Silent)
			other := nth(target, 1)
			w.Host = syns(func(syn wiretest.Segment) []wiretest.Packet {
				if syn.To == other {
					return []wiretest.Packet{after(0, syn.SYNACK())}
				}
				return nil
			})
			w.Gateway = netip.MustParseAddr("192.0.2.254")
			p, err := w.Path(target.Addr())
			if err != nil {
				t.Fatal(err)
			}
			p.Answers, p.Heard = true, time.Now().UnixNano()
			l := newLane(t, w)
			l.run(10 * ms)
			began := time.Now()
			l.submit(target)
			l.run(1700 * ms)
			if len(l.verdicts) > 0 {
				t.Fatalf("%s: %v before the gateway was heard", name, l.verdicts)
			}
			hears(l, p)
			l.run(100 * ms)
			check(t, l.verdicts[target], match.Filtered, match.Timeout, 1, 0)
			if took := l.at[target].Sub(began); took > 1720*ms {
				t.Errorf("%s: the verdict fell after %v", name, took)
			}
		}
	})
}
