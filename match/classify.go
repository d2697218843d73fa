package match

import "github.com/rawshake/rawshake/craft"

// Claims returns the ISNs of ours that a reply may be about, most likely first, and how many there are; none for a segment
// that can answer no SYN. A SYN-ACK must acknowledge ISN+1, a RST ISN+1 or, from some stacks, ISN (RFC 9293 §3.10.7.3: a RST
// without ACK is no answer to a SYN, though passt of 2023 sends it); an ICMP error quotes the ISN itself.
func Claims(r *craft.Reply) (isns [2]uint32, n int) {
	switch {
	case r.Kind == craft.SYNACK:
		return [2]uint32{r.Ack - 1}, 1
	case r.Kind == craft.RST && r.Flags&craft.FlagACK != 0:
		return [2]uint32{r.Ack - 1, r.Ack}, 2
	case r.Kind == craft.ICMP:
		return [2]uint32{r.Seq}, 1
	}
	return isns, 0
}

// Verdict returns what a reply to a probe says about its target. It must be one that Claims knows.
func Verdict(r *craft.Reply) (State, Reason) {
	switch r.Kind {
	case craft.SYNACK:
		return Open, SYNACK
	case craft.RST:
		return Closed, RST
	}
	if r.Responder.Is4() {
		return Unreachable, icmp4(r.ICMPType, r.ICMPCode)
	}
	return Unreachable, icmp6(r.ICMPType, r.ICMPCode)
}

// icmp4 names an ICMP error (RFC 792, RFC 1812 §5.2.7.1).
func icmp4(typ, code uint8) Reason {
	switch typ {
	case 3:
		return unreachable4(code)
	case 11:
		return TTLExceeded
	case 12:
		return ParameterProblem
	}
	return ICMPOther
}

func unreachable4(code uint8) Reason {
	switch code {
	case 0, 6, 11:
		return NetUnreachable
	case 1, 5, 7, 8, 12:
		return HostUnreachable
	case 2:
		return ProtocolUnreachable
	case 3:
		return PortUnreachable
	case 4:
		return FragmentationNeeded
	case 9, 10, 13, 14, 15:
		return AdminProhibited
	}
	return ICMPOther
}

// icmp6 names an ICMPv6 error (RFC 4443 §3).
func icmp6(typ, code uint8) Reason {
	switch typ {
	case 1:
		return unreachable6(code)
	case 2:
		return FragmentationNeeded
	case 3:
		return TTLExceeded
	case 4:
		return ParameterProblem
	}
	return ICMPOther
}

func unreachable6(code uint8) Reason {
	switch code {
	case 0:
		return NetUnreachable
	case 2, 3:
		return HostUnreachable
	case 1, 5, 6:
		return AdminProhibited
	case 4:
		return PortUnreachable
	}
	return ICMPOther
}
