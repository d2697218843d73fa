//go:build linux && !android

package wiretest

import (
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Segment is a TCP segment as tests talk about it.
type Segment struct {
	From, To           netip.AddrPort
	Seq, Ack           uint32
	SYN, ACK, RST, FIN bool
	Window             uint16
	MSS                uint16 // 0: no options
	TTL                uint8  // 0: 64
}

// Parse reads a packet with gopacket, which knows nothing of this project.
func Parse(pkt []byte) (s Segment, ok bool) {
	first := gopacket.LayerType(layers.LayerTypeIPv4)
	if len(pkt) > 0 && pkt[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(pkt, first, gopacket.NoCopy)
	tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok {
		return s, false
	}
	flow := p.NetworkLayer().NetworkFlow()
	src, _ := netip.AddrFromSlice(flow.Src().Raw())
	dst, _ := netip.AddrFromSlice(flow.Dst().Raw())
	return Segment{
		From: netip.AddrPortFrom(src, uint16(tcp.SrcPort)), To: netip.AddrPortFrom(dst, uint16(tcp.DstPort)),
		Seq: tcp.Seq, Ack: tcp.Ack, SYN: tcp.SYN, ACK: tcp.ACK, RST: tcp.RST, FIN: tcp.FIN, Window: tcp.Window,
	}, true
}

// Bytes builds the packet with gopacket, checksums included.
func (s Segment) Bytes() []byte {
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(s.From.Port()), DstPort: layers.TCPPort(s.To.Port()),
		Seq: s.Seq, Ack: s.Ack, SYN: s.SYN, ACK: s.ACK, RST: s.RST, FIN: s.FIN, Window: s.Window,
	}
	if s.MSS > 0 {
		tcp.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{byte(s.MSS >> 8), byte(s.MSS)}}}
	}
	ip := s.header(layers.IPProtocolTCP)
	tcp.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer))
	return serialize(ip, tcp)
}

func (s Segment) header(proto layers.IPProtocol) gopacket.SerializableLayer {
	ttl := s.TTL
	if ttl == 0 {
		ttl = 64
	}
	src, dst := s.From.Addr().AsSlice(), s.To.Addr().AsSlice()
	if s.From.Addr().Is4() {
		return &layers.IPv4{Version: 4, TTL: ttl, Protocol: proto, SrcIP: src, DstIP: dst}
	}
	return &layers.IPv6{Version: 6, HopLimit: ttl, NextHeader: proto, SrcIP: src, DstIP: dst}
}

func serialize(l ...gopacket.SerializableLayer) []byte {
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		panic(err) // a mistake in a test
	}
	return buf.Bytes()
}

// ICMP builds an ICMP or ICMPv6 error of a router about a packet, of which it quotes the IP header and n more bytes.
func ICMP(router netip.Addr, about []byte, typ, code uint8, n int) []byte {
	s, _ := Parse(about)
	out := Segment{From: netip.AddrPortFrom(router, 0), To: s.From}
	if router.Is4() {
		quote := gopacket.Payload(about[:min(20+n, len(about))])
		return serialize(out.header(layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code)}, quote)
	}
	ip := out.header(layers.IPProtocolICMPv6)
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, code)}
	icmp.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer))
	quote := append(make([]byte, 4), about[:min(40+n, len(about))]...)
	return serialize(ip, icmp, gopacket.Payload(quote))
}
