//go:build linux && !android

package engine_test

import (
	"net/netip"
	"slices"
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

// masquerader is a host behind a local translation of ports: the ring sees none of its answers, sockets see all.
func masquerader(delay time.Duration) (w *wiretest.Wire, confirms *int) {
	confirms = new(int)
	w = wiretest.New(nil)
	w.Host = syns(func(syn wiretest.Segment) []wiretest.Packet {
		shown := *confirms > 0
		time.AfterFunc(delay, func() {
			if shown {
				w.InjectTranslated(syn.SYNACK().Bytes())
			}
		})
		return nil
	})
	w.OnConfirm = func() { *confirms++ }
	w.Tracks = true
	return w, confirms
}

// Where ports are translated, the engine looks at what sockets see with the second attempt, or with the only one.
func TestTranslatedPorts(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w, confirms := masquerader(10 * ms)
		f := open(t, w, nil)
		check(t, probe(t, f, target, 1500*ms), match.Open, match.SYNACK, 1, 10*ms)
		for i := range 3 { // from now on at the first attempt
			check(t, probe(t, f, nth(target, i), 1500*ms), match.Open, match.SYNACK, 0, 10*ms)
		}
		wantSent(t, w, 5, 4)
		if *confirms != 2 { // at first on suspicion, then for sure
			t.Errorf("confirmed %d times", *confirms)
		}

		for _, timeout := range []time.Duration{time.Second, 100 * ms} {
			w, _ = masquerader(10 * ms)
			check(t, probe(t, open(t, w, nil), target, timeout), match.Open, match.SYNACK, 0, 10*ms)
			wantSent(t, w, 1, 1)
		}
		w, confirms = masquerader(10 * ms)
		w.Tracks = false
		check(t, probe(t, open(t, w, nil), target, 1500*ms), match.Filtered, match.Timeout, 1, 0)
		if *confirms != 0 {
			t.Error("confirmed where nothing can be translated")
		}
	})
}

// A suspicion that has found nothing ends, and begins anew with the next cause.
func TestSuspicionEnds(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		tapped, confirms, dismissals := false, 0, 0
		silent := true
		w := wiretest.New(nil)
		w.Host = syns(func(syn wiretest.Segment) []wiretest.Packet {
			switch {
			case syn.To != target:
				return []wiretest.Packet{after(ms, syn.SYNACK())}
			case !silent && tapped:
				time.AfterFunc(ms, func() { w.InjectTranslated(syn.SYNACK().Bytes()) })
			}
			return nil
		})
		w.Tracks = true
		w.OnConfirm = func() { tapped = true; confirms++ }
		w.OnDismiss = func() { tapped = false; dismissals++ }
		f := open(t, w, nil)
		other := nth(target, 1)
		pass := func(d time.Duration) {
			for range d / time.Second {
				time.Sleep(time.Second)
				check(t, probe(t, f, other, 4*time.Second), match.Open, match.SYNACK, 0, ms)
			}
		}
		check(t, probe(t, f, target, 2*time.Second), match.Filtered, match.Timeout, 1, 0)
		pass(7 * time.Second)
		if !tapped || confirms != 1 {
			t.Errorf("tapped %v, confirmed %d times", tapped, confirms)
		}
		check(t, probe(t, f, target, 2*time.Second), match.Filtered, match.Timeout, 1, 0)
		pass(12 * time.Second)
		if tapped || confirms != 1 || dismissals != 1 {
			t.Errorf("tapped %v, confirmed %d times, dismissed %d times", tapped, confirms, dismissals)
		}
		silent = false
		check(t, probe(t, f, target, 2*time.Second), match.Open, match.SYNACK, 1, ms)
		pass(30 * time.Second)
		if !tapped || dismissals != 1 {
			t.Errorf("tapped %v, dismissed %d times, and there is translation", tapped, dismissals)
		}
	})
}

// What is not translated is shown twice once the engine looks at what sockets see, in whatever order, and counts once.
func TestShownTwice(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(wiretest.Segment) wiretest.Segment
		state  match.State
		copies int // that the network makes
		rsts   int
	}{
		{"SYN-ACK", wiretest.Segment.SYNACK, match.Open, 1, 1},
		{"SYN-ACK, doubled by the network", wiretest.Segment.SYNACK, match.Open, 2, 2},
		{"RST", wiretest.Segment.Refusal, match.Closed, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			families(t, func(t *testing.T, target netip.AddrPort) {
				for _, socketsFirst := range []bool{false, true} {
					w := wiretest.New(nil)
					w.Host = syns(func(syn wiretest.Segment) []wiretest.Packet {
						ways := []func([]byte){w.Inject, w.InjectTranslated}
						if socketsFirst {
							slices.Reverse(ways)
						}
						time.AfterFunc(10*ms, func() {
							for _, show := range ways {
								for range c.copies {
									show(c.answer(syn).Bytes())
								}
							}
						})
						return nil
					})
					w.OnConfirm, w.Tracks = func() {}, true
					traced := 0
					f := open(t, w, func(cfg *engine.Config) {
						cfg.Trace = func(_ time.Time, out bool, _ []byte) {
							if !out {
								traced++
							}
						}
					})
					v := probe(t, f, target, 500*ms) // the only attempt
					check(t, v, c.state, v.Reason, 0, 10*ms)
					if n := counters(t, f); n.Answers != 1 || n.Duplicates != uint64(c.copies-1) || traced != c.copies {
						t.Errorf("%d answers, %d duplicates, %d traced of %d", n.Answers, n.Duplicates, traced, c.copies)
					}
					wantSent(t, w, 1, c.rsts)
				}
			})
		})
	}
}

// Where our own address is translated and our port is not, the ring shows an answer to another address of ours.
func TestTranslatedSource(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(nil)
		confirmed := false
		w.Host = syns(func(syn wiretest.Segment) []wiretest.Packet {
			shown := confirmed
			time.AfterFunc(10*ms, func() {
				w.Inject(changed(syn.SYNACK(), func(s *wiretest.Segment) { s.To = nth(s.To, 9) }).Bytes())
				if shown {
					w.InjectTranslated(syn.SYNACK().Bytes())
				}
			})
			return nil
		})
		w.OnConfirm = func() { confirmed = true }
		f := open(t, w, nil)
		check(t, probe(t, f, target, time.Second), match.Open, match.SYNACK, 1, 10*ms)
		check(t, probe(t, f, target, time.Second), match.Open, match.SYNACK, 0, 10*ms)
		wantSent(t, w, 3, 3)
	})
}

// A SYN-ACK that a translated target repeats, because our RST was lost, is reset again.
func TestTranslatedLate(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w, _ := masquerader(10 * ms)
		f := open(t, w, nil)
		check(t, probe(t, f, target, 500*ms), match.Open, match.SYNACK, 0, 10*ms)
		wantSent(t, w, 1, 1)
		w.InjectTranslated(wireOf(w)[0].SYNACK().Bytes())
		if n := counters(t, f); n.Duplicates != 1 {
			t.Errorf("%d duplicates", n.Duplicates)
		}
		wantSent(t, w, 1, 2)
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
