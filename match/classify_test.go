package match

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/rawshake/rawshake/craft"
)

func TestClaims(t *testing.T) {
	const ack, seq = 1001, 5555
	for _, c := range []struct {
		name  string
		kind  craft.Kind
		flags uint8
		want  []uint32
	}{
		{"SYN-ACK", craft.SYNACK, craft.FlagSYN | craft.FlagACK, []uint32{1000}},
		{"SYN-ACK with ECE", craft.SYNACK, craft.FlagSYN | craft.FlagACK | craft.FlagECE, []uint32{1000}},
		{"RST-ACK", craft.RST, craft.FlagRST | craft.FlagACK, []uint32{1000, 1001}},
		{"RST without ACK", craft.RST, craft.FlagRST, nil},
		{"bare ACK", craft.ACK, craft.FlagACK, nil},
		{"SYN", craft.SYN, craft.FlagSYN, nil},
		{"FIN-ACK", craft.Other, craft.FlagFIN | craft.FlagACK, nil},
		{"no flags", craft.Other, 0, nil},
		{"ICMP", craft.ICMP, 0, []uint32{seq}},
	} {
		isns, n := Claims(&craft.Reply{Kind: c.kind, Flags: c.flags, Seq: seq, Ack: ack})
		if n != len(c.want) {
			t.Errorf("%s claims %d ISNs, want %v", c.name, n, c.want)
			continue
		}
		for i, want := range c.want {
			if isns[i] != want {
				t.Errorf("%s claims %v, want %v", c.name, isns[:n], c.want)
			}
		}
	}
	if isns, _ := Claims(&craft.Reply{Kind: craft.SYNACK, Flags: craft.FlagSYN | craft.FlagACK}); isns[0] != ^uint32(0) {
		t.Errorf("ack 0 claims %d, want the number before it", isns[0])
	}
}

// icmpReasons says what each type and code means; what is not listed is ICMPOther.
var icmpReasons4 = map[[2]uint8]Reason{
	{3, 0}: NetUnreachable, {3, 1}: HostUnreachable, {3, 2}: ProtocolUnreachable, {3, 3}: PortUnreachable,
	{3, 4}: FragmentationNeeded, {3, 5}: HostUnreachable, {3, 6}: NetUnreachable, {3, 7}: HostUnreachable,
	{3, 8}: HostUnreachable, {3, 9}: AdminProhibited, {3, 10}: AdminProhibited, {3, 11}: NetUnreachable,
	{3, 12}: HostUnreachable, {3, 13}: AdminProhibited, {3, 14}: AdminProhibited, {3, 15}: AdminProhibited,
}

var icmpReasons6 = map[[2]uint8]Reason{
	{1, 0}: NetUnreachable, {1, 1}: AdminProhibited, {1, 2}: HostUnreachable, {1, 3}: HostUnreachable,
	{1, 4}: PortUnreachable, {1, 5}: AdminProhibited, {1, 6}: AdminProhibited,
}

// Of these types every code means the same.
var (
	icmpTypes4 = map[uint8]Reason{11: TTLExceeded, 12: ParameterProblem}
	icmpTypes6 = map[uint8]Reason{2: FragmentationNeeded, 3: TTLExceeded, 4: ParameterProblem}
)

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		responder string
		exact     map[[2]uint8]Reason
		types     map[uint8]Reason
	}{
		{"203.0.113.1", icmpReasons4, icmpTypes4},
		{"2001:db8::1", icmpReasons6, icmpTypes6},
	} {
		r := craft.Reply{Responder: netip.MustParseAddr(c.responder)}
		r.Kind = craft.SYNACK
		if state, reason := Verdict(&r); state != Open || reason != SYNACK {
			t.Errorf("a SYN-ACK means %v %v", state, reason)
		}
		r.Kind = craft.RST
		if state, reason := Verdict(&r); state != Closed || reason != RST {
			t.Errorf("a RST means %v %v", state, reason)
		}
		r.Kind = craft.ICMP
		for typ := range 256 {
			for code := range 256 {
				r.ICMPType, r.ICMPCode = uint8(typ), uint8(code)
				want := c.exact[[2]uint8{r.ICMPType, r.ICMPCode}]
				if want == NoReason {
					want = c.types[r.ICMPType]
				}
				if want == NoReason {
					want = ICMPOther
				}
				if state, reason := Verdict(&r); state != Unreachable || reason != want {
					t.Errorf("ICMP of %v, type %d code %d means %v %v, want unreachable %v", c.responder, typ, code, state, reason, want)
				}
			}
		}
	}
}

