//go:build linux && !android

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Packet is a captured packet, decoded by gopacket.
type Packet struct {
	Time       time.Time // of the kernel
	Out        bool      // the host that captured it sent it
	Unfinished bool      // a kernel made it and left the TCP checksum to a network card
	Data       []byte    // from the IP header on

	Src, Dst netip.AddrPort // port 0: not TCP
	TTL      uint8          // or hop limit
	TCP      *layers.TCP    // nil: not TCP
	ICMP     *ICMP          // nil: not an ICMP error

	network gopacket.NetworkLayer
}

// ICMP is an ICMP or ICMPv6 error.
type ICMP struct {
	Type, Code uint8
	MTU        uint32         // of fragmentation needed and packet too big
	Src, Dst   netip.AddrPort // of the quoted segment
	Seq        uint32         // of the quoted segment
}

// Decode makes a Packet of an IPv4 or IPv6 packet.
func Decode(data []byte) (Packet, error) {
	p := Packet{Data: data}
	if len(data) == 0 {
		return p, errors.New("lab: an empty packet")
	}
	first := layers.LayerTypeIPv4
	if data[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	decoded := gopacket.NewPacket(data, first, gopacket.DecodeOptions{NoCopy: true})
	for _, layer := range decoded.Layers() {
		p.add(layer)
	}
	if fail := decoded.ErrorLayer(); fail != nil && p.TCP == nil && p.ICMP == nil {
		return p, fmt.Errorf("lab: decode % x: %w", data, fail.Error())
	}
	return p, nil
}

func (p *Packet) add(layer gopacket.Layer) {
	switch l := layer.(type) {
	case *layers.IPv4:
		p.network, p.TTL = l, l.TTL
		p.Src, p.Dst = portless(l.SrcIP), portless(l.DstIP)
	case *layers.IPv6:
		p.network, p.TTL = l, l.HopLimit
		p.Src, p.Dst = portless(l.SrcIP), portless(l.DstIP)
	case *layers.TCP:
		p.TCP = l
		p.Src = netip.AddrPortFrom(p.Src.Addr(), uint16(l.SrcPort))
		p.Dst = netip.AddrPortFrom(p.Dst.Addr(), uint16(l.DstPort))
	case *layers.ICMPv4:
		if errors4[l.TypeCode.Type()] {
			p.ICMP = quotedBy(l.TypeCode.Type(), l.TypeCode.Code(), uint32(l.Seq), l.Payload)
		}
	case *layers.ICMPv6:
		if l.TypeCode.Type() < firstInformational && len(l.Payload) >= 4 {
			p.ICMP = quotedBy(l.TypeCode.Type(), l.TypeCode.Code(), binary.BigEndian.Uint32(l.Payload), l.Payload[4:])
		}
	}
}

// errors4 are the ICMP types that quote a packet: unreachable, source quench, redirect, time exceeded, parameter problem.
var errors4 = map[uint8]bool{3: true, 4: true, 5: true, 11: true, 12: true}

// firstInformational ICMPv6 type; those below are errors (RFC 4443, section 2.1).
const firstInformational = 128

func portless(ip []byte) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr, 0)
}

// quotedBy reads what an ICMP error quotes: an IP header and at least 8 bytes (RFC 792). It returns nil if that is not there.
func quotedBy(kind, code uint8, mtu uint32, quote []byte) *ICMP {
	e := &ICMP{Type: kind, Code: code, MTU: mtu}
	if len(quote) == 0 {
		return nil
	}
	var src, dst, segment []byte
	switch length := int(quote[0]&15) * 4; {
	case quote[0]>>4 == 4 && length >= 20 && len(quote) >= length+8:
		src, dst, segment = quote[12:16], quote[16:20], quote[length:]
	case quote[0]>>4 == 6 && len(quote) >= 48:
		src, dst, segment = quote[8:24], quote[24:40], quote[40:]
	default:
		return nil
	}
	e.Src = netip.AddrPortFrom(portless(src).Addr(), binary.BigEndian.Uint16(segment))
	e.Dst = netip.AddrPortFrom(portless(dst).Addr(), binary.BigEndian.Uint16(segment[2:]))
	e.Seq = binary.BigEndian.Uint32(segment[4:])
	return e
}

// Flags writes the flags as tcpdump does: "S", "S.", "R", "R.", ".", "P.", "F." …; "" if it is not TCP.
func (p Packet) Flags() string {
	if p.TCP == nil {
		return ""
	}
	var b strings.Builder
	for _, f := range []struct {
		set  bool
		name string
	}{
		{p.TCP.FIN, "F"}, {p.TCP.SYN, "S"}, {p.TCP.RST, "R"}, {p.TCP.PSH, "P"}, {p.TCP.URG, "U"},
		{p.TCP.ECE, "E"}, {p.TCP.CWR, "W"}, {p.TCP.ACK, "."},
	} {
		if f.set {
			b.WriteString(f.name)
		}
	}
	return b.String()
}

// String is one line: who to whom, flags or ICMP type and code, numbers.
func (p Packet) String() string {
	way := "in "
	if p.Out {
		way = "out"
	}
	switch {
	case p.TCP != nil:
		return fmt.Sprintf("%s %s > %s [%s] seq %d ack %d win %d ttl %d", way, p.Src, p.Dst, p.Flags(), p.TCP.Seq, p.TCP.Ack, p.TCP.Window, p.TTL)
	case p.ICMP != nil:
		return fmt.Sprintf("%s %s > %s icmp %d/%d for %s > %s seq %d", way, p.Src.Addr(), p.Dst.Addr(), p.ICMP.Type, p.ICMP.Code, p.ICMP.Src, p.ICMP.Dst, p.ICMP.Seq)
	}
	return fmt.Sprintf("%s %s > %s % x", way, p.Src.Addr(), p.Dst.Addr(), p.Data)
}

// CheckSums verifies the checksums of the IPv4 header and of the TCP segment.
func (p Packet) CheckSums() error {
	if ip, ok := p.network.(*layers.IPv4); ok && onesSum(ip.Contents) != 0xffff {
		return fmt.Errorf("wrong IPv4 header checksum %#04x in %s", ip.Checksum, p)
	}
	if p.TCP == nil {
		return nil
	}
	if p.Unfinished {
		return fmt.Errorf("a kernel's unfinished checksum in %s", p)
	}
	if err := p.TCP.SetNetworkLayerForChecksum(p.network); err != nil {
		return err
	}
	// Over a segment with its checksum in place, the right sum is 0.
	sum, err := p.TCP.ComputeChecksum()
	if err != nil || sum != 0 {
		return fmt.Errorf("wrong TCP checksum %#04x in %s (%v)", p.TCP.Checksum, p, err)
	}
	return nil
}

// onesSum is the one's complement sum of RFC 1071 over whole 16-bit words.
func onesSum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
