//go:build linux && !android

package lab

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Forged is a packet that a script makes.
type Forged interface {
	Bytes() []byte // from the IP header on
}

// Raw is a packet that exists already.
type Raw []byte

// Bytes returns the packet.
func (r Raw) Bytes() []byte { return r }

// Segment is a TCP segment to forge. Every field may be wrong on purpose.
type Segment struct {
	Src, Dst netip.AddrPort
	Seq, Ack uint32
	Flags    string // as [Packet.Flags] writes them
	Window   uint16
	TTL      uint8 // if zero, 64
	Options  []layers.TCPOption
	Payload  []byte
	Corrupt  bool // a wrong TCP checksum
}

// Reply is the segment with these flags that answers p: addresses and ports swapped, ack = p's sequence number + 1 and window 64240.
func (p Packet) Reply(flags string) Segment {
	return Segment{Src: p.Dst, Dst: p.Src, Seq: 1_000_000_007, Ack: p.TCP.Seq + 1, Flags: flags, Window: 64240}
}

// SYNACK is the right answer of an open port to p.
func (p Packet) SYNACK() Segment {
	s := p.Reply("S.")
	s.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{0x05, 0xb4}}}
	return s
}

// PeerRST is the right answer of a closed port to p.
func (p Packet) PeerRST() Segment {
	s := p.Reply("R.")
	s.Seq, s.Window = 0, 0
	return s
}

// Bytes serialises the segment.
func (s Segment) Bytes() []byte {
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(s.Src.Port()), DstPort: layers.TCPPort(s.Dst.Port()),
		Seq: s.Seq, Ack: s.Ack, Window: s.Window, Options: s.Options,
	}
	for _, f := range s.Flags {
		*map[rune]*bool{
			'F': &tcp.FIN, 'S': &tcp.SYN, 'R': &tcp.RST, 'P': &tcp.PSH, 'U': &tcp.URG, 'E': &tcp.ECE, 'W': &tcp.CWR, '.': &tcp.ACK,
		}[f] = true
	}
	b := inIP(s.Src.Addr(), s.Dst.Addr(), s.TTL, layers.IPProtocolTCP, func(n gopacket.NetworkLayer) []gopacket.SerializableLayer {
		tcp.SetNetworkLayerForChecksum(n)
		return []gopacket.SerializableLayer{tcp, gopacket.Payload(s.Payload)}
	})
	if s.Corrupt {
		b[len(b)-len(s.Payload)-20-optionBytes(tcp)+16] ^= 0x55
	}
	return b
}

func optionBytes(tcp *layers.TCP) int { return int(tcp.DataOffset)*4 - 20 }

// ICMPError is an ICMP error to forge: over IPv4 or IPv6 as the addresses say.
type ICMPError struct {
	From, To   netip.Addr
	Type, Code uint8
	MTU        uint32
	TTL        uint8 // if zero, 64
	Quote      []byte
}

// Error is the ICMP error that a router at from sends about p. It quotes p as it was, in full.
func (p Packet) Error(from netip.Addr, kind, code uint8) ICMPError {
	return ICMPError{From: from, To: p.Src.Addr(), Type: kind, Code: code, Quote: p.Data}
}

// Bytes serialises the error.
func (e ICMPError) Bytes() []byte {
	proto := layers.IPProtocolICMPv4
	if e.To.Is6() {
		proto = layers.IPProtocolICMPv6
	}
	return inIP(e.From, e.To, e.TTL, proto, func(n gopacket.NetworkLayer) []gopacket.SerializableLayer {
		if e.To.Is4() {
			icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(e.Type, e.Code), Id: uint16(e.MTU >> 16), Seq: uint16(e.MTU)}
			return []gopacket.SerializableLayer{icmp, gopacket.Payload(e.Quote)}
		}
		icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(e.Type, e.Code)}
		icmp.SetNetworkLayerForChecksum(n)
		mtu := binary.BigEndian.AppendUint32(nil, e.MTU)
		return []gopacket.SerializableLayer{icmp, gopacket.Payload(append(mtu, e.Quote...))}
	})
}

// inIP serialises an IP packet around the layers that inner makes for it.
func inIP(src, dst netip.Addr, ttl uint8, proto layers.IPProtocol, inner func(gopacket.NetworkLayer) []gopacket.SerializableLayer) []byte {
	if ttl == 0 {
		ttl = 64
	}
	var network interface {
		gopacket.NetworkLayer
		gopacket.SerializableLayer
	} = &layers.IPv4{Version: 4, Flags: layers.IPv4DontFragment, TTL: ttl, Protocol: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	if dst.Is6() {
		network = &layers.IPv6{Version: 6, HopLimit: ttl, NextHeader: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	}
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	all := append([]gopacket.SerializableLayer{network}, inner(network)...)
	if err := gopacket.SerializeLayers(buf, options, all...); err != nil {
		panic("lab: forge a packet: " + err.Error()) // a wrong test, such as mixed address families
	}
	return buf.Bytes()
}
