package match

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rawshake/rawshake/craft"
	"golang.org/x/net/bpf"
)

// goldens reads the packets that craft keeps, real ones and composed ones, by the names of their files.
func goldens(tb testing.TB) map[string][]byte {
	tb.Helper()
	files, err := filepath.Glob("../craft/testdata/*.hex")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no golden packets: %v", err)
	}
	all := map[string][]byte{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		var digits strings.Builder
		for line := range strings.Lines(string(text)) {
			field, _, _ := strings.Cut(line, "#")
			digits.WriteString(strings.TrimSpace(field))
		}
		if all[filepath.Base(name)], err = hex.DecodeString(digits.String()); err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
	}
	return all
}

// passes runs the filter of a packet's family.
func passes(tb testing.TB, pkt []byte, ports []uint16) bool {
	tb.Helper()
	prog, err := Filter(isV6(pkt), ports)
	if err != nil {
		tb.Fatal(err)
	}
	ins, ok := bpf.Disassemble(prog)
	if !ok {
		tb.Fatal("the filter has instructions that nobody knows")
	}
	vm, err := bpf.NewVM(ins) // refuses jumps beyond the end
	if err != nil {
		tb.Fatalf("%d ports: %v", len(ports), err)
	}
	n, err := vm.Run(pkt)
	if err != nil {
		tb.Fatal(err)
	}
	if n != 0 && n != snapLength {
		tb.Fatalf("the filter returns %d", n)
	}
	return n != 0
}

func isV6(pkt []byte) bool { return len(pkt) > 0 && pkt[0]>>4 == 6 }

// FuzzFilterAgrees holds the filter against craft.Decode: what Decode takes for a reply to one of the ports must pass, and what
// passes and decodes must be to one of them.
func FuzzFilterAgrees(f *testing.F) {
	for _, pkt := range goldens(f) {
		for _, n := range []uint8{1, 4, 64} {
			f.Add(pkt, n, uint64(n), true)
			f.Add(pkt, n, uint64(n), false)
		}
		f.Add(pkt[:len(pkt)/2], uint8(3), uint64(1), true)
	}
	f.Fuzz(func(t *testing.T, pkt []byte, n uint8, seed uint64, mine bool) {
		var r craft.Reply
		err := craft.Decode(pkt, false, &r)
		set, ports := somePorts(int(n)%MaxPorts+1, seed, r.LocalPort, mine)
		passed := passes(t, pkt, ports)
		if err == nil && r.Kind != craft.Other && set[r.LocalPort] && !passed {
			t.Errorf("the filter drops %s, to one of %v", craft.Describe(pkt), ports)
		}
		if err == nil && !set[r.LocalPort] && passed {
			t.Errorf("the filter passes %s, to none of %v", craft.Describe(pkt), ports)
		}
	})
}

// somePorts makes n different ports, among them the given one if mine.
func somePorts(n int, seed uint64, port uint16, mine bool) (map[uint16]bool, []uint16) {
	rnd := rand.New(rand.NewPCG(seed, 8))
	set := map[uint16]bool{}
	var ports []uint16
	for len(ports) < n {
		p := uint16(rnd.Uint32())
		if seed%2 == 0 {
			p = port + uint16(rnd.IntN(200)) - 100 // near it
		}
		if len(ports) == n/2 && mine {
			p = port
		}
		if !set[p] {
			set[p] = true
			ports = append(ports, p)
		} else if mine && p == port {
			n = len(ports) // it is in the set already
		}
	}
	return set, ports
}

// FuzzClassify holds Claims and Verdict against the headers themselves: nothing but a SYN-ACK, a RST with ACK and an ICMP error
// answers a SYN, each of the ISNs that it names, and each means what it is.
func FuzzClassify(f *testing.F) {
	for _, pkt := range goldens(f) {
		f.Add(pkt)
	}
	f.Fuzz(func(t *testing.T, pkt []byte) {
		var r craft.Reply
		if craft.Decode(pkt, false, &r) != nil {
			return
		}
		want, means := claimed(pkt)
		isns, n := Claims(&r)
		if !slices.Equal(isns[:n], want) {
			t.Fatalf("%s claims %d, want %d", craft.Describe(pkt), isns[:n], want)
		}
		if n == 0 {
			return
		}
		if state, reason := Verdict(&r); state != means || reason == NoReason {
			t.Errorf("%s means %v %v, want %v", craft.Describe(pkt), state, reason, means)
		}
	})
}

