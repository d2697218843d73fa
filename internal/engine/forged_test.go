//go:build linux && !android

package engine_test

import (
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// shift returns the port d further.
func shift(a netip.AddrPort, d uint16) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr(), a.Port()+d)
}

// otherPort returns another of our source ports.
func otherPort(a netip.AddrPort) netip.AddrPort {
	if a.Port() == 40000 {
		return shift(a, 1)
	}
	return netip.AddrPortFrom(a.Addr(), 40000)
}

// router returns an address that is neither ours nor the target's.
func router(target netip.AddrPort) netip.Addr {
	if target.Addr().Is4() {
		return netip.MustParseAddr("203.0.113.1")
	}
	return netip.MustParseAddr("2001:db8:9::1")
}

// changed returns the segment after a change.
func changed(s wiretest.Segment, change func(*wiretest.Segment)) wiretest.Segment {
	change(&s)
	return s
}

// forgeries are packets that must not count as answers to a SYN, though each comes near to being one.
var forgeries = map[string]func(syn wiretest.Segment) []byte{
	"SYN-ACK of ISN":     synack(func(s *wiretest.Segment) { s.Ack-- }),
	"SYN-ACK of ISN+2":   synack(func(s *wiretest.Segment) { s.Ack++ }),
	"SYN-ACK of 0":       synack(func(s *wiretest.Segment) { s.Ack = 0 }),
	"SYN-ACK of far":     synack(func(s *wiretest.Segment) { s.Ack += 1 << 31 }),
	"SYN-ACK, port":      synack(func(s *wiretest.Segment) { s.From = shift(s.From, 1) }),
	"SYN-ACK, address":   synack(func(s *wiretest.Segment) { s.From = nth(s.From, 1) }),
	"SYN-ACK, our port":  synack(func(s *wiretest.Segment) { s.To = otherPort(s.To) }),
	"SYN-ACK, no port":   synack(func(s *wiretest.Segment) { s.To = shift(s.To, 999) }),
	"SYN-ACK, our addr":  synack(func(s *wiretest.Segment) { s.To = nth(s.To, 1) }),
	"SYN-ACK from us":    synack(func(s *wiretest.Segment) { s.From, s.To = s.To, s.From }),
	"RST of ISN+2":       rst(func(s *wiretest.Segment) { s.Ack++ }),
	"RST of ISN-1":       rst(func(s *wiretest.Segment) { s.Ack -= 2 }),
	"RST of 0":           rst(func(s *wiretest.Segment) { s.Ack = 0 }),
	"RST without ACK":    rst(func(s *wiretest.Segment) { s.ACK = false }),
	"RST, seq of ours":   rst(func(s *wiretest.Segment) { s.ACK, s.Seq, s.Ack = false, s.Ack, 0 }),
	"RST, port":          rst(func(s *wiretest.Segment) { s.From = shift(s.From, 1) }),
	"RST, address":       rst(func(s *wiretest.Segment) { s.From = nth(s.From, 1) }),
	"RST, our port":      rst(func(s *wiretest.Segment) { s.To = otherPort(s.To) }),
	"RST, our addr":      rst(func(s *wiretest.Segment) { s.To = nth(s.To, 1) }),
	"ICMP about seq+1":   icmp(func(s *wiretest.Segment) { s.Seq++ }),
	"ICMP about seq-1":   icmp(func(s *wiretest.Segment) { s.Seq-- }),
	"ICMP about 0":       icmp(func(s *wiretest.Segment) { s.Seq = 0 }),
	"ICMP, port":         icmp(func(s *wiretest.Segment) { s.To = shift(s.To, 1) }),
	"ICMP, address":      icmp(func(s *wiretest.Segment) { s.To = nth(s.To, 1) }),
	"ICMP, our port":     icmp(func(s *wiretest.Segment) { s.From = otherPort(s.From) }),
	"FIN-ACK":            synack(func(s *wiretest.Segment) { s.SYN, s.FIN = false, true }),
	"split handshake":    synack(func(s *wiretest.Segment) { s.ACK = false }),
	"simultaneous open":  synack(func(s *wiretest.Segment) { s.ACK, s.Seq, s.Ack = false, s.Ack-1, 0 }),
	"nothing but an ack": synack(func(s *wiretest.Segment) { s.SYN, s.ACK = false, false }),
}

func synack(change func(*wiretest.Segment)) func(wiretest.Segment) []byte {
	return func(syn wiretest.Segment) []byte { return changed(syn.SYNACK(), change).Bytes() }
}

func rst(change func(*wiretest.Segment)) func(wiretest.Segment) []byte {
	return func(syn wiretest.Segment) []byte { return changed(syn.Refusal(), change).Bytes() }
}

func icmp(change func(*wiretest.Segment)) func(wiretest.Segment) []byte {
	return func(syn wiretest.Segment) []byte {
		typ, code := uint8(3), uint8(3)
		if syn.To.Addr().Is6() {
			typ, code = 1, 4
		}
		return wiretest.ICMP(router(syn.To), changed(syn, change).Bytes(), typ, code, 8)
	}
}

