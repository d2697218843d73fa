package craft

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unhex reads testdata/name.hex: hexadecimal bytes, one field of the packet a line, with comments after #. The first
// lines of each file say which stack sent the packet and how it was captured, or that it was composed.
func unhex(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		tb.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		field, _, _ := strings.Cut(line, "#")
		digits.WriteString(strings.TrimSpace(field))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return b
}

// tcpdump returns what tcpdump says of the packet, from the comment in its file.
func tcpdump(tb testing.TB, name string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if said, ok := strings.CutPrefix(line, "# tcpdump: "); ok {
			return said
		}
	}
	tb.Fatalf("%s does not say what tcpdump says", name)
	return ""
}

// goldens says what each packet of testdata means.
var goldens = []struct {
	name string
	kind Kind
	line string
}{
	{"composed-bsd-port-unreachable-quote8-v4", ICMP,
		"198.51.100.7 > 192.0.2.1 ICMP port unreachable (type 3 code 3) ttl 250 about 192.0.2.1:40000 > 198.51.100.7:443 seq 1000"},
	{"composed-bsd-synack-v4", SYNACK,
		"198.51.100.7:443 > 192.0.2.1:40000 SYN-ACK seq 3735928559 ack 1001 win 65535 ttl 64 <mss 1460,nop,ws 6,sackok,ts 439041101 12345>"},
	{"composed-bsd-synack-v6", SYNACK,
		"[2001:db8:2::7]:443 > [2001:db8:1::1]:40000 SYN-ACK seq 3735928559 ack 1001 win 65535 ttl 64 <mss 1440,nop,ws 6,sackok,ts 439041101 12345>"},
	{"composed-first-fragment-v4", SYNACK,
		"198.51.100.7:443 > 192.0.2.1:40000 SYN-ACK seq 3735928559 ack 1001 win 65535 ttl 64 <mss 1460>"},
	{"composed-packet-too-big-v6", ICMP,
		"2001:db8:9::1 > 2001:db8:1::1 ICMPv6 packet too big (type 2 code 0) mtu 1400 ttl 250 about [2001:db8:1::1]:40000 > [2001:db8:2::7]:443 seq 1000"},
	{"composed-parameter-problem-v4", ICMP,
		"203.0.113.1 > 192.0.2.1 ICMP parameter problem (type 12 code 0) ttl 250 about 192.0.2.1:40000 > 198.51.100.7:443 seq 1000"},
	{"composed-parameter-problem-v6", ICMP,
		"2001:db8:9::1 > 2001:db8:1::1 ICMPv6 unknown next header (type 4 code 1) ttl 250 about [2001:db8:1::1]:40000 > [2001:db8:2::7]:443 seq 1000"},
	{"composed-router-fragmentation-needed-quote8-v4", ICMP,
		"203.0.113.1 > 192.0.2.1 ICMP fragmentation needed (type 3 code 4) mtu 1400 ttl 250 about 192.0.2.1:40000 > 198.51.100.7:443 seq 1000"},
	{"composed-router-fragmentation-needed-without-mtu-v4", ICMP,
		"203.0.113.1 > 192.0.2.1 ICMP fragmentation needed (type 3 code 4) ttl 250 about 192.0.2.1:40000 > 198.51.100.7:443 seq 1000"},
	{"composed-router-no-route-quote8-v6", ICMP,
		"2001:db8:9::1 > 2001:db8:1::1 ICMPv6 no route (type 1 code 0) ttl 250 about [2001:db8:1::1]:40000 > [2001:db8:2::7]:443 seq 1000"},
	{"composed-router-ttl-exceeded-quote8-v4", ICMP,
		"203.0.113.1 > 192.0.2.1 ICMP TTL exceeded (type 11 code 0) ttl 250 about 192.0.2.1:40000 > 198.51.100.7:443 seq 1000"},
	{"composed-rst-ack-is-isn-v4", RST,
		"198.51.100.7:443 > 192.0.2.1:40000 RST-ACK seq 0 ack 1000 win 0 ttl 64"},
	{"composed-rstack-padded-v4", RST,
		"198.51.100.7:443 > 192.0.2.1:40000 RST-ACK seq 0 ack 1001 win 0 ttl 64"},
	{"composed-synack-window0-v4", SYNACK,
		"198.51.100.7:443 > 192.0.2.1:40000 SYN-ACK seq 3735928559 ack 1001 win 0 ttl 64"},
	{"composed-windows-rstack-v4", RST,
		"198.51.100.7:443 > 192.0.2.1:40000 RST-ACK seq 0 ack 1001 win 0 ttl 128"},
	{"composed-windows-synack-v4", SYNACK,
		"198.51.100.7:443 > 192.0.2.1:40000 SYN-ACK seq 3735928559 ack 1001 win 65535 ttl 128 <mss 1460,nop,ws 8,nop,nop,sackok>"},
	{"composed-windows-synack-v6", SYNACK,
		"[2001:db8:2::7]:443 > [2001:db8:1::1]:40000 SYN-ACK seq 3735928559 ack 1001 win 64800 ttl 128 <mss 1440,nop,ws 8,nop,nop,sackok>"},
	{"linux-address-unreachable-v6", ICMP,
		"2001:db8:1::fe > 2001:db8:1::1 ICMPv6 address unreachable (type 1 code 3) ttl 64 about [2001:db8:1::1]:42576 > [2001:db8:2::99]:443 seq 1096180047"},
	{"linux-admin-prohibited-v4", ICMP,
		"192.0.2.254 > 192.0.2.1 ICMP admin prohibited (type 3 code 13) ttl 64 about 192.0.2.1:46608 > 198.51.100.7:1013 seq 1722075600"},
	{"linux-admin-prohibited-v6", ICMP,
		"2001:db8:1::fe > 2001:db8:1::1 ICMPv6 admin prohibited (type 1 code 1) ttl 64 about [2001:db8:1::1]:34066 > [2001:db8:2::7]:1001 seq 3581108974"},
	{"linux-challenge-ack-v4", ACK,
		"198.51.100.7:443 > 192.0.2.1:40000 ACK seq 1348946657 ack 1001 win 64240 ttl 63"},
	{"linux-challenge-ack-v6", ACK,
		"[2001:db8:2::7]:443 > [2001:db8:1::1]:40000 ACK seq 3388550423 ack 1001 win 64800 ttl 63"},
	{"linux-finack-v4", Other,
		"198.51.100.7:443 > 192.0.2.1:42752 FIN-ACK seq 871391244 ack 1365367674 win 64 ttl 63 <nop,nop,ts 1393748348 1879713311>"},
	{"linux-finack-v6", Other,
		"[2001:db8:2::7]:443 > [2001:db8:1::1]:45786 FIN-ACK seq 2639447135 ack 3939739208 win 63 ttl 63 <nop,nop,ts 2245393075 3588703305>"},
	{"linux-fragmentation-needed-snap-v4", ICMP,
		"192.0.2.254 > 192.0.2.1 ICMP fragmentation needed (type 3 code 4) mtu 1280 ttl 64 about 192.0.2.1:41908 > 198.51.100.7:443 seq 50588466"},
	{"linux-hop-limit-exceeded-v6", ICMP,
		"2001:db8:1::fe > 2001:db8:1::1 ICMPv6 hop limit exceeded (type 3 code 0) ttl 64 about [2001:db8:1::1]:46190 > [2001:db8:2::7]:443 seq 588347412"},
	{"linux-host-unreachable-v4", ICMP,
		"192.0.2.254 > 192.0.2.1 ICMP host unreachable (type 3 code 1) ttl 64 about 192.0.2.1:34432 > 198.51.100.99:443 seq 3021457435"},
	{"linux-net-unreachable-v4", ICMP,
		"192.0.2.254 > 192.0.2.1 ICMP net unreachable (type 3 code 0) ttl 64 about 192.0.2.1:44012 > 203.0.113.200:443 seq 592414707"},
	{"linux-no-route-v6", ICMP,
		"2001:db8:1::fe > 2001:db8:1::1 ICMPv6 no route (type 1 code 0) ttl 64 about [2001:db8:1::1]:35262 > [2001:db8:3::1]:443 seq 3329058246"},
	{"linux-packet-too-big-snap-v6", ICMP,
		"2001:db8:1::fe > 2001:db8:1::1 ICMPv6 packet too big (type 2 code 0) mtu 1280 ttl 64 about [2001:db8:1::1]:51334 > [2001:db8:2::7]:443 seq 1534637543"},
	{"linux-port-unreachable-ip-options-v4", ICMP,
		"192.0.2.254 > 192.0.2.1 ICMP port unreachable (type 3 code 3) ttl 64 about 192.0.2.1:59536 > 198.51.100.7:1003 seq 1858762078"},
	{"linux-port-unreachable-v4", ICMP,
		"192.0.2.254 > 192.0.2.1 ICMP port unreachable (type 3 code 3) ttl 64 about 192.0.2.1:39544 > 198.51.100.7:1003 seq 1986695727"},
	{"linux-port-unreachable-v6", ICMP,
		"2001:db8:1::fe > 2001:db8:1::1 ICMPv6 port unreachable (type 1 code 4) ttl 64 about [2001:db8:1::1]:60442 > [2001:db8:2::7]:1004 seq 259729506"},
	{"linux-rst-v4", RST,
		"198.51.100.7:9 > 192.0.2.1:40001 RST seq 77777 win 0 ttl 63"},
	{"linux-rst-v6", RST,
		"[2001:db8:2::7]:9 > [2001:db8:1::1]:40001 RST seq 77777 win 0 ttl 63"},
	{"linux-rstack-v4", RST,
		"198.51.100.7:9 > 192.0.2.1:33522 RST-ACK seq 0 ack 3613242728 win 0 ttl 63"},
	{"linux-rstack-v6", RST,
		"[2001:db8:2::7]:9 > [2001:db8:1::1]:53520 RST-ACK seq 0 ack 4232081899 win 0 ttl 63"},
	{"linux-syn-v4", SYN,
		"198.51.100.7:34974 > 192.0.2.1:80 SYN seq 2563617194 win 64240 ttl 63 <mss 1460,sackok,ts 1971648949 0,nop,ws 10>"},
	{"linux-syn-v6", SYN,
		"[2001:db8:2::7]:48440 > [2001:db8:1::1]:80 SYN seq 4115309187 win 64800 ttl 63 <mss 1440,sackok,ts 4209548225 0,nop,ws 10>"},
	{"linux-synack-loopback-v4", SYNACK,
		"127.0.0.1:8443 > 127.0.0.1:42870 SYN-ACK seq 4280233720 ack 2319862484 win 65483 ttl 64 <mss 65495,sackok,ts 3583387868 477121306,nop,ws 10>"},
	{"linux-synack-loopback-v6", SYNACK,
		"[::1]:8443 > [::1]:50024 SYN-ACK seq 418455490 ack 1969308224 win 65464 ttl 64 <mss 65476,sackok,ts 3420009955 203907676,nop,ws 10>"},
	{"linux-synack-mss-v4", SYNACK,
		"198.51.100.7:443 > 192.0.2.1:40000 SYN-ACK seq 1348946656 ack 1001 win 64240 ttl 63 <mss 1460>"},
	{"linux-synack-mss-v6", SYNACK,
		"[2001:db8:2::7]:443 > [2001:db8:1::1]:40000 SYN-ACK seq 3388550422 ack 1001 win 64800 ttl 63 <mss 1440>"},
	{"linux-synack-record-route-v4", SYNACK,
		"198.51.100.7:443 > 192.0.2.1:34112 SYN-ACK seq 770613356 ack 1923426678 win 65160 ttl 63 <mss 1460,sackok,ts 679913028 2335284756,nop,ws 10>"},
	{"linux-synack-v4", SYNACK,
		"198.51.100.7:443 > 192.0.2.1:42752 SYN-ACK seq 871391243 ack 1365367673 win 65160 ttl 63 <mss 1460,sackok,ts 1393748348 1879713311,nop,ws 10>"},
	{"linux-synack-v6", SYNACK,
		"[2001:db8:2::7]:443 > [2001:db8:1::1]:45786 SYN-ACK seq 2639447134 ack 3939739207 win 64260 ttl 63 <mss 1440,sackok,ts 2245393075 3588703304,nop,ws 10>"},
	{"linux-ttl-exceeded-v4", ICMP,
		"192.0.2.254 > 192.0.2.1 ICMP TTL exceeded (type 11 code 0) ttl 64 about 192.0.2.1:34110 > 198.51.100.7:443 seq 181484738"},
}