type goldenVerdict struct {
	named  string
	state  State
	reason Reason // NoReason: they answer no SYN
}

// goldenVerdicts says what golden packets mean, by what their names say; the first that fits counts.
var goldenVerdicts = []goldenVerdict{
	{"-synack", Open, SYNACK},
	{"-first-fragment", Open, SYNACK},
	{"-rstack", Closed, RST},
	{"-rst-ack-is-isn", Closed, RST},
	{"-address-unreachable", Unreachable, HostUnreachable},
	{"-host-unreachable", Unreachable, HostUnreachable},
	{"-net-unreachable", Unreachable, NetUnreachable},
	{"-no-route", Unreachable, NetUnreachable},
	{"-port-unreachable", Unreachable, PortUnreachable},
	{"-admin-prohibited", Unreachable, AdminProhibited},
	{"-fragmentation-needed", Unreachable, FragmentationNeeded},
	{"-packet-too-big", Unreachable, FragmentationNeeded},
	{"-ttl-exceeded", Unreachable, TTLExceeded},
	{"-hop-limit-exceeded", Unreachable, TTLExceeded},
	{"-parameter-problem", Unreachable, ParameterProblem},
	{"-rst-", Unsent, NoReason}, // without ACK. Those of passt mean nothing to connect(2) either, which times out
	{"-challenge-ack", Unsent, NoReason},
	{"-finack", Unsent, NoReason},
	{"-syn-", Unsent, NoReason},
}

// TestGoldenVerdicts holds that the packets of all stacks are read alike.
func TestGoldenVerdicts(t *testing.T) {
	for name, pkt := range goldens(t) {
		i := slices.IndexFunc(goldenVerdicts, func(v goldenVerdict) bool { return strings.Contains(name, v.named) })
		var r craft.Reply
		if err := craft.Decode(pkt, false, &r); err != nil || i < 0 {
			t.Errorf("%s: number %d, %v", name, i, err)
			continue
		}
		v := goldenVerdicts[i]
		if _, n := Claims(&r); n == 0 || v.reason == NoReason {
			if n != 0 || v.reason != NoReason {
				t.Errorf("%s claims %d ISNs, want reason %v", name, n, v.reason)
			}
			continue
		}
		if state, reason := Verdict(&r); state != v.state || reason != v.reason {
			t.Errorf("%s means %v %v, want %v %v", name, state, reason, v.state, v.reason)
		}
	}
}

func TestWords(t *testing.T) {
	words := map[string]bool{}
	for s := range NumStates {
		if back, ok := ParseState(s.String()); !ok || back != s {
			t.Errorf("%v is read as %v, %v", s, back, ok)
		}
	}
	if _, ok := ParseState("invalid"); ok || NumStates.String() != "invalid" {
		t.Error("a state that does not exist has a name")
	}
	for r := range NumReasons {
		if words[r.String()] || r.String() == "invalid" || (r.String() == "") != (r == NoReason) {
			t.Errorf("reason %d is called %q", r, r)
		}
		words[r.String()] = true
	}
	if NumReasons.String() != "invalid" {
		t.Error("a reason that does not exist has a name")
	}
	var s State
	if s != Unsent {
		t.Error("a forgotten verdict reads as a statement about the target")
	}
}