// Forged answers change no verdict: neither that of an open target that answers later, nor that of a silent one.
func TestForged(t *testing.T) {
	for name, forge := range forgeries {
		t.Run(name, func(t *testing.T) {
			families(t, func(t *testing.T, target netip.AddrPort) { testForged(t, target, forge) })
		})
	}
}

func testForged(t *testing.T, target netip.AddrPort, forge func(wiretest.Segment) []byte) {
	w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
		forged := wiretest.Packet{Data: forge(syn), After: 10 * ms}
		if syn.To != target {
			return []wiretest.Packet{forged}
		}
		return []wiretest.Packet{forged, after(50*ms, syn.SYNACK())}
	}))
	f := open(t, w, every(t, 500*ms, 2))
	check(t, probe(t, f, target, time.Second), match.Open, match.SYNACK, 0, 50*ms)
	check(t, probe(t, f, nth(target, 9), time.Second), match.Filtered, match.Timeout, 1, 0)
	c := counters(t, f)
	if c.Answers != 1 || c.Ignored != 3 || c.Duplicates != 0 {
		t.Errorf("%d answers, %d ignored, %d duplicates", c.Answers, c.Ignored, c.Duplicates)
	}
	wantSent(t, w, 3, 1)
}

// Some stacks acknowledge the ISN itself in a RST.
func TestRSTOfISN(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
			return []wiretest.Packet{after(5*ms, changed(syn.Refusal(), func(s *wiretest.Segment) { s.Ack-- }))}
		}))
		f := open(t, w, nil)
		check(t, probe(t, f, target, time.Second), match.Closed, match.RST, 0, 5*ms)
		wantSent(t, w, 1, 0)
	})
}

// What comes again settles nothing twice. Every SYN-ACK is reset: our last RST was lost, perhaps. A RST is never answered.
func TestDuplicates(t *testing.T) {
	for name, c := range map[string]struct {
		answer wiretest.Host
		state  match.State
		rsts   int
	}{
		"open": {wiretest.Open, match.Open, 4}, "closed": {wiretest.Closed, match.Closed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			families(t, func(t *testing.T, target netip.AddrPort) {
				w := wiretest.New(wiretest.Duplicate(3, 700*ms, wiretest.Delay(10*ms, c.answer)))
				f := open(t, w, nil)
				if v := probe(t, f, target, time.Second); v.State != c.state || v.RTT != 10*ms {
					t.Errorf("%v, RTT %v", v.State, v.RTT)
				}
				time.Sleep(3 * time.Second)
				got := counters(t, f)
				if got.Answers != 1 || got.Duplicates != 3 || got.Verdicts[c.state] != 1 {
					t.Errorf("%d answers, %d duplicates, %d verdicts", got.Answers, got.Duplicates, got.Verdicts[c.state])
				}
				wantSent(t, w, 1, c.rsts)
				isn := wireOf(w)[0].Seq
				for _, s := range wireOf(w)[1:] {
					if s.Seq != isn+1 || s.To != target || s.ACK || s.Ack != 0 {
						t.Errorf("reset with %+v", s)
					}
				}
			})
		})
	}
}

// A SYN-ACK that comes after the timeout changes nothing but is reset, soon at first and later with the next probe.
func TestLateAnswer(t *testing.T) {
	for _, delay := range []time.Duration{1500 * ms, 30 * time.Second} {
		t.Run(delay.String(), func(t *testing.T) {
			families(t, func(t *testing.T, target netip.AddrPort) {
				w := wiretest.New(wiretest.Delay(delay, wiretest.Open))
				f := open(t, w, plan(t, 0))
				began := time.Now()
				check(t, probe(t, f, target, time.Second), match.Filtered, match.Timeout, 0, 0)
				time.Sleep(delay)
				if delay > 5*time.Second {
					wantSent(t, w, 1, 0)
					probe(t, f, nth(target, 1), 100*ms)
					wantSent(t, w, 2, 1)
					return
				}
				wantSent(t, w, 1, 1)
				if at := times(w, began, isRST)[0]; at > delay+100*ms {
					t.Errorf("reset at %v", at)
				}
				if c := counters(t, f); c.Duplicates != 1 || c.Answers != 0 || c.Verdicts[match.Open] != 0 {
					t.Errorf("counters %+v", c)
				}
			})
		})
	}
}

// What comes late to another address of ours is not ours to reset.
func TestLateAnswerElsewhere(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
			return []wiretest.Packet{after(1500*ms, synackTo(syn, 1)), after(1600*ms, syn.SYNACK())}
		}))
		f := open(t, w, plan(t, 0))
		began := time.Now()
		check(t, probe(t, f, target, time.Second), match.Filtered, match.Timeout, 0, 0)
		time.Sleep(3 * time.Second)
		if at := times(w, began, isRST); len(at) != 1 || at[0] < 1600*ms {
			t.Errorf("resets at %v", at)
		}
	})
}

