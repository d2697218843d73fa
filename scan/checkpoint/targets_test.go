package checkpoint

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"testing"
)

func compareTargets(a, b netip.AddrPort) int { return a.Compare(b) }

func roundTrip(t testing.TB, targets Targets) (packed []byte) {
	t.Helper()
	before := slices.Clone(targets)
	packed, err := targets.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, targets) {
		t.Error("packing changed the targets")
	}
	var got Targets
	if err := got.UnmarshalText(packed); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, compareTargets)
	slices.SortFunc(before, compareTargets)
	if !slices.Equal(got, before) {
		t.Errorf("got %v, want %v", got, before)
	}
	return packed
}

func TestTargets(t *testing.T) {
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
		var targets Targets
		for _, s := range list {
			targets = append(targets, netip.MustParseAddrPort(s))
		}
		roundTrip(t, targets)
	}
}

func randomTargets(r *rand.Rand, n int, v6 bool) Targets {
	targets := make(Targets, n)
	for i := range targets {
		addr := netip.AddrFrom4([4]byte{10, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
		if v6 {
			b := [16]byte{0x20, 1, 0xd, 0xb8, 7: byte(r.Uint32()), 15: byte(r.Uint32())}
			b[13], b[14] = byte(r.Uint32()), byte(r.Uint32())
			addr = netip.AddrFrom16(b)
		}
		targets[i] = netip.AddrPortFrom(addr, uint16(80+r.UintN(3)))
	}
	return targets
}

// TestTargetsSize holds the promise of the docs: a million of a /8 take about 4 MB.
func TestTargetsSize(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, test := range []struct {
		v6  bool
		max float64
	}{{false, 6}, {true, 9}} {
		const n = 50_000 // as dense as a million in 20 /8s: the differences are larger than in the promise
		if each := float64(len(roundTrip(t, randomTargets(r, n, test.v6)))) / n; each > test.max {
			t.Errorf("v6=%v: %.1f bytes a target, want at most %v", test.v6, each, test.max)
		}
	}
	const million = 1 << 20
	packed, err := randomTargets(r, million, false).MarshalText()
	if err != nil || len(packed) > 4.5*million {
		t.Errorf("a million take %d bytes", len(packed))
	}
}

// FuzzTargets: no text panics or takes more memory than its length allows, and what is read packs to the same again.
func FuzzTargets(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, targets := range []Targets{nil, randomTargets(r, 3, false), randomTargets(r, 3, true), {netip.MustParseAddrPort("[fe80::1%e]:1")}} {
		packed, err := targets.MarshalText()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Add([]byte("//////////8B"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var targets Targets
		if targets.UnmarshalText(text) != nil {
			return
		}
		if len(targets) > len(text) {
			t.Fatalf("%d targets from %d bytes", len(targets), len(text))
		}
		roundTrip(t, targets)
	})
}

func FuzzDecode(f *testing.F) {
	content, err := encode(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Fuzz(func(t *testing.T, content []byte) { decode(content) })
}

func BenchmarkSave(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, n := range []int{30_000, 1 << 20} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			c := sample()
			c.Lanes[0].Pending = randomTargets(r, n, false)
			path := b.TempDir() + "/x"
			b.ReportAllocs()
			for b.Loop() {
				if err := Save(path, c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