// unfinished are the packets whose TCP checksum the kernel left to a network card that is not there.
func unfinished(name string) bool { return strings.Contains(name, "loopback") }

// incomplete are the packets whose TCP or ICMP checksum covers bytes that are not there.
func incomplete(name string) bool {
	return strings.Contains(name, "snap") || strings.Contains(name, "fragment-v4")
}

func TestGolden(t *testing.T) {
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) {
			pkt := unhex(t, g.name)
			var r Reply
			if err := Decode(pkt, false, &r); err != nil {
				t.Fatal(err)
			}
			if r.Kind != g.kind {
				t.Errorf("kind %v, want %v", r.Kind, g.kind)
			}
			if got := Describe(pkt); got != g.line {
				t.Errorf("described as\n%s, want\n%s", got, g.line)
			}
			checkAgainstGopacket(t, pkt, &r)
			checkAgainstTcpdump(t, tcpdump(t, g.name), &r)
			var want error
			if unfinished(g.name) {
				want = ErrChecksum
			}
			if err := Decode(pkt, true, &r); err != want {
				t.Errorf("with checksums verified: %v, want %v", err, want)
			}
		})
	}
}

// checkAgainstTcpdump looks for the numbers of a segment in tcpdump's words for it.
func checkAgainstTcpdump(t *testing.T, said string, r *Reply) {
	t.Helper()
	numbers := []string{fmt.Sprintf("seq %d", r.Seq), fmt.Sprintf("win %d,", r.Window)}
	if r.Flags&FlagACK != 0 {
		numbers = append(numbers, fmt.Sprintf("ack %d,", r.Ack))
	}
	if r.Kind == ICMP {
		numbers = []string{r.Responder.String() + " > "} // of a short quote it says no more
	}
	for _, number := range numbers {
		if !strings.Contains(said, number) {
			t.Errorf("%q is not in what tcpdump says: %s", number, said)
		}
	}
}

