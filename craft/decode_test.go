package craft

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// edited returns a golden packet with some bytes replaced.
func edited(tb testing.TB, name string, at int, bytes ...byte) []byte {
	tb.Helper()
	pkt := unhex(tb, name)
	copy(pkt[at:], bytes)
	return pkt
}

// Offsets in packets without IP options.
const (
	tcp4   = 20
	tcp6   = 40
	quote4 = 28
	quote6 = 48
)

func TestDecodeRefuses(t *testing.T) {
	const synack4, synack6 = "linux-synack-v4", "linux-synack-v6"
	const icmp4, icmp6 = "linux-port-unreachable-v4", "linux-port-unreachable-v6"
	mapped := netip.MustParseAddr("::ffff:192.0.2.1").As16()
	for _, v := range []struct {
		name string
		pkt  []byte
		want error
	}{
		{"nothing", nil, ErrTruncated},
		{"version 5", edited(t, synack4, 0, 0x55), ErrMalformed},
		{"a link header", append([]byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00"), unhex(t, synack4)...), ErrMalformed},
		{"IPv4 header of 16 bytes", edited(t, synack4, 0, 0x44), ErrMalformed},
		{"IPv4 header beyond the end", unhex(t, "linux-synack-record-route-v4")[:30], ErrTruncated},
		{"total length within the IPv4 header", edited(t, synack4, 2, 0, 19), ErrMalformed},
		{"total length within the TCP header", edited(t, synack4, 2, 0, 39), ErrTruncated},
		{"total length 0, as segmentation offload has it", edited(t, synack4, 2, 0, 0), ErrMalformed},
		{"total length within the TCP options", edited(t, synack4, 2, 0, 59), ErrTruncated},
		{"IPv6 payload length 0", edited(t, synack6, 4, 0, 0), ErrTruncated},
		{"IPv6 payload length within the TCP header", edited(t, synack6, 4, 0, 19), ErrTruncated},
		{"TCP header of 16 bytes", edited(t, synack4, tcp4+12, 0x40), ErrMalformed},
		{"TCP header of 16 bytes", edited(t, synack6, tcp6+12, 0x40), ErrMalformed},
		{"TCP header beyond the end", edited(t, synack4, tcp4+12, 0xb0), ErrTruncated},
		{"second fragment", edited(t, synack4, 6, 0x00, 0x01), ErrFragment},
		{"fragment in the middle", edited(t, synack4, 6, 0x10, 0x00), ErrFragment},
		{"last fragment of many", edited(t, synack4, 6, 0x1f, 0xff), ErrFragment},
		{"IPv6 fragment", edited(t, synack6, 6, 44), ErrFragment},
		{"IPv6 hop-by-hop options", edited(t, synack6, 6, 0), ErrNotTCP},
		{"UDP", edited(t, synack4, 9, 17), ErrNotTCP},
		{"UDP over IPv6", edited(t, synack6, 6, 17), ErrNotTCP},
		{"ICMPv6 in IPv4", edited(t, icmp4, 9, 58), ErrNotTCP},
		{"ICMPv4 in IPv6", edited(t, "linux-hop-limit-exceeded-v6", 6, 1), ErrNotTCP},
		{"mapped source", edited(t, synack6, 8, mapped[:]...), ErrMalformed},
		{"mapped destination", edited(t, synack6, 24, mapped[:]...), ErrMalformed},
		{"echo reply", edited(t, icmp4, 20, 0), ErrNotTCP},
		{"redirect", edited(t, icmp4, 20, 5), ErrNotTCP},
		{"ICMPv6 type 0", edited(t, icmp6, 40, 0), ErrNotTCP},
		{"ICMPv6 type 5", edited(t, icmp6, 40, 5), ErrNotTCP},
		{"ICMPv6 echo reply", edited(t, icmp6, 40, 129), ErrNotTCP},
		{"ICMPv6 neighbour solicitation", edited(t, icmp6, 40, 135), ErrNotTCP},
		{"quote of UDP", edited(t, icmp4, quote4+9, 17), ErrNotTCP},
		{"quote of UDP over IPv6", edited(t, icmp6, quote6+6, 17), ErrNotTCP},
		{"quote of a second fragment", edited(t, icmp4, quote4+6, 0, 1), ErrFragment},
		{"quote of an IPv6 fragment", edited(t, icmp6, quote6+6, 44), ErrFragment},
		{"quote of IPv6 in ICMPv4", edited(t, icmp4, quote4, append([]byte{0x60, 0, 0, 0, 0, 20, 6, 64}, make([]byte, 32)...)...), ErrMalformed},
		{"quote of IPv4 in ICMPv6", edited(t, icmp6, quote6, unhex(t, synack4)...), ErrMalformed},
		{"quote of version 0", edited(t, icmp4, quote4, 0), ErrMalformed},
		{"quote with a header of 16 bytes", edited(t, icmp4, quote4, 0x44), ErrMalformed},
		{"quote with mapped addresses", edited(t, icmp6, quote6+8, mapped[:]...), ErrMalformed},
		{"quote of 7 TCP bytes", withLength(unhex(t, icmp4)[:quote4+20+7]), ErrTruncated},
		{"quote of 7 TCP bytes over IPv6", withLength(unhex(t, icmp6)[:quote6+40+7]), ErrTruncated},
		{"quote with IP options and 7 TCP bytes", withLength(unhex(t, "linux-port-unreachable-ip-options-v4")[:quote4+24+7]), ErrTruncated},
		{"no quote", withLength(unhex(t, icmp4)[:quote4]), ErrTruncated},
		{"ICMP header cut", withLength(unhex(t, icmp4)[:quote4-1]), ErrTruncated},
	} {
		t.Run(v.name, func(t *testing.T) {
			before := Reply{Kind: SYN, Seq: 7, Options: []byte{1}}
			r := before
			if err := Decode(v.pkt, false, &r); err != v.want {
				t.Errorf("error %v, want %v", err, v.want)
			}
			if !reflect.DeepEqual(r, before) {
				t.Errorf("the reply was changed to %+v", r)
			}
			if got := Describe(v.pkt); !strings.HasSuffix(got, v.want.Error()) {
				t.Errorf("described as %q", got)
			}
		})
	}
}

// The length in the header decides whether a checksum can be verified.
func TestVerifyNeedsTheWholeSegment(t *testing.T) {
	for name, whole := range map[string][]byte{
		"TCP over IPv4": withData(t, "linux-synack-v4"),
		"TCP over IPv6": withData(t, "linux-synack-v6"),
		"ICMP":          unhex(t, "linux-port-unreachable-v4"),
		"ICMPv6":        unhex(t, "linux-port-unreachable-v6"),
	} {
		end := len(whole) - 1
		damaged := append([]byte(nil), whole...)
		damaged[end] ^= 1
		for _, v := range []struct {
			name   string
			pkt    []byte
			verify bool
			want   error
		}{
			{"whole", whole, true, nil},
			{"whole and padded", append(whole[:end+1:end+1], 1, 2, 3), true, nil},
			{"damaged", damaged, true, ErrChecksum},
			{"damaged and padded", append(damaged[:end+1:end+1], 1, 2, 3), true, ErrChecksum},
			{"damaged, not verified", damaged, false, nil},
			{"cut before the damage", damaged[:end], true, nil},
		} {
			var r Reply
			if err := Decode(v.pkt, v.verify, &r); err != v.want {
				t.Errorf("%s, %s: %v, want %v", name, v.name, err, v.want)
			}
		}
	}
}

// withData returns a golden segment without IP options that carries 8 bytes of data, with the right checksums.
func withData(tb testing.TB, name string) []byte {
	b := restoreHeaderSum(withLength(append(unhex(tb, name), "the data"...)))
	segment, addresses := b[20:], b[12:20:20]
	if b[0]>>4 == 6 {
		segment, addresses = b[40:], b[8:40:40]
	}
	segment[16], segment[17] = 0, 0
	sum := ^plainSum(append(append(addresses, 0, 6, 0, byte(len(segment))), segment...))
	segment[16], segment[17] = byte(sum>>8), byte(sum)
	return b
}

// restoreHeaderSum finishes the header checksum of an IPv4 packet without IP options.
func restoreHeaderSum(b []byte) []byte {
	if b[0]>>4 == 4 {
		b[10], b[11] = 0, 0
		sum := ^plainSum(b[:20])
		b[10], b[11] = byte(sum>>8), byte(sum)
	}
	return b
}

func TestUnfinished(t *testing.T) {
	for _, g := range goldens {
		pkt := unhex(t, g.name)
		if got, want := Unfinished(pkt), unfinished(g.name); got != want {
			t.Errorf("%s: %t, want %t", g.name, got, want)
		}
		pkt[len(pkt)-1]++
		if unfinished(g.name) && !Unfinished(pkt) {
			t.Errorf("%s: the sum covers the pseudo-header alone", g.name)
		}
		if Unfinished(pkt[:len(pkt)-1]) {
			t.Errorf("%s, cut: cannot be known", g.name)
		}
	}
	damaged := unhex(t, "linux-synack-loopback-v4")
	damaged[tcp4+17] ^= 1
	if Unfinished(damaged) {
		t.Error("another sum passes for that of the pseudo-header")
	}
}

// The header is there in full even when the packet was cut, and even when the TCP checksum is left to a network card.
func TestVerifyIPv4Header(t *testing.T) {
	for _, name := range []string{"linux-fragmentation-needed-snap-v4", "composed-first-fragment-v4", "linux-synack-record-route-v4"} {
		pkt := unhex(t, name)
		pkt[8]-- // the TTL
		var r Reply
		if err := Decode(pkt, true, &r); err != ErrChecksum {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKinds(t *testing.T) {
	want := map[uint8]Kind{
		0:                           Other,
		FlagSYN:                     SYN,
		FlagSYN | FlagECE | FlagCWR: SYN,
		FlagSYN | FlagACK:           SYNACK,
		FlagSYN | FlagACK | FlagECE: SYNACK,
		FlagRST:                     RST,
		FlagRST | FlagACK:           RST,
		FlagRST | FlagSYN | FlagACK: RST,
		FlagACK:                     ACK,
		FlagACK | FlagPSH:           ACK,
		FlagACK | FlagFIN:           Other,
		FlagFIN:                     Other,
		FlagPSH | FlagURG:           Other,
	}
	for flags, kind := range want {
		var r Reply
		if err := Decode(edited(t, "linux-synack-v4", tcp4+13, flags), false, &r); err != nil || r.Kind != kind || r.Flags != flags {
			t.Errorf("flags %s: kind %v, flags %#x, %v; want %v", flagNames(flags), r.Kind, r.Flags, err, kind)
		}
	}
	if got := ICMP.String() + " " + SYNACK.String() + " " + Kind(99).String(); got != "icmp syn-ack invalid" {
		t.Errorf("names: %s", got)
	}
}

// Only two kinds of error have an MTU where others have something else.
func TestMTU(t *testing.T) {
	for name, at := range map[string]int{
		"linux-port-unreachable-v4": 24, "linux-ttl-exceeded-v4": 24, "composed-parameter-problem-v4": 24,
		"linux-port-unreachable-v6": 44, "linux-hop-limit-exceeded-v6": 44, "composed-parameter-problem-v6": 44,
	} {
		var r Reply
		if err := Decode(edited(t, name, at, 1, 2, 3, 4), false, &r); err != nil || r.MTU != 0 {
			t.Errorf("%s: MTU %d, %v", name, r.MTU, err)
		}
	}
	var r Reply
	if err := Decode(edited(t, "composed-packet-too-big-v6", 44, 1, 2, 3, 4), false, &r); err != nil || r.MTU != 0x01020304 {
		t.Errorf("MTU %#x, %v", r.MTU, err)
	}
}

// A reply leaves nothing of the one before it in the same variable.
func TestDecodeOverwrites(t *testing.T) {
	var reused Reply
	for _, name := range []string{"linux-synack-v6", "linux-fragmentation-needed-snap-v4", "linux-rst-v4", "linux-packet-too-big-snap-v6", "linux-synack-v4"} {
		var fresh Reply
		pkt := unhex(t, name)
		if err := Decode(pkt, false, &fresh); err != nil {
			t.Fatal(err)
		}
		if err := Decode(pkt, false, &reused); err != nil || !reflect.DeepEqual(reused, fresh) {
			t.Errorf("%s: %+v, fresh %+v", name, reused, fresh)
		}
	}
}

func TestDescribeRefused(t *testing.T) {
	for _, v := range []struct {
		pkt  []byte
		want string
	}{
		{[]byte{0x45, 0, 0}, "packet of 3 bytes: packet ends before its headers do"},
		{edited(t, "linux-synack-v4", 9, 17),
			"198.51.100.7 > 192.0.2.1 protocol 17, packet of 60 bytes: neither a TCP segment nor an ICMP error about one"},
		{edited(t, "linux-synack-v6", 6, 44),
			"2001:db8:2::7 > 2001:db8:1::1 protocol 44, packet of 80 bytes: fragment without the transport header"},
	} {
		if got := Describe(v.pkt); got != v.want {
			t.Errorf("described as\n%s, want\n%s", got, v.want)
		}
	}
}

func TestDescribeOddities(t *testing.T) {
	for _, v := range []struct {
		name string
		pkt  []byte
		want string
	}{
		{"no flags", edited(t, "linux-rst-v4", tcp4+13, 0), "no-flags seq"},
		{"all flags", edited(t, "linux-rst-v4", tcp4+13, 0xff), "FIN-SYN-RST-PSH-ACK-URG-ECE-CWR seq"},
		{"unknown code", edited(t, "linux-port-unreachable-v4", 21, 200), "ICMP destination unreachable (type 3 code 200)"},
		{"unknown code", edited(t, "linux-port-unreachable-v6", 41, 200), "ICMPv6 destination unreachable (type 1 code 200)"},
		{"bad options", edited(t, "composed-bsd-synack-v4", tcp4+20, 2, 4, 5, 180, 77, 4, 171, 205, 2, 0), "<mss 1460,?77 abcd,malformed>"},
	} {
		if got := Describe(v.pkt); !strings.Contains(got, v.want) {
			t.Errorf("%s: %q is not in %s", v.name, v.want, got)
		}
	}
}
