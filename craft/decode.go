package craft

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// What Decode refuses, and why.
var (
	ErrTruncated = errors.New("packet ends before its headers do")
	ErrMalformed = errors.New("packet header contradicts itself")
	ErrNotTCP    = errors.New("neither a TCP segment nor an ICMP error about one")
	ErrFragment  = errors.New("fragment without the transport header")
	ErrChecksum  = errors.New("wrong checksum")
)

// The TCP flags (RFC 9293 §3.1).
const (
	FlagFIN = 1 << iota
	FlagSYN
	FlagRST
	FlagPSH
	FlagACK
	FlagURG
	FlagECE
	FlagCWR
)

// Kind says what a reply is. Flags that are not named do not matter.
type Kind uint8

// The kinds.
const (
	Other  Kind = iota // any other TCP segment
	SYNACK             // SYN and ACK, no RST
	RST                // RST, with or without ACK
	ACK                // ACK without SYN, RST and FIN: a challenge, or a half-open connection left from before
	SYN                // SYN without ACK and RST: simultaneous open, or a split handshake
	ICMP               // an ICMP or ICMPv6 error that quotes a TCP segment

	numKinds
)

var kindNames = [numKinds]string{"other", "syn-ack", "rst", "ack", "syn", "icmp"}

// String returns a word such as "syn-ack".
func (k Kind) String() string {
	if k < numKinds {
		return kindNames[k]
	}
	return "invalid"
}

// Reply is what a packet that arrived says.
type Reply struct {
	Kind Kind
	// Remote is the target's side and Local ours: source and destination of the segment. For ICMP they are taken
	// from the quoted segment, which we sent: Remote is its destination.
	Remote, Local         netip.Addr
	RemotePort, LocalPort uint16
	// Seq and Ack are the segment's. For ICMP, Seq is that of the quoted segment and Ack is 0.
	Seq, Ack uint32
	// Flags are the segment's: FlagSYN and so on. 0 for ICMP.
	Flags uint8
	// TTL is the time to live or hop limit of the packet that arrived.
	TTL uint8
	// Window is the segment's, not scaled. 0 for ICMP.
	Window uint16
	// Options are the segment's raw TCP options with their padding. They alias the packet. Nil for ICMP.
	Options []byte
	// Responder is who sent the packet: Remote, or for ICMP mostly a router.
	Responder netip.Addr
	// ICMPType and ICMPCode are those of ICMP or ICMPv6, as the family of Responder tells.
	ICMPType, ICMPCode uint8
	// MTU is the next hop's, from "fragmentation needed" and "packet too big"; 0 from old routers, and elsewhere.
	MTU uint32
}

// Decode reads a packet that begins with its IPv4 or IPv6 header. It fills *r and returns nil, or returns one of
// the Err values and leaves *r as it was. It never panics and does not allocate.
//
// A TCP header with all its options must be there, or an ICMP error (ICMPv4 types 3, 11, 12; ICMPv6 types 1 to 4)
// with at least 8 bytes of the TCP header that it quotes (RFC 792). IPv4 options are skipped, in the quote too. The
// first fragment of a packet is read, later ones are refused. IPv6 extension headers are not walked: no answer to a
// SYN needs one. Bytes beyond the length in the IP header are the link's padding and do not count.
//
// verify asks for the checksums to be verified: of the IPv4 header, of TCP, of ICMP. What an ICMP error quotes is
// not verified. TCP and ICMP checksums cannot be verified, and are not, where the payload is incomplete: when the
// length in the IP header exceeds len(pkt), because a snap length cut the packet, and in a first fragment.
func Decode(pkt []byte, verify bool, r *Reply) error {
	var p packet
	if err := p.parse(pkt); err != nil {
		return err
	}
	if verify && !p.v6() && !sound(sum(0, pkt[:int(pkt[0]&15)*4])) {
		return ErrChecksum
	}
	switch {
	case p.proto == protoTCP:
		return p.decodeTCP(verify, r)
	case p.proto == protoICMP && !p.v6():
		return p.decodeICMP(verify, r)
	case p.proto == protoICMPv6 && p.v6():
		return p.decodeICMPv6(verify, r)
	}
	return ErrNotTCP
}

func (p *packet) decodeTCP(verify bool, r *Reply) error {
	b := p.payload
	if len(b) < tcpHeader {
		return ErrTruncated
	}
	header := int(b[12]>>4) * 4
	switch {
	case header < tcpHeader:
		return ErrMalformed
	case header > len(b):
		return ErrTruncated
	case verify && !p.sound(protoTCP):
		return ErrChecksum
	}
	*r = Reply{}
	r.Kind = kindOf(b[13])
	r.Remote, r.Local = p.source(), p.destination()
	r.RemotePort = binary.BigEndian.Uint16(b)
	r.LocalPort = binary.BigEndian.Uint16(b[2:])
	r.Seq = binary.BigEndian.Uint32(b[4:])
	r.Ack = binary.BigEndian.Uint32(b[8:])
	r.Flags = b[13]
	r.TTL = p.ttl
	r.Window = binary.BigEndian.Uint16(b[14:])
	r.Options = b[tcpHeader:header]
	r.Responder = r.Remote
	return nil
}

func kindOf(flags uint8) Kind {
	switch {
	case flags&FlagRST != 0:
		return RST
	case flags&(FlagSYN|FlagACK) == FlagSYN|FlagACK:
		return SYNACK
	case flags&FlagSYN != 0:
		return SYN
	case flags&(FlagACK|FlagFIN) == FlagACK:
		return ACK
	}
	return Other
}

// Unfinished reports whether the checksum of a TCP segment is what a kernel leaves there for the network card to finish: the
// sum of the pseudo-header alone (CHECKSUM_PARTIAL, Documentation/networking/checksum-offloads.rst). Segments that never
// leave their machine arrive like that.
func Unfinished(pkt []byte) bool {
	var p packet
	if p.parse(pkt) != nil || p.proto != protoTCP || p.cut || len(p.payload) < tcpHeader {
		return false
	}
	sum := pseudoSum(p.addresses, protoTCP, len(p.payload))
	return sound(sum + uint64(^binary.BigEndian.Uint16(p.payload[16:])))
}

// sound reports whether the transport checksum with its pseudo-header is right, or cannot be known.
func (p *packet) sound(proto uint8) bool {
	return p.cut || sound(sum(pseudoSum(p.addresses, proto, len(p.payload)), p.payload))
}