// claimed reads a packet without craft, which has found it sound: the ISNs that it is about, and what it says about the target.
func claimed(pkt []byte) (isns []uint32, means State) {
	protocol, payload := unwrap(pkt)
	if protocol != 6 {
		_, quoted := unwrap(payload[8:])
		return []uint32{binary.BigEndian.Uint32(quoted[4:])}, Unreachable
	}
	ack := binary.BigEndian.Uint32(payload[8:])
	switch flags := payload[13]; {
	case flags&0x14 == 0x14: // RST, ACK
		return []uint32{ack - 1, ack}, Closed
	case flags&0x16 == 0x12: // SYN, ACK, no RST
		return []uint32{ack - 1}, Open
	}
	return nil, Unsent
}

// unwrap takes the IP header off.
func unwrap(pkt []byte) (protocol byte, payload []byte) {
	if isV6(pkt) {
		return pkt[6], pkt[40:]
	}
	return pkt[9], pkt[int(pkt[0]&15)*4:]
}

func TestFilterOfGoldens(t *testing.T) {
	for name, pkt := range goldens(t) {
		var r craft.Reply
		if err := craft.Decode(pkt, false, &r); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !passes(t, pkt, []uint16{r.LocalPort}) {
			t.Errorf("%s does not pass", name)
		}
		if passes(t, pkt, []uint16{r.LocalPort - 1, r.LocalPort + 1}) {
			t.Errorf("%s passes for other ports", name)
		}
		for n := range pkt { // whatever a truncated packet does, the two agree
			ok := craft.Decode(pkt[:n], false, &r) == nil
			if passed := passes(t, pkt[:n], []uint16{40000}); ok && r.LocalPort == 40000 && !passed {
				t.Errorf("%s, cut at %d, does not pass", name, n)
			}
		}
	}
}

// Every number of ports, and each port of a set: the jumps are right.
func TestFilterJumps(t *testing.T) {
	for _, six := range []bool{false, true} {
		pkt := segmentTo(six)
		at := len(pkt) - 20 + 2
		for n := 1; n <= MaxPorts; n++ {
			set, ports := somePorts(n, uint64(n)|1, 40000, true)
			for _, p := range append([]uint16{0, 1, 39999, 65535}, ports...) {
				for _, p := range []uint16{p - 1, p, p + 1} {
					binary.BigEndian.PutUint16(pkt[at:], p)
					if got := passes(t, pkt, ports); got != set[p] {
						t.Fatalf("v6 %v, %d ports: %d passes: %v", six, n, p, got)
					}
				}
			}
		}
	}
}

// segmentTo makes a SYN, to whatever port.
func segmentTo(six bool) []byte {
	from, to := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("192.0.2.1")
	if six {
		from, to = netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("2001:db8::1")
	}
	tmpl, err := craft.NewRST(craft.Spec{Source: from})
	if err != nil {
		panic(err)
	}
	b := make([]byte, craft.FrameSize)
	return b[:tmpl.Put(b, to, 443, 1, 7, 0)]
}

func TestFilterDropsOthers(t *testing.T) {
	ports := []uint16{40000}
	for _, six := range []bool{false, true} {
		good := segmentTo(six)
		binary.BigEndian.PutUint16(good[len(good)-18:], 40000)
		if !passes(t, good, ports) {
			t.Fatal("the segment to start from does not pass")
		}
		proto, header := 9, 20
		if six {
			proto, header = 6, 40
		}
		for name, spoil := range map[string]func([]byte){
			"UDP":                      func(b []byte) { b[proto] = 17 },
			"ICMP of the other family": func(b []byte) { b[proto], b[header] = map[bool]byte{false: 58, true: 1}[six], 3 },
			"an echo request": func(b []byte) {
				b[proto], b[header] = map[bool]byte{false: 1, true: 58}[six], map[bool]byte{false: 8, true: 128}[six]
			},
		} {
			pkt := append([]byte(nil), good...)
			spoil(pkt)
			if passes(t, pkt, ports) {
				t.Errorf("v6 %v: %s passes", six, name)
			}
		}
	}
	fragment := segmentTo(false)
	binary.BigEndian.PutUint16(fragment[22:], 40000)
	fragment[7] = 1
	if passes(t, fragment, ports) {
		t.Error("a later fragment passes")
	}
}

func TestFilterRefuses(t *testing.T) {
	for _, n := range []int{0, MaxPorts + 1} {
		if _, err := Filter(false, make([]uint16, n)); err == nil {
			t.Errorf("%d ports are accepted", n)
		}
	}
}
