package craft

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

const (
	// Headroom is the number of bytes before the IP packet in a frame: room for a link header.
	Headroom = 16
	// FrameSize is the number of bytes of a frame: headroom, IP header, TCP header with options. The longest packet of
	// this package (IPv6, BSD) has 84 bytes; 128 keeps frames on cache lines of their own.
	FrameSize = 128
)

const (
	ipv4Header = 20
	ipv6Header = 40
	tcpHeader  = 20

	maxPacket = FrameSize - Headroom
)

// Spec says what the packets of a [Template] have in common.
type Spec struct {
	// Source is the address that packets leave from; its family is the template's. A zone is ignored.
	Source netip.Addr
	// TTL is the time to live or hop limit. If zero, 64.
	TTL uint8
	// TOS is the type of service or traffic class byte: DSCP and ECN bits.
	TOS uint8
	// Style chooses the TCP options of a SYN.
	Style Style
	// MSS is the segment size that the MSS option of a SYN announces. If zero, 1460 for IPv4 and 1440 for IPv6.
	MSS uint16
	// Window is the receive window of a SYN. If zero, that of the style: 64240 for Linux and Windows, else 65535.
	Window uint16
}

// Template is a packet of which all but destination, ports, sequence number and TSval is settled.
// It never changes after it was made and is safe for concurrent use.
type Template struct {
	packet [maxPacket]byte // fields that Put writes are zero here, the checksums too
	length int
	header int    // length of the IP header, which tells the family
	tsval  int    // offset of TSval in packet; 0: the style has no timestamp
	ipSum  uint64 // sum of the IPv4 header
	tcpSum uint64 // sum of the TCP header and its pseudo-header
}

// NewSYN makes the template of a SYN: acknowledgment number 0, options and window as in spec. IPv4 packets have DF set
// and identification 0 (allowed for atomic datagrams, RFC 6864 §4.1). It fails for a source that no packet can come
// from, an unknown style, and an MSS for a style that carries none.
func NewSYN(spec Spec) (*Template, error) {
	if spec.Style >= numStyles {
		return nil, fmt.Errorf("unknown style of SYN options %d: use one below %d", spec.Style, numStyles)
	}
	if spec.Style == NoOptions && spec.MSS != 0 {
		return nil, fmt.Errorf("MSS %d cannot be announced by a SYN without options: choose another style or leave MSS zero", spec.MSS)
	}
	return build(spec, &layers.TCP{
		SYN:     true,
		Window:  or(spec.Window, spec.Style.window()),
		Options: spec.Style.options(or(spec.MSS, defaultMSS(spec.Source))),
	})
}

// NewRST makes the template of a RST as a closed port answers a SYN-ACK (RFC 9293 §3.10.7.1): the sequence number is
// all it says; no ACK flag, acknowledgment number and window 0, no options. Style, MSS and Window of the
// spec do not matter, so that one Spec serves both kinds of template. It fails like [NewSYN] for a bad source.
func NewRST(spec Spec) (*Template, error) {
	return build(spec, &layers.TCP{RST: true})
}

// defaultMSS is what fits an Ethernet of 1500 bytes (RFC 6691).
func defaultMSS(source netip.Addr) uint16 {
	if source.Is4() {
		return 1460
	}
	return 1440
}

// or returns v, or def where v is zero.
func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// build has gopacket write the packet, and takes the sums that Put continues from.
func build(spec Spec, tcp *layers.TCP) (*Template, error) {
	if err := checkSource(spec.Source); err != nil {
		return nil, err
	}
	b := gopacket.NewSerializeBuffer()
	fixed := gopacket.SerializeOptions{FixLengths: true} // checksums are Put's
	if err := gopacket.SerializeLayers(b, fixed, spec.network(), tcp); err != nil {
		return nil, fmt.Errorf("building the packet template: %w", err)
	}
	t := &Template{length: len(b.Bytes()), header: ipv4Header}
	if spec.Source.Is6() {
		t.header = ipv6Header
	}
	copy(t.packet[:], b.Bytes())
	t.takeSums()
	return t, nil
}

func checkSource(source netip.Addr) error {
	switch {
	case !source.IsValid():
		return fmt.Errorf("no source address: set Spec.Source to an address of this host")
	case source.Is4In6():
		return fmt.Errorf("source address %s is IPv4-mapped: use %s", source, source.Unmap())
	case source.IsUnspecified(), source.IsMulticast():
		return fmt.Errorf("source address %s cannot send TCP: use a unicast address of this host", source)
	}
	return nil
}

