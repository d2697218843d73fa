//go:build linux && !android

package engine_test

import (
	"net/netip"
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