func synackTo(syn wiretest.Segment, n int) wiretest.Segment {
	return changed(syn.SYNACK(), func(s *wiretest.Segment) { s.To = nth(s.To, n) })
}

// An answer to an earlier attempt counts, and its RTT is its own.
func TestAnswerToEarlierAttempt(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		n := 0
		w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
			if n++; n == 1 {
				return []wiretest.Packet{after(1300*ms, syn.SYNACK())}
			}
			return []wiretest.Packet{after(400*ms, syn.SYNACK())}
		}))
		f := open(t, w, nil)
		v := probe(t, f, target, 4*time.Second)
		if d := (v.RTT - 1300*ms).Abs(); v.State != match.Open || v.Attempt != 0 || d > 128*time.Microsecond {
			t.Errorf("%v attempt %d RTT %v", v.State, v.Attempt, v.RTT)
		}
		if c := counters(t, f); c.Answers != 1 || c.Duplicates != 1 {
			t.Errorf("%d answers, %d duplicates", c.Answers, c.Duplicates)
		}
		wantSent(t, w, 2, 2) // the half-open connection of each attempt is reset
		got := wireOf(w)
		if got[2].From != got[0].From || got[3].From != got[1].From || v.Source != got[0].From {
			t.Errorf("on the wire %+v, source %v", got, v.Source)
		}
	})
}

// The RTT of an earlier attempt is right though the one after it left late, and 0 where it cannot be told.
func TestRTTAfterLateAttempt(t *testing.T) {
	for refused, want := range map[time.Duration]time.Duration{7 * ms: 1300 * ms, 100 * ms: 0} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			n := 0
			w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
				if n++; n > 1 {
					return nil
				}
				return []wiretest.Packet{after(1300*ms, syn.SYNACK())}
			}))
			began := time.Now()
			w.SendErr = func([]byte) error {
				if at := time.Since(began); at >= time.Second && at < time.Second+refused {
					return syscall.ENOBUFS
				}
				return nil
			}
			f := open(t, w, nil)
			v := probe(t, f, target, 4*time.Second)
			if d := (v.RTT - want).Abs(); v.State != match.Open || v.Attempt != 0 || d > 128*time.Microsecond {
				t.Errorf("%v attempt %d RTT %v, want %v", v.State, v.Attempt, v.RTT, want)
			}
		})
	}
}

func TestReordered(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Reorder(300*ms, wiretest.Delay(10*ms, wiretest.Open)))
		f := open(t, w, nil)
		var all []*pending
		for i := range 6 {
			all = append(all, startIn(t.Context(), f, time.Second, nth(target, i))...)
		}
		for i, p := range all {
			p.want(t, match.Open, match.SYNACK, 10*ms+time.Duration(i%2)*300*ms)
		}
	})
}

// With a checksum that the ring says is unfinished, damage is seen.
func TestCorrupt(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		for _, answer := range []wiretest.Host{wiretest.Open, wiretest.Closed} {
			w := wiretest.New(wiretest.Corrupt(42, answer))
			f := open(t, w, every(t, 10*ms, match.MaxAttempts))
			for i := range 20 {
				check(t, probe(t, f, nth(target, i), 200*ms), match.Filtered, match.Timeout, 14, 0)
			}
			if c := counters(t, f); c.Ignored != 300 || c.Received != 300 {
				t.Errorf("%d of %d ignored", c.Ignored, c.Received)
			}
			wantSent(t, w, 300, 0)
		}
	})
}

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

// Two engines may probe one target at a time: each knows its own.
func TestTwoFronts(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		shared := newHost()
		var wires []*wiretest.Wire
		everywhere := func(pkt []byte) []wiretest.Packet {
			answers := shared.answer(pkt)
			for _, a := range answers { // a host's rings see the answers to each other
				for _, w := range wires {
					time.AfterFunc(10*ms, func() { w.Inject(a.Data) })
				}
			}
			return nil
		}
		var fronts []*engine.Front
		for i := range 2 {
			wires = append(wires, wiretest.New(everywhere))
			fronts = append(fronts, open(t, wires[i], func(c *engine.Config) { c.Ports = []uint16{uint16(41000 + i), uint16(42000 + i)} }))
		}
		for range 20 {
			a, b := start(t.Context(), fronts[0], target, time.Second), start(t.Context(), fronts[1], target, time.Second)
			a.want(t, match.Open, match.SYNACK, 10*ms)
			b.want(t, match.Open, match.SYNACK, 10*ms)
			time.Sleep(5 * ms)
		}
		synctest.Wait()
		if shared.met != 0 || shared.resets != 40 || len(shared.halfOpen) != 0 {
			t.Errorf("%d SYNs met a half-open connection, %d resets, %d left open", shared.met, shared.resets, len(shared.halfOpen))
		}
	})
}
