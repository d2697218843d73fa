package craft

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// checkAgainstGopacket holds a decoded packet against what gopacket, which shares no code with Decode, reads in it.
func checkAgainstGopacket(t *testing.T, pkt []byte, got *Reply) {
	t.Helper()
	b := append([]byte(nil), pkt...)
	ip := readIP(t, b)
	var want Reply
	if ip.proto == layers.IPProtocolTCP {
		want = readTCP(t, ip)
		want.Options = got.Options // the bytes are compared by FuzzOptions and below
		if header := int(ip.payload[12]>>4) * 4; string(got.Options) != string(pkt[len(pkt)-len(ip.tail):][20:header]) {
			t.Errorf("options % x are not those of the segment", got.Options)
		}
	} else {
		want = readICMP(t, ip)
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("packet % x\ndecoded %+v\ngopacket %+v", pkt, *got, want)
	}
}

// ipLayer is an IP packet as gopacket read it.
type ipLayer struct {
	src, dst netip.Addr
	proto    layers.IPProtocol
	ttl      uint8
	payload  []byte // up to the length in the header
	tail     []byte // up to the end of the buffer
}

// readIP has gopacket read an IP header. IPv4 options are made NOPs first: gopacket parses them and stumbles over bad
// ones, Decode skips them.
func readIP(t *testing.T, b []byte) ipLayer {
	t.Helper()
	if b[0]>>4 == 6 {
		var ip layers.IPv6
		must(t, ip.DecodeFromBytes(b, gopacket.NilDecodeFeedback))
		return ipLayer{address(ip.SrcIP), address(ip.DstIP), ip.NextHeader, ip.HopLimit, ip.Payload, b[40:]}
	}
	header := int(b[0]&15) * 4
	for i := 20; i < header; i++ {
		b[i] = 1
	}
	var ip layers.IPv4
	must(t, ip.DecodeFromBytes(b, gopacket.NilDecodeFeedback))
	if ip.FragOffset != 0 {
		t.Errorf("a fragment of offset %d was accepted", ip.FragOffset)
	}
	return ipLayer{address(ip.SrcIP), address(ip.DstIP), ip.Protocol, ip.TTL, ip.Payload, b[header:]}
}

// readTCP has gopacket read a segment, its options made NOPs for the same reason.
func readTCP(t *testing.T, ip ipLayer) Reply {
	t.Helper()
	for i := 20; i < min(int(ip.payload[12]>>4)*4, len(ip.payload)); i++ {
		ip.payload[i] = 1
	}
	var tcp layers.TCP
	must(t, tcp.DecodeFromBytes(ip.payload, gopacket.NilDecodeFeedback))
	return Reply{
		Kind: kindByName(&tcp), Remote: ip.src, Local: ip.dst, RemotePort: uint16(tcp.SrcPort),
		LocalPort: uint16(tcp.DstPort), Seq: tcp.Seq, Ack: tcp.Ack, Flags: ip.payload[13], TTL: ip.ttl,
		Window: tcp.Window, Responder: ip.src,
	}
}

// kindByName is the rule of Kind's comments.
func kindByName(tcp *layers.TCP) Kind {
	switch {
	case tcp.SYN && tcp.ACK && !tcp.RST:
		return SYNACK
	case tcp.RST:
		return RST
	case tcp.ACK && !tcp.SYN && !tcp.RST && !tcp.FIN:
		return ACK
	case tcp.SYN && !tcp.ACK && !tcp.RST:
		return SYN
	}
	return Other
}

func readICMP(t *testing.T, ip ipLayer) Reply {
	t.Helper()
	r := Reply{Kind: ICMP, TTL: ip.ttl, Responder: ip.src}
	quote := ip.payload[8:]
	if ip.proto == layers.IPProtocolICMPv6 {
		var icmp layers.ICMPv6
		must(t, icmp.DecodeFromBytes(ip.payload, gopacket.NilDecodeFeedback))
		r.ICMPType, r.ICMPCode = icmp.TypeCode.Type(), icmp.TypeCode.Code()
		if r.ICMPType == layers.ICMPv6TypePacketTooBig {
			r.MTU = binary.BigEndian.Uint32(icmp.Payload)
		}
	} else {
		var icmp layers.ICMPv4
		must(t, icmp.DecodeFromBytes(ip.payload, gopacket.NilDecodeFeedback))
		r.ICMPType, r.ICMPCode = icmp.TypeCode.Type(), icmp.TypeCode.Code()
		if icmp.TypeCode == layers.CreateICMPv4TypeCode(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodeFragmentationNeeded) {
			r.MTU = uint32(icmp.Seq)
		}
	}
	readQuote(t, withLength(quote), &r)
	return r
}

// readQuote has gopacket read the quoted segment, of which it wants a whole header: what RFC 792 does not promise is
// filled up. The quoted length was made to fit, since Decode does not look at it.
func readQuote(t *testing.T, quote []byte, r *Reply) {
	t.Helper()
	ip := readIP(t, quote)
	if ip.proto != layers.IPProtocolTCP {
		t.Errorf("an error about protocol %v was accepted", ip.proto)
	}
	header := append(ip.payload[:8:8], 0, 0, 0, 0, 5<<4, 0, 0, 0, 0, 0, 0, 0)
	var tcp layers.TCP
	must(t, tcp.DecodeFromBytes(header, gopacket.NilDecodeFeedback))
	r.Remote, r.Local = ip.dst, ip.src
	r.RemotePort, r.LocalPort, r.Seq = uint16(tcp.DstPort), uint16(tcp.SrcPort), tcp.Seq
}

func address(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal("gopacket refuses what Decode accepts: ", err)
	}
}
