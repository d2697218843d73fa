package craft

import (
	"net/netip"
	"testing"
)

var destinations = map[bool]netip.Addr{
	true:  netip.MustParseAddr("198.51.100.7"),
	false: netip.MustParseAddr("2001:db8:2::7"),
}

func BenchmarkPut(b *testing.B) {
	for _, source := range []netip.Addr{source4, source6} {
		for style := range numStyles {
			b.Run(family(source)+"/"+style.String(), func(b *testing.B) {
				benchmarkPut(b, newSYN(b, Spec{Source: source, Style: style}), destinations[source.Is4()])
			})
		}
	}
}

func benchmarkPut(b *testing.B, tmpl *Template, dst netip.Addr) {
	buf := make([]byte, FrameSize)
	seq := uint32(1)
	b.ReportAllocs()
	for b.Loop() {
		seq += 0x9e3779b9
		tmpl.Put(buf, dst, 40000, 443, seq, seq)
	}
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "v4"
	}
	return "v6"
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"linux-synack-v4", "linux-synack-v6", "linux-rstack-v4", "linux-port-unreachable-v4", "linux-port-unreachable-v6"} {
		for _, verify := range []bool{false, true} {
			suffix := ""
			if verify {
				suffix = "/verify"
			}
			b.Run(name+suffix, func(b *testing.B) { benchmarkDecode(b, unhex(b, name), verify) })
		}
	}
}

func benchmarkDecode(b *testing.B, pkt []byte, verify bool) {
	var r Reply
	b.ReportAllocs()
	for b.Loop() {
		if err := Decode(pkt, verify, &r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseOptions(b *testing.B) {
	raw := []byte(wantOptions[Linux])
	b.ReportAllocs()
	for b.Loop() {
		if ParseOptions(raw).MSS != 1460 {
			b.Fatal("wrong MSS")
		}
	}
}

func TestNoAllocs(t *testing.T) {
	buf := make([]byte, FrameSize)
	for _, source := range []netip.Addr{source4, source6} {
		for style := range numStyles {
			tmpl := newSYN(t, Spec{Source: source, Style: style})
			noAllocs(t, "Put "+family(source)+" "+style.String(), func() { tmpl.Put(buf, source, 1, 2, 3, 4) })
		}
	}
	for _, g := range goldens {
		pkt := unhex(t, g.name)
		var r Reply
		noAllocs(t, "Decode "+g.name, func() {
			_ = Decode(pkt, false, &r)
			_ = Decode(pkt, true, &r)
			_ = Decode(pkt[:len(pkt)/2], true, &r)
		})
		noAllocs(t, "options of "+g.name, func() {
			_ = ParseOptions(r.Options)
			_ = AppendOptions(buf[:0], r.Options)
			for range OptionKinds(r.Options) {
			}
		})
	}
}

func noAllocs(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(100, f); n != 0 {
		t.Errorf("%s: %v allocations", what, n)
	}
}
