//go:build linux && !android

package engine_test

import (
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// icmpError is what an ICMP error must come to. The errno is that of icmp_err_convert in net/ipv4/icmp.c, tab_unreach in
// net/ipv6/icmp.c, which is what connect(2) gives unless it goes on (3/4, 11/1, and 2/0 of ICMPv6).
type icmpError struct {
	typ, code uint8
	reason    match.Reason
	errno     syscall.Errno
}

var icmpErrors4 = []icmpError{
	{3, 0, match.NetUnreachable, syscall.ENETUNREACH},
	{3, 1, match.HostUnreachable, syscall.EHOSTUNREACH},
	{3, 2, match.ProtocolUnreachable, syscall.ENOPROTOOPT},
	{3, 3, match.PortUnreachable, syscall.ECONNREFUSED},
	{3, 4, match.FragmentationNeeded, syscall.EMSGSIZE},
	{3, 5, match.HostUnreachable, syscall.EOPNOTSUPP},
	{3, 6, match.NetUnreachable, syscall.ENETUNREACH},
	{3, 7, match.HostUnreachable, syscall.EHOSTDOWN},
	{3, 8, match.HostUnreachable, syscall.ENONET},
	{3, 9, match.AdminProhibited, syscall.ENETUNREACH},
	{3, 10, match.AdminProhibited, syscall.EHOSTUNREACH},
	{3, 11, match.NetUnreachable, syscall.ENETUNREACH},
	{3, 12, match.HostUnreachable, syscall.EHOSTUNREACH},
	{3, 13, match.AdminProhibited, syscall.EHOSTUNREACH},
	{3, 14, match.AdminProhibited, syscall.EHOSTUNREACH},
	{3, 15, match.AdminProhibited, syscall.EHOSTUNREACH},
	{3, 99, match.ICMPOther, syscall.EHOSTUNREACH},
	{11, 0, match.TTLExceeded, syscall.EHOSTUNREACH},
	{11, 1, match.TTLExceeded, syscall.EHOSTUNREACH},
	{12, 0, match.ParameterProblem, syscall.EPROTO},
}

var icmpErrors6 = []icmpError{
	{1, 0, match.NetUnreachable, syscall.ENETUNREACH},
	{1, 1, match.AdminProhibited, syscall.EACCES},
	{1, 2, match.HostUnreachable, syscall.EHOSTUNREACH},
	{1, 3, match.HostUnreachable, syscall.EHOSTUNREACH},
	{1, 4, match.PortUnreachable, syscall.ECONNREFUSED},
	{1, 5, match.AdminProhibited, syscall.EACCES},
	{1, 6, match.AdminProhibited, syscall.EACCES},
	{1, 99, match.ICMPOther, syscall.EPROTO},
	{2, 0, match.FragmentationNeeded, syscall.EMSGSIZE},
	{3, 0, match.TTLExceeded, syscall.EHOSTUNREACH},
	{3, 1, match.TTLExceeded, syscall.EHOSTUNREACH},
	{4, 1, match.ParameterProblem, syscall.EPROTO},
}

func icmpErrors(target netip.AddrPort) []icmpError {
	if target.Addr().Is4() {
		return icmpErrors4
	}
	return icmpErrors6
}

func TestICMP(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		for _, e := range icmpErrors(target) {
			for _, quoted := range []int{8, 20, 28} {
				testICMP(t, target, e, quoted)
			}
		}
	})
}

// testICMP has the first of two attempts answered by an ICMP error when the second is out.
func testICMP(t *testing.T, target netip.AddrPort, e icmpError, quoted int) {
	what := fmt.Sprintf("type %d code %d, %d bytes quoted", e.typ, e.code, quoted)
	n := 0
	w := wiretest.New(func(pkt []byte) []wiretest.Packet {
		if n++; n > 1 {
			return nil
		}
		return []wiretest.Packet{{Data: wiretest.ICMP(router(target), pkt, e.typ, e.code, quoted), After: 30 * ms}}
	})
	f := open(t, w, plan(t, 0, 20*ms))
	defer f.Close()
	v := probe(t, f, target, time.Second)
	if d := (v.RTT - 30*ms).Abs(); v.State != match.Unreachable || v.Reason != e.reason || v.Attempt != 0 || d > 128*time.Microsecond {
		t.Errorf("%s: %v %v attempt %d RTT %v, want %v", what, v.State, v.Reason, v.Attempt, v.RTT, e.reason)
	}
	if v.Errno != e.errno || v.Responder != router(target) || v.ICMPType != e.typ || v.ICMPCode != e.code || v.TTL != 64 {
		t.Errorf("%s: errno %v, responder %v, type %d code %d, TTL %d, want %v", what, v.Errno, v.Responder, v.ICMPType, v.ICMPCode, v.TTL, e.errno)
	}
	wantSent(t, w, 2, 0)
	if got := wireOf(w)[0]; v.Source != got.From || v.Target != target {
		t.Errorf("%s: source %v, target %v", what, v.Source, v.Target)
	}
}

