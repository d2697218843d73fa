//go:build linux && !android

package raw

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The packets of ARP (RFC 826) and of neighbour discovery (RFC 4861).

var broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

const (
	arpSize     = 28
	arpRequests = 1

	v6Header          = 40
	neighbourSolicit  = 135
	neighbourAdvert   = 136
	sourceLinkAddress = 1
	targetLinkAddress = 2
)

// arpReplies keeps ARP packets for IPv4 over Ethernet, requests too: they
// tell their sender's address as well.
var arpReplies = []bpf.RawInstruction{{Op: unix.BPF_RET | unix.BPF_K, K: arpSize}}

// advertisements keeps neighbour advertisements without extension headers.
var advertisements = []bpf.RawInstruction{
	{Op: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 6},
	{Op: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.IPPROTO_ICMPV6, Jf: 3},
	{Op: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: v6Header},
	{Op: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: neighbourAdvert, Jf: 1},
	{Op: unix.BPF_RET | unix.BPF_K, K: 256},
	{Op: unix.BPF_RET | unix.BPF_K, K: 0},
}

func arpRequest(from speaker, target netip.Addr) []byte {
	b := append(arpPrefix[:len(arpPrefix):len(arpPrefix)], 0, arpRequests)
	b = append(b, from.mac[:]...)
	b = append(b, from.addr.AsSlice()...)
	b = append(b, make([]byte, 6)...)
	return append(b, target.AsSlice()...)
}

// arpPrefix is Ethernet, IPv4, and the lengths of their addresses.
var arpPrefix = [6]byte{0, 1, 8, 0, 6, 4}

// parseARP returns the sender of an ARP packet.
func parseARP(b []byte) (e neighbour, ok bool) {
	if len(b) < arpSize || [6]byte(b) != arpPrefix {
		return e, false
	}
	e.mac, e.addr = [6]byte(b[8:]), netip.AddrFrom4([4]byte(b[14:]))
	return e, true
}

// solicitedMAC is the Ethernet address of the group that the target listens
// to (RFC 2464, section 7).
func solicitedMAC(target netip.Addr) [6]byte {
	t := target.As16()
	return [6]byte{0x33, 0x33, 0xff, t[13], t[14], t[15]}
}

// solicitation is a whole IPv6 packet, to the target's solicited-node address
// (RFC 4291, section 2.7.1).
func solicitation(from speaker, target netip.Addr) []byte {
	t, source := target.As16(), from.addr.As16()
	group := [16]byte{0xff, 0x02, 11: 0x01, 12: 0xff, 13: t[13], 14: t[14], 15: t[15]}

	icmp := append([]byte{neighbourSolicit, 0, 0, 0, 0, 0, 0, 0}, t[:]...)
	icmp = append(icmp, sourceLinkAddress, 1)
	icmp = append(icmp, from.mac[:]...)

	b := []byte{0x60, 0, 0, 0, 0, byte(len(icmp)), unix.IPPROTO_ICMPV6, 255}
	b = append(append(b, source[:]...), group[:]...)
	sum := checksum(append(b[8:v6Header:v6Header], icmp...), uint32(len(icmp))+unix.IPPROTO_ICMPV6)
	binary.BigEndian.PutUint16(icmp[2:], sum)
	return append(b, icmp...)
}

// checksum is the Internet checksum (RFC 1071) of b, whose length is even,
// and what else it has to cover.
func checksum(b []byte, sum uint32) uint16 {
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// parseAdvertisement returns whom a neighbour advertisement is about. One
// that crossed a router is forged (RFC 4861, section 7.1.2), and one without
// the target's link address tells nothing new.
func parseAdvertisement(b []byte) (e neighbour, ok bool) {
	const fixed = v6Header + 24
	if len(b) < fixed || b[6] != unix.IPPROTO_ICMPV6 || b[7] != 255 || b[v6Header] != neighbourAdvert {
		return e, false
	}
	e.addr = netip.AddrFrom16([16]byte(b[v6Header+8:]))
	for options := b[fixed:]; len(options) >= 8; {
		size := int(options[1]) * 8
		if size == 0 || size > len(options) {
			break
		}
		if options[0] == targetLinkAddress {
			e.mac = [6]byte(options[2:])
			return e, true
		}
		options = options[size:]
	}
	return e, false
}
