//go:build linux && !android

package engine_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// A bare ACK means that the target holds a half-open connection of our four-tuple, from before. It is reset with the number
// that the ACK acknowledges, and the probe asks again at once from another port.
func TestStaleHalfOpen(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		var stale netip.AddrPort
		w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
			if !stale.IsValid() {
				stale = syn.From
				return []wiretest.Packet{after(10*ms, wiretest.Segment{From: syn.To, To: syn.From, Seq: 888, Ack: 777, ACK: true})}
			}
			return []wiretest.Packet{after(10*ms, syn.SYNACK())}
		}))
		f := open(t, w, nil)
		began := time.Now()
		check(t, probe(t, f, target, 4*time.Second), match.Open, match.SYNACK, 1, 10*ms)
		if d := time.Since(began); d != 20*ms {
			t.Errorf("took %v", d)
		}
		wantSent(t, w, 2, 2)
		got := wireOf(w)
		if r := got[1]; !r.RST || r.From != stale || r.To != target || r.Seq != 777 || r.ACK {
			t.Errorf("the stale connection %v is reset by %+v", stale, r)
		}
		if again := got[2]; !again.SYN || again.From == stale {
			t.Errorf("then came %+v", again)
		}
	})
}

// It does so once for each probe, whatever the target says, and keeps to its schedule after that.
func TestStaleOnce(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
			return []wiretest.Packet{after(10*ms, wiretest.Segment{From: syn.To, To: syn.From, Seq: 888, Ack: 777, ACK: true})}
		}))
		f := open(t, w, nil)
		began := time.Now()
		check(t, probe(t, f, target, 2500*ms), match.Filtered, match.Timeout, 3, 0)
		wantTimes(t, times(w, began, isSYN), 0, 10*ms, 1010*ms, 2010*ms)
		wantTimes(t, times(w, began, isRST), 10*ms)
	})
}

// Bare ACKs in numbers do not keep us from the rest.
func TestFloodOfACKs(t *testing.T) {
	for _, once := range []bool{false, true} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := wiretest.New(syns(func(syn wiretest.Segment) (all []wiretest.Packet) {
				for i := range 2000 {
					from := netip.AddrPortFrom(router(target), uint16(i))
					all = append(all, after(10*ms, wiretest.Segment{From: from, To: syn.From, Seq: 8, Ack: 7, ACK: true}))
				}
				return append(all, after(20*ms, syn.SYNACK()))
			}))
			f := open(t, w, func(c *engine.Config) { c.Once = once })
			check(t, probe(t, f, target, time.Second), match.Open, match.SYNACK, 0, 20*ms)
			if c := counters(t, f); c.Ignored != 2000 || c.RSTSent != 1 || c.SYNSent != 1 {
				t.Errorf("counters %+v", c)
			}
		})
	}
}

// A bare ACK about nothing of ours is ignored.
func TestStrayACK(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
			stray := wiretest.Segment{From: syn.To, To: syn.From, Seq: 888, Ack: 777, ACK: true}
			return []wiretest.Packet{
				after(10*ms, changed(stray, func(s *wiretest.Segment) { s.From = nth(s.From, 1) })),
				after(10*ms, changed(stray, func(s *wiretest.Segment) { s.From = shift(s.From, 1) })),
				after(10*ms, changed(stray, func(s *wiretest.Segment) { s.To = otherPort(s.To) })),
				after(10*ms, changed(stray, func(s *wiretest.Segment) { s.To = nth(s.To, 1) })),
				after(10*ms, changed(stray, func(s *wiretest.Segment) { s.FIN = true })),
				after(50*ms, syn.SYNACK()),
				after(60*ms, stray), // the probe has ended
			}
		}))
		f := open(t, w, nil)
		check(t, probe(t, f, target, time.Second), match.Open, match.SYNACK, 0, 50*ms)
		time.Sleep(100 * ms)
		wantSent(t, w, 1, 1)
	})
}