// An ICMP error after the verdict changes nothing, nor does a second one.
func TestICMPLate(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		e := icmpErrors(target)[0]
		w := wiretest.New(func(pkt []byte) []wiretest.Packet {
			s, _ := wiretest.Parse(pkt)
			if !s.SYN {
				return nil
			}
			bad := wiretest.ICMP(router(target), pkt, e.typ, e.code, 8)
			return []wiretest.Packet{after(10*ms, s.SYNACK()), {Data: bad, After: 20 * ms}, {Data: bad, After: 30 * ms}}
		})
		f := open(t, w, nil)
		check(t, probe(t, f, target, time.Second), match.Open, match.SYNACK, 0, 10*ms)
		time.Sleep(100 * ms)
		if c := counters(t, f); c.Answers != 1 || c.Duplicates != 2 || c.Verdicts[match.Unreachable] != 0 {
			t.Errorf("counters %+v", c)
		}
	})
}

// Our own kernel says host unreachable when the next hop does not answer: that is the target, or else our gateway.
func TestICMPOfOwnKernel(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		typ, code := uint8(3), uint8(1)
		if target.Addr().Is6() {
			typ, code = 1, 3
		}
		for _, c := range []struct {
			onLink  bool
			from    func(wiretest.Segment) netip.Addr
			code    uint8
			state   match.State
			reason  match.Reason
			because string
		}{
			{true, ours, code, match.Unreachable, match.NoNeighbour, "a dead neighbour"},
			{false, ours, code, match.Unsent, match.GatewayDown, "a dead gateway"},
			{true, theirs, code, match.Unreachable, match.HostUnreachable, "what the target itself says"},
			{false, far, code, match.Unreachable, match.HostUnreachable, "what a router says"},
			{false, ours, 0, match.Unreachable, match.NetUnreachable, "our own firewall's reject"},
		} {
			w := wiretest.New(func(pkt []byte) []wiretest.Packet {
				s, _ := wiretest.Parse(pkt)
				return []wiretest.Packet{{Data: wiretest.ICMP(c.from(s), pkt, typ, c.code, 28), After: 3 * time.Second}}
			})
			w.OnLink = c.onLink
			if !c.onLink {
				w.Gateway = router(target)
			}
			f := open(t, w, plan(t, 0))
			v := probe(t, f, target, 5*time.Second)
			if v.State != c.state || v.Reason != c.reason {
				t.Errorf("%s: %v %v, want %v %v", c.because, v.State, v.Reason, c.state, c.reason)
			}
			if c.code == code && v.Errno != syscall.EHOSTUNREACH {
				t.Errorf("%s: errno %v", c.because, v.Errno)
			}
			nobody := c.reason == match.NoNeighbour || c.reason == match.GatewayDown
			if nobody != (v.Took() == 0 && v.TTL == 0 && v.ICMPType == 0 && !v.Responder.IsValid()) {
				t.Errorf("%s: RTT %v, TTL %d, ICMP type %d from %v", c.because, v.Took(), v.TTL, v.ICMPType, v.Responder)
			}
			f.Close()
		}
	})
}

func ours(s wiretest.Segment) netip.Addr   { return s.From.Addr() }
func theirs(s wiretest.Segment) netip.Addr { return s.To.Addr() }
func far(s wiretest.Segment) netip.Addr    { return router(s.To) }

// A host that probes itself hears itself: that is no dead neighbour.
func TestICMPAboutOurselves(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		e := icmpErrors(target)[1]
		w := wiretest.New(func(pkt []byte) []wiretest.Packet {
			s, _ := wiretest.Parse(pkt)
			return []wiretest.Packet{{Data: wiretest.ICMP(s.To.Addr(), pkt, e.typ, e.code, 28), After: ms}}
		})
		self := w.Source4
		if target.Addr().Is6() {
			self = w.Source6
		}
		f := open(t, w, nil)
		check(t, probe(t, f, netip.AddrPortFrom(self, 443), time.Second), match.Unreachable, e.reason, 0, ms)
	})
}
