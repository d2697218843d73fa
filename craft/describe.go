package craft

import (
	"fmt"
	"net/netip"
)

// Describe returns one readable line about a packet, for traces: addresses, what it is, the fields that matter, and
// the TCP options with their values.
//
//	192.0.2.1:443 > 10.0.0.1:40000 SYN-ACK seq 1 ack 2 win 64240 ttl 64 <mss 1460,sackok,ts 5 6,nop,ws 7>
//	192.0.2.9 > 10.0.0.1 ICMP host unreachable (type 3 code 1) ttl 63 about 10.0.0.1:40000 > 192.0.2.1:443 seq 1
//
// Of a packet that [Decode] refuses it says why, with the addresses if they can be read. It verifies no checksums, and
// it never panics.
func Describe(pkt []byte) string {
	var r Reply
	if err := Decode(pkt, false, &r); err != nil {
		return describeRefused(pkt, err)
	}
	if r.Kind == ICMP {
		return describeICMP(&r)
	}
	return describeTCP(&r)
}

func describeTCP(r *Reply) string {
	b := fmt.Appendf(nil, "%s > %s %s seq %d", netip.AddrPortFrom(r.Remote, r.RemotePort),
		netip.AddrPortFrom(r.Local, r.LocalPort), flagNames(r.Flags), r.Seq)
	if r.Flags&FlagACK != 0 {
		b = fmt.Appendf(b, " ack %d", r.Ack)
	}
	b = fmt.Appendf(b, " win %d ttl %d", r.Window, r.TTL)
	if len(r.Options) > 0 {
		b = append(appendOptions(append(b, " <"...), r.Options, true), '>')
	}
	return string(b)
}

func describeICMP(r *Reply) string {
	b := fmt.Appendf(nil, "%s > %s %s (type %d code %d)", r.Responder, r.Local, icmpName(r), r.ICMPType, r.ICMPCode)
	if r.MTU != 0 {
		b = fmt.Appendf(b, " mtu %d", r.MTU)
	}
	b = fmt.Appendf(b, " ttl %d about %s > %s seq %d", r.TTL, netip.AddrPortFrom(r.Local, r.LocalPort),
		netip.AddrPortFrom(r.Remote, r.RemotePort), r.Seq)
	return string(b)
}

func describeRefused(pkt []byte, why error) string {
	var p packet
	_ = p.parseHeader(pkt) // it says again what why says
	if len(p.addresses) == 0 {
		return fmt.Sprintf("packet of %d bytes: %v", len(pkt), why)
	}
	return fmt.Sprintf("%s > %s protocol %d, packet of %d bytes: %v", p.source(), p.destination(), p.proto, len(pkt), why)
}

// flagNames joins the names of flags as the field speaks them: "SYN-ACK", "RST-ACK", "FIN-PSH-ACK".
func flagNames(flags uint8) string {
	if flags == 0 {
		return "no-flags"
	}
	var b []byte
	for i, name := range [...]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"} {
		if flags>>i&1 != 0 {
			b = append(append(b, '-'), name...)
		}
	}
	return string(b[1:])
}

// icmpName says what an ICMP or ICMPv6 error means, in the words of its RFC (792, 1812 §5.2.7.1, 4443).
func icmpName(r *Reply) string {
	if r.Responder.Is4() {
		return "ICMP " + icmpv4Name(r.ICMPType, r.ICMPCode)
	}
	return "ICMPv6 " + icmpv6Name(r.ICMPType, r.ICMPCode)
}

func icmpv4Name(kind, code uint8) string {
	switch kind {
	case icmpUnreachable:
		return nth(code, "destination unreachable", "net unreachable", "host unreachable", "protocol unreachable",
			"port unreachable", "fragmentation needed", "source route failed", "net unknown", "host unknown",
			"source host isolated", "net prohibited", "host prohibited", "net unreachable for TOS",
			"host unreachable for TOS", "admin prohibited", "host precedence violation", "precedence cutoff")
	case icmpTimeExceeded:
		return nth(code, "time exceeded", "TTL exceeded", "reassembly time exceeded")
	}
	return "parameter problem"
}

func icmpv6Name(kind, code uint8) string {
	switch kind {
	case icmpv6Unreachable:
		return nth(code, "destination unreachable", "no route", "admin prohibited", "beyond scope of source",
			"address unreachable", "port unreachable", "source address failed policy", "reject route")
	case icmpv6TooBig:
		return "packet too big"
	case icmpv6TimeExceeded:
		return nth(code, "time exceeded", "hop limit exceeded", "reassembly time exceeded")
	}
	return nth(code, "parameter problem", "erroneous header", "unknown next header", "unknown option")
}

// nth returns the name of a code, or the general one for a code that has none.
func nth(code uint8, general string, names ...string) string {
	if int(code) < len(names) {
		return names[code]
	}
	return general
}