// network returns the IP header, with a destination of zeros. gopacket insists on one of the right length.
func (s Spec) network() gopacket.SerializableLayer {
	ttl := or(s.TTL, 64)
	if s.Source.Is4() {
		return &layers.IPv4{
			Version: 4, TOS: s.TOS, Flags: layers.IPv4DontFragment, TTL: ttl, Protocol: layers.IPProtocolTCP,
			SrcIP: s.Source.AsSlice(), DstIP: make([]byte, 4),
		}
	}
	return &layers.IPv6{
		Version: 6, TrafficClass: s.TOS, HopLimit: ttl, NextHeader: layers.IPProtocolTCP,
		SrcIP: s.Source.AsSlice(), DstIP: make([]byte, 16),
	}
}

// takeSums adds up what Put will not patch. TSval lies at an even offset in every style, so that Put may add it as it
// is.
func (t *Template) takeSums() {
	addresses := t.packet[12:20]
	if t.header == ipv6Header {
		addresses = t.packet[8:40]
	}
	segment := t.packet[t.header:t.length]
	t.ipSum = sum(0, t.packet[:ipv4Header])
	t.tcpSum = sum(pseudoSum(addresses, protoTCP, len(segment)), segment)
	if at := timestampsAt(segment[tcpHeader:]); at >= 0 {
		t.tsval = t.header + tcpHeader + at
	}
}

// Len is the number of bytes that Put writes.
func (t *Template) Len() int { return t.length }

// Put writes the packet to b, where b[0] is the first byte of the IP header, and returns its length, which is Len.
// All checksums are finished. tsval is ignored where the template carries no timestamp. A zone of dst is ignored.
// It does not allocate. It panics if b is shorter than Len or dst is not of the template's family.
func (t *Template) Put(b []byte, dst netip.Addr, sport, dport uint16, seq, tsval uint32) int {
	_ = b[t.length-1] // the capacity is not ours
	b = b[:t.length]
	copy(b, t.packet[:])
	acc := t.tcpSum + uint64(sport) + uint64(dport) + uint64(seq)
	if t.header == ipv4Header {
		acc += t.putDestination4(b, dst)
	} else {
		acc += putDestination6(b, dst)
	}
	if t.tsval != 0 {
		binary.BigEndian.PutUint32(b[t.tsval:], tsval)
		acc += uint64(tsval)
	}
	segment := b[t.header:]
	_ = segment[tcpHeader-1]
	binary.BigEndian.PutUint16(segment, sport)
	binary.BigEndian.PutUint16(segment[2:], dport)
	binary.BigEndian.PutUint32(segment[4:], seq)
	binary.BigEndian.PutUint16(segment[16:], ^fold(acc))
	return t.length
}

// putDestination4 writes the address and the header checksum, and returns what the address adds to the TCP sum.
func (t *Template) putDestination4(b []byte, dst netip.Addr) uint64 {
	if !dst.Is4() {
		panic("craft: destination of an IPv4 template is not an IPv4 address")
	}
	a := dst.As4()
	word := binary.BigEndian.Uint32(a[:])
	_ = b[ipv4Header-1]
	binary.BigEndian.PutUint32(b[16:], word)
	binary.BigEndian.PutUint16(b[10:], ^fold(t.ipSum+uint64(word)))
	return uint64(word)
}

// putDestination6 writes the address and returns what it adds to the TCP sum. AsSlice is inlined and stays on the
// stack; As16 would cost 9 ns more, waiting for a copy of 16 bytes that were just written as two halves.
func putDestination6(b []byte, dst netip.Addr) uint64 {
	a := dst.AsSlice()
	if len(a) != 16 || dst.Is4In6() {
		panic("craft: destination of an IPv6 template is not an IPv6 address")
	}
	hi, lo := binary.BigEndian.Uint64(a), binary.BigEndian.Uint64(a[8:])
	_ = b[ipv6Header-1]
	binary.BigEndian.PutUint64(b[24:], hi)
	binary.BigEndian.PutUint64(b[32:], lo)
	return hi>>32 + hi&0xffffffff + lo>>32 + lo&0xffffffff
}
