package craft

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket/pcapgo"
)

var record = flag.String("record", "", "write the first packet of this file of tcpdump's as a golden file of the same name: see testdata/README.md")

// TestGoldenAnnotations holds that each file says what its bytes are.
func TestGoldenAnnotations(t *testing.T) {
	for _, g := range goldens {
		text, err := os.ReadFile(filepath.Join("testdata", g.name+".hex"))
		if err != nil {
			t.Fatal(err)
		}
		_, fields, _ := strings.Cut(string(text), "\n\n")
		if want := annotate(unhex(t, g.name)); fields != want {
			t.Errorf("%s.hex has\n%swant\n%s", g.name, fields, want)
		}
	}
}

// TestRecord is how golden files are made.
func TestRecord(t *testing.T) {
	if *record == "" {
		return // it is no test
	}
	f, err := os.Open(*record)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	frame, _, err := r.ReadPacketData()
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command("tcpdump", "-tnnvSc1", "-r", *record).Output()
	if err != nil {
		t.Fatalf("tcpdump: %v", err)
	}
	const linkHeader = 14
	var b bytes.Buffer
	fmt.Fprintf(&b, "# what it is, of which stack and version\n# how it was captured\n# tcpdump: %s\n\n%s",
		strings.Join(strings.Fields(string(said)), " "), annotate(frame[linkHeader:]))
	name := strings.TrimSuffix(filepath.Base(*record), ".pcap")
	if err := os.WriteFile(filepath.Join("testdata", name+".hex"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// annotation takes a packet apart, a field a line.
type annotation struct {
	lines  strings.Builder
	rest   []byte
	quoted string // "quoted " once an ICMP error's quote is reached
}

func annotate(pkt []byte) string {
	a := &annotation{rest: pkt}
	length := announced(pkt)
	var padding []byte
	if length < len(pkt) {
		a.rest, padding = pkt[:length], pkt[length:]
	}
	a.packet()
	a.field(len(a.rest), "payload")
	a.rest, a.quoted = padding, ""
	a.field(len(padding), "padding of the link")
	return a.lines.String()
}

// field writes the next n bytes and what they are; of what was cut off, nothing.
func (a *annotation) field(n int, format string, args ...any) {
	n = min(n, len(a.rest))
	what := " # " + a.quoted + fmt.Sprintf(format, args...)
	for line := range slices.Chunk(a.rest[:n], 16) {
		fmt.Fprintf(&a.lines, "%-32s%s\n", hex.EncodeToString(line), what)
		what = ""
	}
	a.rest = a.rest[n:]
}

// number writes the next n bytes, which are a number.
func (a *annotation) number(n int, format string) { a.field(n, format+" %d", a.peek(n)) }

// peek returns the number in the next n bytes.
func (a *annotation) peek(n int) uint32 {
	var b [4]byte
	if len(a.rest) >= n {
		copy(b[4-n:], a.rest[:n])
	}
	return binary.BigEndian.Uint32(b[:])
}

func (a *annotation) address(n int, name string) {
	addr, _ := netip.AddrFromSlice(a.rest[:min(n, len(a.rest))])
	a.field(n, "%s %v", name, addr)
}

func (a *annotation) packet() {
	var proto uint32
	if a.peek(1)>>4 == 4 {
		proto = a.ipv4()
	} else {
		proto = a.ipv6()
	}
	switch proto {
	case protoTCP:
		a.tcp()
	case protoICMP, protoICMPv6:
		a.icmp(map[uint32]string{protoICMP: "ICMP", protoICMPv6: "ICMPv6"}[proto])
	}
}

func (a *annotation) ipv4() (proto uint32) {
	header := int(a.peek(1)&15) * 4
	a.field(1, "IPv4, header of %d bytes", header)
	a.field(1, "TOS %#02x", a.peek(1))
	a.number(2, "total length")
	a.number(2, "identification")
	flags := a.peek(2)
	a.field(2, "flags and offset %s%d", [4]string{"", "MF ", "DF ", "DF MF "}[flags>>13&3], flags&0x1fff)
	a.number(1, "TTL")
	proto = a.peek(1)
	a.number(1, "protocol")
	a.field(2, "header checksum")
	a.address(4, "source")
	a.address(4, "destination")
	a.field(header-20, "IP options")
	return proto
}

func (a *annotation) ipv6() (proto uint32) {
	a.field(4, "IPv6, traffic class, flow label")
	a.number(2, "payload length")
	proto = a.peek(1)
	a.number(1, "next header")
	a.number(1, "hop limit")
	a.address(16, "source")
	a.address(16, "destination")
	return proto
}

func (a *annotation) icmp(name string) {
	a.number(1, name+" type")
	a.number(1, "code")
	a.field(2, "checksum")
	a.field(4, "rest of the header: unused, or MTU")
	a.quoted = "quoted "
	a.packet()
}

func (a *annotation) tcp() {
	a.number(2, "source port")
	a.number(2, "destination port")
	a.number(4, "sequence number")
	a.number(4, "acknowledgment number")
	header := int(a.peek(1)>>4) * 4
	a.field(1, "TCP header of %d bytes", header)
	a.field(1, "flags %s", strings.ReplaceAll(flagNames(uint8(a.peek(1))), "-", " "))
	a.number(2, "window")
	a.field(2, "checksum")
	a.field(2, "urgent pointer")
	for end := len(a.rest) - (header - 20); header > 20 && len(a.rest) > max(end, 0); {
		a.option()
	}
}

var optionNames = map[byte]string{
	kindMSS: "MSS", kindScale: "window scale", kindSACKOK: "SACK permitted", kindTimestamps: "timestamps",
}

func (a *annotation) option() {
	switch kind := a.rest[0]; {
	case kind == kindEnd:
		a.field(1, "end of options")
	case kind == kindNop:
		a.field(1, "NOP")
	case len(a.rest) > 1 && a.rest[1] >= 2:
		a.field(int(a.rest[1]), "option: %s", optionNames[kind])
	default:
		a.field(len(a.rest), "malformed")
	}
}
