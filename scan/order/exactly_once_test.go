package order_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/rawshake/rawshake/scan/order"
	"github.com/rawshake/rawshake/scan/target"
)

// randomSpec describes a few overlapping prefixes and endpoints of both families, less some of them, and returns
// what is left besides, by plain enumeration.
func randomSpec(t testing.TB, r *rand.Rand) (*target.Spec, map[netip.AddrPort]bool) {
	t.Helper()
	ports, err := target.ParsePorts("80,443")
	if err != nil {
		t.Fatal(err)
	}
	s := &target.Spec{Ports: ports}
	want := map[netip.AddrPort]bool{}
	for range r.IntN(12) {
		text, list := randomTarget(r)
		if err := s.Add(text); err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			want[x] = true
		}
	}
	for range r.IntN(4) {
		text, list := randomTarget(r)
		if err := s.Exclude(text); err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			delete(want, x)
			if len(list) > 1 { // written without a port: every port
				for _, port := range []uint16{1, 2, 3, 80, 443} {
					delete(want, netip.AddrPortFrom(x.Addr(), port))
				}
			}
		}
	}
	return s, want
}

func randomTarget(r *rand.Rand) (string, []netip.AddrPort) {
	base := netip.MustParseAddr([]string{"10.0.0.0", "10.0.1.0", "2001:db8::"}[r.IntN(3)])
	for range r.IntN(40) {
		base = base.Next()
	}
	if r.IntN(3) == 0 {
		at := netip.AddrPortFrom(base, uint16(1+r.IntN(3)))
		return at.String(), []netip.AddrPort{at}
	}
	p, _ := base.Prefix(base.BitLen() - r.IntN(6))
	var list []netip.AddrPort
	for a := p.Addr(); p.Contains(a); a = a.Next() {
		list = append(list, netip.AddrPortFrom(a, 80), netip.AddrPortFrom(a, 443))
	}
	return fmt.Sprint(p), list
}

// scanShard walks a shard in batches of random sizes. It is killed and taken up again, at times at the position it
// had, at times at one that was saved a little earlier, so that some are asked again; these are not counted twice.
func scanShard(t testing.TB, sp *target.Space, seed uint64, s order.Shard, r *rand.Rand, asked map[netip.AddrPort]int) {
	t.Helper()
	p := order.New(sp.Size(), seed)
	saved, frontier := uint64(0), uint64(0) // below the frontier everything has been asked before
	for {
		it, err := order.NewIterator(p, s, saved)
		if err != nil {
			t.Fatal(err)
		}
		for life := r.IntN(20); life >= 0; life-- {
			buf := make([]uint64, 1+r.IntN(64))
			first, n := it.Next(buf)
			if n == 0 {
				return
			}
			for k, i := range buf[:n] {
				if first+uint64(k) >= frontier {
					asked[sp.At(i)]++
				}
			}
		}
		frontier = max(frontier, it.Position())
		saved = it.Position() - min(it.Position(), r.Uint64N(3)*30)
	}
}

func checkExactlyOnce(t testing.TB, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	spec, want := randomSpec(t, r)
	sp, err := spec.Compile(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	parts, orderSeed := 1+r.Uint64N(5), r.Uint64()
	asked := map[netip.AddrPort]int{}
	for i := range parts {
		scanShard(t, sp, orderSeed, order.Shard{I: i + 1, N: parts}, r, asked)
	}
	for x, n := range asked {
		if n != 1 || !want[x] {
			t.Fatalf("seed %d: %v was asked %d times; it is a target: %v", seed, x, n, want[x])
		}
	}
	if len(asked) != len(want) {
		t.Fatalf("seed %d: %d of %d targets were asked", seed, len(asked), len(want))
	}
}

// TestEveryTargetOnce: whatever the targets, the seed, the number of shards and the interruptions are, the shards
// together ask every target, and none twice but those after a position that was saved too early.
func TestEveryTargetOnce(t *testing.T) {
	for seed := range uint64(2000) {
		checkExactlyOnce(t, seed)
	}
}

func FuzzEveryTargetOnce(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { checkExactlyOnce(t, seed) })
}

// BenchmarkFullScan asks 2^24 addresses on two ports, in three shards, and fails unless each target comes once.
func BenchmarkFullScan(b *testing.B) {
	for b.Loop() {
		ports, err := target.ParsePorts("80,443")
		if err != nil {
			b.Fatal(err)
		}
		spec := target.Spec{Ports: ports}
		if err := spec.Add("10.0.0.0/8"); err != nil {
			b.Fatal(err)
		}
		sp, err := spec.Compile(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		seen := make([]uint64, (sp.Size()+63)/64)
		total := uint64(0)
		for i := range uint64(3) {
			total += markShard(b, sp, order.Shard{I: i + 1, N: 3}, seen)
		}
		if total != sp.Size() || sp.Size() != 1<<25 {
			b.Fatalf("%d of %d targets were asked", total, sp.Size())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(1<<25), "ns/target")
}

// markShard sets the bit of every target of a shard, found by its address and port, and returns how many came.
func markShard(b *testing.B, sp *target.Space, s order.Shard, seen []uint64) (total uint64) {
	it, err := order.NewIterator(order.New(sp.Size(), 1), s, 0)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]uint64, 64)
	for {
		_, n := it.Next(buf)
		if n == 0 {
			return total
		}
		for _, i := range buf[:n] {
			at := sp.At(i)
			j, ok := sp.Index(at)
			if !ok || seen[j/64]>>(j%64)&1 != 0 {
				b.Fatalf("target %v is unknown, or came twice", at)
			}
			seen[j/64] |= 1 << (j % 64)
		}
		total += uint64(n)
	}
}
