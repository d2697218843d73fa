package target

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func compareTargets(a, b netip.AddrPort) int { return a.Compare(b) }

// listOf makes a list.
func listOf(endpoints ...netip.AddrPort) *List {
	var l List
	for _, t := range endpoints {
		l.Add(t)
	}
	return &l
}

// roundTrip packs a list, reads it back and fails when it is another.
func roundTrip(t testing.TB, l *List) (packed []byte) {
	t.Helper()
	before := slices.SortedFunc(l.All(), compareTargets)
	packed, err := l.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var got List
	if err := got.UnmarshalText(packed); err != nil {
		t.Fatal(err)
	}
	for _, list := range []*List{l, &got} {
		if after := slices.SortedFunc(list.All(), compareTargets); !slices.Equal(after, before) || list.Len() != len(before) {
			t.Errorf("got %v, want %v", after, before)
		}
	}
	return packed
}

func TestList(t *testing.T) {
	for _, list := range [][]string{
		nil,
		{"0.0.0.0:0"},
		{"255.255.255.255:65535", "0.0.0.0:0"},
		{"10.0.0.1:80", "10.0.0.1:443", "10.0.0.1:80"}, // twice stays twice
		{"[::]:0", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
		{"[2001:db8::1]:80", "[2001:db8::1]:81", "[2001:db8::2]:1", "[2001:db8:0:1::]:1", "[2001:db8:0:1::]:0"},
		{"[::ffff:10.0.0.1]:80", "10.0.0.1:80"}, // a mapped address stays one
		{"[fe80::1%eth0]:80", "[fe80::1%eth1]:80", "[fe80::1]:80"},
	} {
		var l List
		l.Grow(2)
		for _, s := range list {
			l.Add(netip.MustParseAddrPort(s))
		}
		if l.Len() != len(list) {
			t.Errorf("%q: %d endpoints", list, l.Len())
		}
		roundTrip(t, &l)
	}
	if _, err := listOf(netip.AddrPort{}).MarshalText(); err == nil {
		t.Error("an endpoint without an address is packed")
	}
}

func randomList(r *rand.Rand, n int, v6 bool) *List {
	var l List
	for range n {
		addr := netip.AddrFrom4([4]byte{10, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
		if v6 {
			b := [16]byte{0x20, 1, 0xd, 0xb8, 7: byte(r.Uint32()), 15: byte(r.Uint32())}
			b[13], b[14] = byte(r.Uint32()), byte(r.Uint32())
			addr = netip.AddrFrom16(b)
		}
		l.Add(netip.AddrPortFrom(addr, uint16(80+r.UintN(3))))
	}
	return &l
}

// TestListSize holds the promise of the docs: a million of a /8 take about 4 MB.
func TestListSize(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, test := range []struct {
		v6  bool
		max float64
	}{{false, 6}, {true, 9}} {
		const n = 50_000 // as dense as a million in 20 /8s: the differences are larger than in the promise
		if each := float64(len(roundTrip(t, randomList(r, n, test.v6)))) / n; each > test.max {
			t.Errorf("v6=%v: %.1f bytes a target, want at most %v", test.v6, each, test.max)
		}
	}
	const million = 1 << 20
	packed, err := randomList(r, million, false).MarshalText()
	if err != nil || len(packed) > 4.5*million {
		t.Errorf("a million take %d bytes", len(packed))
	}
}

// FuzzList: no text panics or takes more memory than its length allows, and what is read packs to the same again.
func FuzzList(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, targets := range []*List{{}, randomList(r, 3, false), randomList(r, 3, true), listOf(netip.MustParseAddrPort("[fe80::1%e]:1"))} {
		packed, err := targets.MarshalText()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Add([]byte("//////////8B"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var l List
		if l.UnmarshalText(text) != nil {
			return
		}
		if l.Len() > len(text) {
			t.Fatalf("%d endpoints from %d bytes", l.Len(), len(text))
		}
		roundTrip(t, &l)
	})
}
