package craft

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

var (
	source4 = netip.MustParseAddr("192.0.2.1")
	source6 = netip.MustParseAddr("2001:db8:1::1")
)

func newSYN(tb testing.TB, spec Spec) *Template {
	tb.Helper()
	t, err := NewSYN(spec)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// probe is what one call of Put is given.
type probe struct {
	dst          netip.Addr
	sport, dport uint16
	seq, tsval   uint32
}

// TestPutEqualsGopacket holds each packet against one that gopacket serializes whole, checksums included.
func TestPutEqualsGopacket(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, v6 := range []bool{false, true} {
		for style := range numStyles {
			t.Run(fmt.Sprintf("%v/v6=%v", style, v6), func(t *testing.T) {
				for range 500 {
					spec := randomSpec(rnd, v6, style)
					syn := newSYN(t, spec)
					rst, err := NewRST(spec)
					if err != nil {
						t.Fatal(err)
					}
					for range 5 {
						p := randomProbe(rnd, v6)
						checkPut(t, syn, p, serialize(t, spec, p, synLayer(spec, p)))
						checkPut(t, rst, p, serialize(t, spec, p, rstLayer(p)))
					}
				}
			})
		}
	}
}

// checkPut puts a packet into the middle of a poisoned buffer: each byte of the packet must be written, and no other.
func checkPut(t *testing.T, tmpl *Template, p probe, want []byte) {
	t.Helper()
	b := bytes.Repeat([]byte{0xa5}, FrameSize+Headroom)
	n := tmpl.Put(b[Headroom:], p.dst, p.sport, p.dport, p.seq, p.tsval)
	if n != tmpl.Len() || !bytes.Equal(b[Headroom:Headroom+n], want) {
		t.Fatalf("%+v\nput      % x\ngopacket % x", p, b[Headroom:Headroom+n], want)
	}
	rest := append(b[:Headroom:Headroom], b[Headroom+n:]...)
	if len(bytes.Trim(rest, "\xa5")) != 0 {
		t.Fatalf("bytes outside the packet were written: % x", b)
	}
}

func randomSpec(rnd *rand.Rand, v6 bool, style Style) Spec {
	s := Spec{Source: randomAddr(rnd, v6), Style: style, TTL: uint8(rnd.Uint32()), TOS: uint8(rnd.Uint32())}
	s.Window = uint16(rnd.Uint32()) & uint16(-rnd.IntN(2)) // zero half of the time
	if style != NoOptions {
		s.MSS = uint16(rnd.Uint32()) & uint16(-rnd.IntN(2))
	}
	return s
}

func randomProbe(rnd *rand.Rand, v6 bool) probe {
	return probe{randomAddr(rnd, v6), uint16(rnd.Uint32()), uint16(rnd.Uint32()), rnd.Uint32(), rnd.Uint32()}
}

// randomAddr returns a unicast address with long runs of zeros and ones, where checksums fold in odd ways.
func randomAddr(rnd *rand.Rand, v6 bool) netip.Addr {
	for {
		b := make([]byte, 4)
		if v6 {
			b = make([]byte, 16)
		}
		for i := range b {
			b[i] = []byte{0, 0xff, byte(rnd.Uint32())}[rnd.IntN(3)]
		}
		a, _ := netip.AddrFromSlice(b)
		if checkSource(a) == nil {
			return a
		}
	}
}

func serialize(t *testing.T, s Spec, p probe, tcp *layers.TCP) []byte {
	t.Helper()
	ttl := s.TTL
	if ttl == 0 {
		ttl = 64
	}
	src, dst := net.IP(s.Source.AsSlice()), net.IP(p.dst.AsSlice())
	var ip interface {
		gopacket.NetworkLayer
		gopacket.SerializableLayer
	}
	if s.Source.Is4() {
		ip = &layers.IPv4{Version: 4, TOS: s.TOS, Flags: layers.IPv4DontFragment, TTL: ttl, Protocol: 6, SrcIP: src, DstIP: dst}
	} else {
		ip = &layers.IPv6{Version: 6, TrafficClass: s.TOS, HopLimit: ttl, NextHeader: 6, SrcIP: src, DstIP: dst}
	}
	tcp.SrcPort, tcp.DstPort, tcp.Seq = layers.TCPPort(p.sport), layers.TCPPort(p.dport), p.seq
	b := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	if err := gopacket.SerializeLayers(b, opts, ip, tcp); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func rstLayer(probe) *layers.TCP { return &layers.TCP{RST: true} }

// synLayer spells out what the docs promise, apart from the code.
func synLayer(s Spec, p probe) *layers.TCP {
	mss, window := s.MSS, s.Window
	if mss == 0 {
		mss = map[bool]uint16{true: 1460, false: 1440}[s.Source.Is4()]
	}
	if window == 0 {
		window = map[Style]uint16{MSSOnly: 65535, Linux: 64240, Windows: 64240, BSD: 65535, NoOptions: 65535}[s.Style]
	}
	tcp := &layers.TCP{SYN: true, Window: window}
	raw := []byte(wantOptions[s.Style])
	for kind, data := range OptionKinds(raw) {
		data = append([]byte(nil), data...)
		switch kind {
		case 2:
			data = []byte{byte(mss >> 8), byte(mss)}
		case 8:
			data = []byte{byte(p.tsval >> 24), byte(p.tsval >> 16), byte(p.tsval >> 8), byte(p.tsval), 0, 0, 0, 0}
		}
		tcp.Options = append(tcp.Options, layers.TCPOption{OptionType: layers.TCPOptionKind(kind), OptionData: data})
	}
	return tcp // the second end of list of BSD is gopacket's padding
}

// Every checksum comes up as the sequence number goes through 2^16 values, among them the 0 that must not become
// 0xffff.
func TestPutEveryChecksum(t *testing.T) {
	for _, source := range []netip.Addr{source4, source6} {
		spec := Spec{Source: source, Style: Linux}
		tmpl := newSYN(t, spec)
		b := make([]byte, tmpl.Len())
		seen := make(map[uint16]bool)
		for seq := range uint32(1 << 16) {
			tmpl.Put(b, source, 1, 2, seq, 0)
			segment := b[len(b)-40:]
			sum := uint16(segment[16])<<8 | uint16(segment[17])
			seen[sum] = true
			if sum == 0 || sum == 0xffff {
				p := probe{source, 1, 2, seq, 0}
				checkPut(t, tmpl, p, serialize(t, spec, p, synLayer(spec, p)))
			}
			var r Reply
			if err := Decode(b, true, &r); err != nil || r.Seq != seq {
				t.Fatalf("seq %d: %v, decoded %d", seq, err, r.Seq)
			}
		}
		if !seen[0] || seen[0xffff] || len(seen) != 0xffff {
			t.Errorf("%d checksums, 0: %v, 0xffff: %v", len(seen), seen[0], seen[0xffff])
		}
	}
}

func TestFrameHoldsEveryPacket(t *testing.T) {
	for style := range numStyles {
		if n := newSYN(t, Spec{Source: source6, Style: style}).Len(); n > FrameSize-Headroom {
			t.Errorf("%v: %d bytes do not fit", style, n)
		}
	}
}

func TestTemplateIsSharedSafely(t *testing.T) {
	tmpl := newSYN(t, Spec{Source: source4, Style: Linux})
	var group sync.WaitGroup
	for worker := range uint16(4) {
		group.Go(func() {
			b := make([]byte, tmpl.Len())
			for port := range uint16(1000) {
				tmpl.Put(b, source4, worker, port, uint32(port), 1)
				var r Reply
				if err := Decode(b, true, &r); err != nil || r.RemotePort != worker || r.LocalPort != port {
					t.Errorf("worker %d port %d: %v, %+v", worker, port, err, r)
				}
			}
		})
	}
	group.Wait()
}

// A zone names an interface of this host; a packet does not carry it.
func TestZonesAreIgnored(t *testing.T) {
	dst := netip.MustParseAddr("fe80::2%eth0")
	b := make([]byte, FrameSize)
	n := newSYN(t, Spec{Source: netip.MustParseAddr("fe80::1%eth0")}).Put(b, dst, 1, 2, 3, 4)
	var r Reply
	if err := Decode(b[:n], true, &r); err != nil || r.Local != dst.WithZone("") || r.Remote.Zone() != "" {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestBadSpecs(t *testing.T) {
	for _, v := range []struct {
		spec Spec
		want string
	}{
		{Spec{}, "no source address"},
		{Spec{Source: netip.MustParseAddr("::ffff:192.0.2.1")}, "use 192.0.2.1"},
		{Spec{Source: netip.IPv4Unspecified()}, "cannot send TCP"},
		{Spec{Source: netip.IPv6Unspecified()}, "cannot send TCP"},
		{Spec{Source: netip.MustParseAddr("224.0.0.1")}, "cannot send TCP"},
		{Spec{Source: source4, Style: numStyles}, "unknown style"},
		{Spec{Source: source4, Style: NoOptions, MSS: 1400}, "MSS 1400"},
	} {
		if _, err := NewSYN(v.spec); err == nil || !strings.Contains(err.Error(), v.want) {
			t.Errorf("NewSYN(%+v): %v, want %q", v.spec, err, v.want)
		}
	}
	if _, err := NewRST(Spec{}); err == nil || !strings.Contains(err.Error(), "no source address") {
		t.Errorf("NewRST: %v", err)
	}
}

func TestPutPanics(t *testing.T) {
	long := make([]byte, FrameSize)
	mapped := netip.MustParseAddr("::ffff:192.0.2.1")
	syn4, syn6 := newSYN(t, Spec{Source: source4}), newSYN(t, Spec{Source: source6})
	for _, v := range []struct {
		name string
		tmpl *Template
		b    []byte
		dst  netip.Addr
	}{
		{"short buffer", syn4, long[:syn4.Len()-1], source4},
		{"short buffer", syn6, long[: syn6.Len()-1 : syn6.Len()-1], source6},
		{"v6 destination", syn4, long, source6},
		{"v4 destination", syn6, long, source4},
		{"mapped destination", syn4, long, mapped},
		{"mapped destination", syn6, long, mapped},
		{"no destination", syn4, long, netip.Addr{}},
		{"no destination", syn6, long, netip.Addr{}},
	} {
		if !panics(func() { v.tmpl.Put(v.b, v.dst, 1, 2, 3, 4) }) {
			t.Errorf("%s: no panic", v.name)
		}
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}
