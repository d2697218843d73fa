package craft

import "encoding/binary"

const (
	icmpHeader = 8
	quotedTCP  = 8 // ports and sequence number: what RFC 792 promises of the quoted segment

	icmpUnreachable      = 3
	icmpTimeExceeded     = 11
	icmpParameterProblem = 12
	icmpFragNeeded       = 4 // code of icmpUnreachable

	icmpv6Unreachable      = 1
	icmpv6TooBig           = 2
	icmpv6TimeExceeded     = 3
	icmpv6ParameterProblem = 4
)

// decodeICMP reads an ICMPv4 error (RFC 792); the MTU is that of RFC 1191 §4.
func (p *packet) decodeICMP(verify bool, r *Reply) error {
	b := p.payload
	if len(b) < icmpHeader {
		return ErrTruncated
	}
	if b[0] != icmpUnreachable && b[0] != icmpTimeExceeded && b[0] != icmpParameterProblem {
		return ErrNotTCP
	}
	if verify && !p.cut && !sound(sum(0, b)) {
		return ErrChecksum
	}
	mtu := uint32(0)
	if b[0] == icmpUnreachable && b[1] == icmpFragNeeded {
		mtu = uint32(binary.BigEndian.Uint16(b[6:]))
	}
	return p.decodeQuote(mtu, r)
}

// decodeICMPv6 reads an ICMPv6 error (RFC 4443).
func (p *packet) decodeICMPv6(verify bool, r *Reply) error {
	b := p.payload
	if len(b) < icmpHeader {
		return ErrTruncated
	}
	if b[0] < icmpv6Unreachable || b[0] > icmpv6ParameterProblem {
		return ErrNotTCP
	}
	if verify && !p.sound(protoICMPv6) {
		return ErrChecksum
	}
	mtu := uint32(0)
	if b[0] == icmpv6TooBig {
		mtu = binary.BigEndian.Uint32(b[4:])
	}
	return p.decodeQuote(mtu, r)
}

// decodeQuote reads the packet that an ICMP error quotes. We sent it, so its destination is the remote side.
func (p *packet) decodeQuote(mtu uint32, r *Reply) error {
	var q packet
	if err := q.parseHeader(p.payload[icmpHeader:]); err != nil {
		return err
	}
	switch {
	case q.v6() != p.v6():
		return ErrMalformed
	case q.proto != protoTCP:
		return ErrNotTCP
	case len(q.payload) < quotedTCP:
		return ErrTruncated
	}
	*r = Reply{
		Kind:       ICMP,
		Remote:     q.destination(),
		Local:      q.source(),
		RemotePort: binary.BigEndian.Uint16(q.payload[2:]),
		LocalPort:  binary.BigEndian.Uint16(q.payload),
		Seq:        binary.BigEndian.Uint32(q.payload[4:]),
		TTL:        p.ttl,
		Responder:  p.source(),
		ICMPType:   p.payload[0],
		ICMPCode:   p.payload[1],
		MTU:        mtu,
	}
	return nil
}
