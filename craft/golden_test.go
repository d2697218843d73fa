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
// lines of each file say which stack sent the packet and how it was captured, or that it was composed: see testdata/README.md.
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
	{"composed-port-unreachable-quote8-v4", ICMP,
		"198.51.100.7 > 192.0.2.1 ICMP port unreachable (type 3 code 3) ttl 250 about 192.0.2.1:40000 > 198.51.100.7:443 seq 1000"},
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
	{"freebsd-host-unreachable-v4", ICMP,
		"198.51.100.7 > 198.51.100.1 ICMP host unreachable (type 3 code 1) ttl 64 about 198.51.100.1:40000 > 203.0.113.9:443 seq 3122197017"},
	{"freebsd-rstack-v4", RST,
		"198.51.100.7:9 > 198.51.100.1:40000 RST-ACK seq 0 ack 911674585 win 0 ttl 64"},
	{"freebsd-synack-mss-v4", SYNACK,
		"198.51.100.7:443 > 198.51.100.1:40006 SYN-ACK seq 1944608871 ack 115117407 win 65535 ttl 64 <mss 1460>"},
	{"freebsd-synack-v4", SYNACK,
		"198.51.100.7:443 > 198.51.100.1:40009 SYN-ACK seq 2843278695 ack 1176198635 win 65535 ttl 64 <mss 1460,nop,ws 6,sackok,ts 2300881982 1>"},
	{"freebsd-ttl-exceeded-v4", ICMP,
		"198.51.100.7 > 198.51.100.1 ICMP TTL exceeded (type 11 code 0) ttl 64 about 198.51.100.1:40006 > 203.0.113.9:443 seq 4037248797"},
	{"gvisor-address-unreachable-v6", ICMP,
		"2001:db8:2::7 > 2001:db8:1::1 ICMPv6 address unreachable (type 1 code 3) ttl 64 about [2001:db8:1::1]:40002 > [2001:db8:2::50]:443 seq 3153970111"},
	{"gvisor-hop-limit-exceeded-v6", ICMP,
		"2001:db8:2::7 > 2001:db8:1::1 ICMPv6 hop limit exceeded (type 3 code 0) ttl 64 about [2001:db8:1::1]:40003 > [2001:db8:9::9]:443 seq 828673993"},
	{"gvisor-host-unreachable-v4", ICMP,
		"198.51.100.7 > 192.0.2.1 ICMP host unreachable (type 3 code 1) ttl 64 about 192.0.2.1:40001 > 198.51.100.50:443 seq 1283072500"},
	{"gvisor-net-unreachable-v4", ICMP,
		"198.51.100.7 > 192.0.2.1 ICMP net unreachable (type 3 code 0) ttl 64 about 192.0.2.1:40005 > 203.0.113.9:443 seq 2120491348"},
	{"gvisor-no-route-v6", ICMP,
		"2001:db8:2::7 > 2001:db8:1::1 ICMPv6 no route (type 1 code 0) ttl 64 about [2001:db8:1::1]:40005 > [2001:db8:9::9]:443 seq 2964046413"},
	{"gvisor-rstack-v4", RST,
		"198.51.100.7:9 > 192.0.2.1:40001 RST-ACK seq 0 ack 2163231212 win 0 ttl 64"},
	{"gvisor-rstack-v6", RST,
		"[2001:db8:2::7]:9 > [2001:db8:1::1]:40001 RST-ACK seq 0 ack 1596302289 win 0 ttl 64"},
	{"gvisor-synack-mss-v4", SYNACK,
		"198.51.100.7:443 > 192.0.2.1:40002 SYN-ACK seq 2090173708 ack 3041420615 win 29184 ttl 64 <mss 1460>"},
	{"gvisor-synack-mss-v6", SYNACK,
		"[2001:db8:2::7]:443 > [2001:db8:1::1]:40000 SYN-ACK seq 1947714106 ack 2610614970 win 28800 ttl 64 <mss 1440>"},
	{"gvisor-synack-v4", SYNACK,
		"198.51.100.7:443 > 192.0.2.1:40005 SYN-ACK seq 3038527613 ack 2057069328 win 29184 ttl 64 <mss 1460,sackok,ts 1003068254 1,nop,ws 7>"},
	{"gvisor-synack-v6", SYNACK,
		"[2001:db8:2::7]:443 > [2001:db8:1::1]:40006 SYN-ACK seq 918152152 ack 1078812887 win 28800 ttl 64 <mss 1440,sackok,ts 405843626 1,nop,ws 7>"},
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
	{"lwip-rstack-v4", RST,
		"198.51.100.7:9 > 192.0.2.1:40002 RST-ACK seq 0 ack 4058049173 win 65407 ttl 255"},
	{"lwip-rstack-v6", RST,
		"[2001:db8:2::7]:9 > [2001:db8:2::1]:40001 RST-ACK seq 0 ack 3113830667 win 65407 ttl 255"},
	{"lwip-synack-mss-v4", SYNACK,
		"198.51.100.7:443 > 192.0.2.1:40003 SYN-ACK seq 6510 ack 2591315545 win 65535 ttl 255 <mss 1460>"},
	{"lwip-synack-mss-v6", SYNACK,
		"[2001:db8:2::7]:443 > [2001:db8:2::1]:40008 SYN-ACK seq 6511 ack 2261954735 win 65535 ttl 255 <mss 1440>"},
	{"lwip-synack-v4", SYNACK,
		"198.51.100.7:443 > 192.0.2.1:40007 SYN-ACK seq 6512 ack 2438135613 win 65535 ttl 255 <mss 1460,nop,ws 1>"},
	{"lwip-synack-v6", SYNACK,
		"[2001:db8:2::7]:443 > [2001:db8:2::1]:40006 SYN-ACK seq 6514 ack 1219041225 win 65535 ttl 255 <mss 1440,nop,ws 1>"},
	{"passt-rst-v4", RST,
		"198.51.100.7:9 > 198.51.100.1:40009 RST seq 495004376 win 14600 ttl 255"},
	{"passt-rst-v6", RST,
		"[2001:db8:2::7]:9 > [2001:db8:2::1]:40004 RST seq 2462200367 win 14600 ttl 255"},
	{"passt-synack-mss-v4", SYNACK,
		"198.51.100.7:443 > 198.51.100.1:40006 SYN-ACK seq 1975208660 ack 883626134 win 65535 ttl 255 <mss 61440,nop,ws 8>"},
	{"passt-synack-mss-v6", SYNACK,
		"[2001:db8:2::7]:443 > [2001:db8:2::1]:40000 SYN-ACK seq 1387983200 ack 2826849511 win 65535 ttl 255 <mss 61440,nop,ws 8>"},
	{"passt-synack-v4", SYNACK,
		"198.51.100.7:443 > 198.51.100.1:40005 SYN-ACK seq 881617784 ack 2643467224 win 65535 ttl 255 <mss 61440,nop,ws 8>"},
	{"passt-synack-v6", SYNACK,
		"[2001:db8:2::7]:443 > [2001:db8:2::1]:40008 SYN-ACK seq 2095597827 ack 3629094913 win 65535 ttl 255 <mss 61440,nop,ws 8>"},
	{"picotcp-port-unreachable-quote8-v4", ICMP,
		"198.51.100.7 > 198.51.100.1 ICMP port unreachable (type 3 code 3) ttl 64 about 198.51.100.1:40002 > 198.51.100.7:9 seq 2319164793"},
	{"picotcp-synack-mss-v4", SYNACK,
		"198.51.100.7:443 > 198.51.100.1:40006 SYN-ACK seq 2232148305 ack 1688891191 win 16384 ttl 64 <mss 1460,sackok,ws 0,ts 602738644 0,nop,nop,nop,nop,eol>"},
	{"picotcp-synack-v4", SYNACK,
		"198.51.100.7:443 > 198.51.100.1:40008 SYN-ACK seq 2649661152 ack 3985329476 win 16384 ttl 64 <mss 1460,sackok,ws 0,ts 602743052 1,nop,nop,nop,nop,eol>"},
	{"picotcp-ttl-exceeded-quote8-v4", ICMP,
		"198.51.100.7 > 198.51.100.1 ICMP TTL exceeded (type 11 code 0) ttl 64 about 198.51.100.1:40004 > 203.0.113.9:443 seq 2291213434"},
	{"slirp-address-unreachable-v6", ICMP,
		"fe80::2 > fd00::caa:5bff:fe27:72d4 ICMPv6 address unreachable (type 1 code 3) ttl 255 about [fd00::caa:5bff:fe27:72d4]:40009 > [2001:db8:9::8]:443 seq 3640493270"},
	{"slirp-host-unreachable-v4", ICMP,
		"198.51.100.2 > 198.51.100.100 ICMP host unreachable (type 3 code 1) ttl 255 about 198.51.100.100:40006 > 203.0.113.8:443 seq 2939159785"},
	{"slirp-net-unreachable-v4", ICMP,
		"198.51.100.2 > 198.51.100.100 ICMP net unreachable (type 3 code 0) ttl 255 about 198.51.100.100:40008 > 203.0.113.9:443 seq 1518063882"},
	{"slirp-no-route-v6", ICMP,
		"fe80::2 > fd00::caa:5bff:fe27:72d4 ICMPv6 no route (type 1 code 0) ttl 255 about [fd00::caa:5bff:fe27:72d4]:40007 > [2001:db8:9::9]:443 seq 930391547"},
	{"slirp-rstack-v4", RST,
		"198.51.100.2:9 > 198.51.100.100:40003 RST-ACK seq 0 ack 4248726579 win 65535 ttl 64"},
	{"slirp-rstack-v6", RST,
		"[fd00::2]:9 > [fd00::caa:5bff:fe27:72d4]:40000 RST-ACK seq 0 ack 4134601985 win 65535 ttl 255"},
	{"slirp-synack-v4", SYNACK,
		"198.51.100.2:443 > 198.51.100.100:40008 SYN-ACK seq 320001 ack 3315500678 win 65535 ttl 64 <mss 1460>"},
	{"slirp-synack-v6", SYNACK,
		"[fd00::2]:443 > [fd00::caa:5bff:fe27:72d4]:40001 SYN-ACK seq 448001 ack 1925309681 win 65535 ttl 255 <mss 1440>"},
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