func TestGoldenTableIsComplete(t *testing.T) {
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) != len(goldens) {
		t.Errorf("%d files and %d lines in the table, %v", len(files), len(goldens), err)
	}
}

// A packet that ends early says the same or nothing, whether a capture cut it (the header still says how long it was)
// or its sender did (the header agrees with what is there).
func TestGoldenTruncated(t *testing.T) {
	for _, g := range goldens {
		pkt := unhex(t, g.name)
		for n := range pkt {
			checkTruncated(t, g.name, g.kind, pkt[:n:n])
			checkTruncated(t, g.name, g.kind, withLength(pkt[:n:n]))
		}
	}
}

func checkTruncated(t *testing.T, name string, kind Kind, pkt []byte) {
	t.Helper()
	var r Reply
	err := Decode(pkt, false, &r)
	switch {
	case err == nil && r.Kind == kind:
		checkAgainstGopacket(t, pkt, &r)
	case !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrMalformed):
		t.Errorf("%s cut to %d bytes: kind %v, error %v", name, len(pkt), r.Kind, err)
	}
	if Describe(pkt) == "" {
		t.Errorf("%s cut to %d bytes has no description", name, len(pkt))
	}
}

// withLength returns a copy of a packet whose header gives the length that the packet has.
func withLength(pkt []byte) []byte {
	b := append([]byte(nil), pkt...)
	switch {
	case len(b) >= ipv4Header && b[0]>>4 == 4:
		b[2], b[3] = byte(len(b)>>8), byte(len(b))
	case len(b) >= ipv6Header && b[0]>>4 == 6:
		b[4], b[5] = byte((len(b)-ipv6Header)>>8), byte(len(b)-ipv6Header)
	}
	return b
}

// With checksums verified, no single damaged bit of a whole packet gets through, save in what no checksum covers:
// the first four bytes, the length and the hop limit of IPv6, and the link's padding.
func TestGoldenDamaged(t *testing.T) {
	for _, g := range goldens {
		if unfinished(g.name) || incomplete(g.name) {
			continue
		}
		pkt := unhex(t, g.name)
		for bit := range 8 * announced(pkt) {
			if at := bit / 8; pkt[0]>>4 == 6 && (at < 6 || at == 7) {
				continue
			}
			pkt[bit/8] ^= 0x80 >> (bit % 8)
			var r Reply
			if err := Decode(pkt, true, &r); err == nil {
				t.Errorf("%s with bit %d of byte %d damaged is accepted", g.name, bit%8, bit/8)
			}
			pkt[bit/8] ^= 0x80 >> (bit % 8)
		}
	}
}
