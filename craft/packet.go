package craft

import (
	"encoding/binary"
	"net/netip"
)

// Protocol numbers (IANA).
const (
	protoICMP     = 1
	protoTCP      = 6
	protoFragment = 44
	protoICMPv6   = 58
)

// packet is an IP packet taken apart, the one that arrived or the one that an ICMP error quotes.
// It aliases the buffer.
type packet struct {
	addresses []byte // source, then destination: 8 bytes for IPv4, 32 for IPv6
	payload   []byte // the transport header and what follows
	proto     uint8
	ttl       uint8
	cut       bool // payload is not whole, its checksum cannot be verified
}

func (p *packet) v6() bool { return len(p.addresses) == 32 }

func (p *packet) source() netip.Addr {
	if p.v6() {
		return netip.AddrFrom16([16]byte(p.addresses))
	}
	return netip.AddrFrom4([4]byte(p.addresses))
}

func (p *packet) destination() netip.Addr {
	if p.v6() {
		return netip.AddrFrom16([16]byte(p.addresses[16:]))
	}
	return netip.AddrFrom4([4]byte(p.addresses[4:]))
}

// parse takes a packet apart that arrived from the network. The length in its header counts: bytes beyond it are
// the link's padding, bytes missing were cut off by the snap length of a capture.
func (p *packet) parse(b []byte) error {
	if err := p.parseHeader(b); err != nil {
		return err
	}
	length := announced(b) - (len(b) - len(p.payload))
	if length < 0 {
		return ErrMalformed
	}
	if length > len(p.payload) {
		p.cut = true
	} else {
		p.payload = p.payload[:length]
	}
	return nil
}

// announced returns the length of the whole packet that its header gives.
func announced(b []byte) int {
	if b[0]>>4 == 4 {
		return int(binary.BigEndian.Uint16(b[2:]))
	}
	return ipv6Header + int(binary.BigEndian.Uint16(b[4:]))
}

// parseHeader takes a packet apart without looking at the length in its header, which some routers change in the
// packets that they quote.
func (p *packet) parseHeader(b []byte) error {
	if len(b) == 0 {
		return ErrTruncated
	}
	switch b[0] >> 4 {
	case 4:
		return p.parse4(b)
	case 6:
		return p.parse6(b)
	}
	return ErrMalformed
}

func (p *packet) parse4(b []byte) error {
	header := int(b[0]&15) * 4
	switch {
	case header < ipv4Header:
		return ErrMalformed
	case len(b) < header:
		return ErrTruncated
	}
	p.addresses, p.payload = b[12:20], b[header:]
	p.proto, p.ttl = b[9], b[8]
	fragment := binary.BigEndian.Uint16(b[6:])
	if fragment&0x1fff != 0 {
		return ErrFragment
	}
	p.cut = fragment&0x2000 != 0 // the first of several fragments
	return nil
}

func (p *packet) parse6(b []byte) error {
	if len(b) < ipv6Header {
		return ErrTruncated
	}
	p.addresses, p.payload = b[8:40], b[ipv6Header:]
	p.proto, p.ttl = b[6], b[7]
	if p.proto == protoFragment {
		return ErrFragment
	}
	if p.source().Is4In6() || p.destination().Is4In6() {
		return ErrMalformed // not on the wire: Linux drops such sources too (ip6_rcv_core in net/ipv6/ip6_input.c)
	}
	return nil
}

// pseudoSum adds up the pseudo-header of a transport checksum (RFC 9293 §3.1, RFC 8200 §8.1). The two families order
// its fields differently, but the sum does not care.
func pseudoSum(addresses []byte, proto uint8, length int) uint64 {
	return sum(uint64(proto)+uint64(length), addresses)
}
