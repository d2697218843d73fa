//go:build linux && !android

package engine_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// translator is a host behind a local address translation: the ring sees its answers with the wrong address. After Confirm,
// sockets see them with the one that was asked.
func translator(target netip.AddrPort, delay time.Duration, answer func(wiretest.Segment) wiretest.Segment) (w *wiretest.Wire, confirms *atomic.Int32) {
	confirms = new(atomic.Int32)
	var tapped atomic.Int64 // sockets see what arrives after that
	w = wiretest.New(nil)
	real := router(target)
	w.Host = syns(func(syn wiretest.Segment) []wiretest.Packet {
		asked := answer(syn)
		time.AfterFunc(delay, func() {
			w.Inject(changed(asked, func(s *wiretest.Segment) { s.From = netip.AddrPortFrom(real, 8080) }).Bytes())
			if confirms.Load() > 0 && time.Now().UnixNano() > tapped.Load() {
				w.InjectTranslated(asked.Bytes())
			}
		})
		return nil
	})
	w.OnConfirm = func() { tapped.Store(time.Now().UnixNano()); confirms.Add(1) }
	return w, confirms
}

// A reply from another address with a valid ISN makes the engine look at what sockets see, and the probe asks again.
func TestTranslated(t *testing.T) {
	for _, c := range []struct {
		answer func(wiretest.Segment) wiretest.Segment
		state  match.State
		reason match.Reason
		rsts   int
	}{
		{wiretest.Segment.SYNACK, match.Open, match.SYNACK, 1},
		{wiretest.Segment.Refusal, match.Closed, match.RST, 0},
	} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w, confirms := translator(target, 10*ms, c.answer)
			f := open(t, w, nil)
			p := start(t.Context(), f, target, time.Second)
			p.want(t, c.state, c.reason, 20*ms)
			check(t, p.v, c.state, c.reason, 1, 10*ms)
			wantSent(t, w, 2, 2*c.rsts) // the half-open connection of the first attempt is reset, too
			for _, s := range wireOf(w) {
				if s.To != target {
					t.Errorf("%+v is not to the address that was asked", s)
				}
			}
			for i := range 3 { // from now on at the first attempt
				check(t, probe(t, f, nth(target, i), time.Second), c.state, c.reason, 0, 10*ms)
			}
			wantSent(t, w, 5, 5*c.rsts)
			if n := confirms.Load(); n != 1 {
				t.Errorf("confirmed %d times", n)
			}
		})
	}
}

// All probes whose answers came before the engine looked ask again.
func TestManyTranslated(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w, confirms := translator(target, 10*ms, wiretest.Segment.SYNACK)
		f := open(t, w, nil)
		n := 0
		for v := range verdicts(t, f, many(target, 50), 800*ms) {
			if n++; v.State != match.Open || v.Attempt != 1 {
				t.Errorf("%v is %v after attempt %d", v.Target, v.State, v.Attempt)
			}
		}
		if n != 50 || confirms.Load() != 1 {
			t.Errorf("%d verdicts, confirmed %d times", n, confirms.Load())
		}
		wantSent(t, w, 100, 100)
	})
}

// Where the wire cannot look there, nothing changes.
func TestTranslatedUnconfirmed(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w, _ := translator(target, 10*ms, wiretest.Segment.SYNACK)
		w.OnConfirm = nil
		f := open(t, w, nil)
		check(t, probe(t, f, target, 1500*ms), match.Filtered, match.Timeout, 1, 0)
		wantSent(t, w, 2, 0)
	})
}

// Who does not know the ISN cannot make the engine look.
func TestForgedTranslation(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		confirms := 0
		w := wiretest.New(syns(func(syn wiretest.Segment) (all []wiretest.Packet) {
			for i := range uint32(1000) {
				forged := syn.SYNACK()
				forged.Ack += 1 + i*4_000_003
				if i%2 == 0 {
					forged.From = netip.AddrPortFrom(router(target), 443)
				}
				all = append(all, after(10*ms, forged))
			}
			return append(all, after(20*ms, syn.SYNACK()))
		}))
		answer := w.Host
		w.Host = func(pkt []byte) []wiretest.Packet {
			s, _ := wiretest.Parse(pkt)
			if s.SYN { // what sockets see is not translated once more
				w.InjectTranslated(changed(s.SYNACK(), func(s *wiretest.Segment) { s.From = shift(s.From, 1) }).Bytes())
			}
			return answer(pkt)
		}
		w.OnConfirm = func() { confirms++ }
		f := open(t, w, func(c *engine.Config) { c.Limit = 10 })
		check(t, probe(t, f, target, time.Second), match.Open, match.SYNACK, 0, 20*ms)
		if c := counters(t, f); c.Ignored != 1001 || confirms != 0 {
			t.Errorf("%d ignored, confirmed %d times", c.Ignored, confirms)
		}
		wantSent(t, w, 1, 1)
	})
}
