package order_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/rawshake/rawshake/scan/order"
)

// walk returns the rest of a shard from a position on.
func walk(t testing.TB, n, seed uint64, s order.Shard, from uint64) []uint64 {
	t.Helper()
	it, err := order.NewIterator(order.New(n, seed), s, from)
	if err != nil {
		t.Fatal(err)
	}
	var all []uint64
	buf := make([]uint64, 7)
	for {
		first, k := it.Next(buf)
		if first != from+uint64(len(all)) {
			t.Fatalf("a batch begins at %d, want %d", first, from+uint64(len(all)))
		}
		if k == 0 {
			break
		}
		all = append(all, buf[:k]...)
	}
	if it.Position() != it.Size() || from+uint64(len(all)) != it.Size() {
		t.Fatalf("at the end the position is %d of %d after %d targets", it.Position(), it.Size(), len(all))
	}
	return all
}

// checkComplete fails unless all holds each number below n once.
func checkComplete(t testing.TB, n uint64, all []uint64) {
	t.Helper()
	seen := make([]bool, n)
	for _, x := range all {
		if x >= n || seen[x] {
			t.Fatalf("n %d: %d is beyond the end, or comes twice", n, x)
		}
		seen[x] = true
	}
	if uint64(len(all)) != n {
		t.Fatalf("n %d: %d numbers came", n, len(all))
	}
}

func TestEveryNumberOnce(t *testing.T) {
	for n := range uint64(600) {
		for seed := range uint64(4) {
			checkComplete(t, n, walk(t, n, seed, order.Shard{}, 0))
		}
	}
	for _, n := range []uint64{1<<16 - 1, 1 << 16, 1<<16 + 1, 99991, 1 << 20} {
		checkComplete(t, n, walk(t, n, 7, order.Shard{}, 0))
	}
}

// checkShards holds the shards of one split against the whole order, and each against itself taken up again at a
// random position.
func checkShards(t testing.TB, n, seed, parts uint64, r *rand.Rand) {
	t.Helper()
	whole := walk(t, n, seed, order.Shard{}, 0)
	checkComplete(t, n, whole)
	place := make([]int, n)
	for i, x := range whole {
		place[x] = i
	}
	var union []uint64
	for i := range parts {
		s := order.Shard{I: i + 1, N: parts}
		part := walk(t, n, seed, s, 0)
		if !slices.IsSortedFunc(part, func(a, b uint64) int { return place[a] - place[b] }) {
			t.Fatalf("n %d, seed %d: shard %v is not in scan order", n, seed, s)
		}
		if size := uint64(len(part)); size != s.Size(n) || size < n/parts || size > n/parts+1 {
			t.Fatalf("n %d: shard %v has %d targets", n, s, size)
		}
		at := r.Uint64N(uint64(len(part)) + 1)
		if !slices.Equal(walk(t, n, seed, s, at), part[at:]) {
			t.Fatalf("n %d, seed %d: shard %v taken up at %d goes on differently", n, seed, s, at)
		}
		union = append(union, part...)
	}
	checkComplete(t, n, union)
}

func TestShardsAreExact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		checkShards(t, r.Uint64N(3000), r.Uint64(), 1+r.Uint64N(20), r)
	}
	for n := range uint64(6) {
		for parts := uint64(1); parts < 9; parts++ { // more shards than targets
			checkShards(t, n, 3, parts, r)
		}
	}
}

func FuzzShards(f *testing.F) {
	f.Add(uint16(1000), uint64(1), uint8(3))
	f.Fuzz(func(t *testing.T, n uint16, seed uint64, parts uint8) {
		checkShards(t, uint64(n), seed, uint64(parts)+1, rand.New(rand.NewPCG(seed, 1)))
	})
}

// TestOrderNeverChanges: a checkpoint, and the shards on other machines, may come from another version.
func TestOrderNeverChanges(t *testing.T) {
	for _, test := range []struct {
		n, seed uint64
		want    []uint64
	}{
		{1, 0, []uint64{0}},
		{10, 1, []uint64{7, 6, 1, 8, 3}},
		{1 << 32, 42, []uint64{0x690da69b, 0xdde1b716, 0x2d63f757, 0x7507f7b3, 0x8d87ac37}},
		{1 << 48, math.MaxUint64, []uint64{0x76ec442beeeb, 0xc6853b6405dc, 0x367927ac0430, 0x5d0a365b9613, 0xf5d3fecd522a}},
		{1<<47 + 1, 0, []uint64{0x1c056ccb04c7, 0x45537b6be386, 0x6264f63fa872, 0x74caf9ec69ba, 0x222c805e596e}},
	} {
		p := order.New(test.n, test.seed)
		var got []uint64
		for i := range min(5, test.n) {
			got = append(got, p.At(i))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("n %d, seed %d: order %#v, want %#v", test.n, test.seed, got, test.want)
		}
	}
}

func TestLargeOrders(t *testing.T) {
	for _, n := range []uint64{1 << 48, 1<<48 - 1, 1<<47 + 1, 3_000_000_019, math.MaxUint64, 1 << 63} {
		p := order.New(n, 5)
		const some = 200_000
		seen := make(map[uint64]bool, some)
		for i := range uint64(some) {
			x := p.At(i * (n / some))
			if x >= n || seen[x] {
				t.Fatalf("n %d: %d is beyond the end, or comes twice", n, x)
			}
			seen[x] = true
		}
	}
}

func TestAtRefusesPositionsBeyondTheEnd(t *testing.T) {
	for _, n := range []uint64{0, 1, 5} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("At(%d) of %d did not panic", n, n)
				}
			}()
			p := order.New(n, 1)
			p.At(n)
		}()
	}
}

// chiSquared returns how far counts are from equal, in standard deviations of what chance would do.
func chiSquared(counts []int, total int) float64 {
	want := float64(total) / float64(len(counts))
	var sum float64
	for _, c := range counts {
		sum += (float64(c) - want) * (float64(c) - want) / want
	}
	free := float64(len(counts) - 1)
	return (sum - free) / math.Sqrt(2*free)
}

// TestEveryOrderComes: over many seeds each of the n! orders of a few numbers comes, up to four numbers equally
// often. (With more it takes more rounds than it is worth.)
func TestEveryOrderComes(t *testing.T) {
	for n, orders := range map[uint64]int{2: 2, 3: 6, 4: 24, 5: 120, 6: 720} {
		counts := map[uint64]int{}
		total := orders * 200
		for seed := range uint64(total) {
			p := order.New(n, seed)
			code := uint64(0)
			for i := range n {
				code = code*n + p.At(i)
			}
			counts[code]++
		}
		list := slices.Collect(maps.Values(counts))
		if d := chiSquared(list, total); len(list) != orders || n < 5 && d > 5 {
			t.Errorf("n %d: %d of %d orders came, %.1f deviations from equally often", n, len(list), orders, d)
		}
	}
}

// TestOrderLooksRandom: at any time of the scan the targets are spread evenly over the space, by their high bits and
// by their low bits, and neighbours in the order are not neighbours in the space.
func TestOrderLooksRandom(t *testing.T) {
	for _, n := range []uint64{1<<20 + 1, 1 << 24, 3_000_017, 1 << 32, 1 << 48} {
		const window, buckets, seeds = 1 << 14, 256, 4
		var high, low, step [buckets]int
		bucket := func(x uint64) uint64 { return x * buckets / n }
		for seed := range uint64(seeds) {
			p := order.New(n, seed)
			from := n / seeds * seed
			for i := from; i < from+window; i++ {
				x := p.At(i)
				high[bucket(x)]++
				low[x%buckets]++
				step[bucket((x+n-p.At(i+1))%n)]++
			}
		}
		for name, counts := range map[string][]int{"high bits": high[:], "low bits": low[:], "steps": step[:]} {
			if d := chiSquared(counts, seeds*window); d > 5 {
				t.Errorf("n %d: the %s are %.1f deviations from evenly spread", n, name, d)
			}
		}
	}
}

func TestParseShard(t *testing.T) {
	for text, want := range map[string]order.Shard{"1/1": {I: 1, N: 1}, "2/5": {I: 2, N: 5}, "5/5": {I: 5, N: 5}} {
		if s, err := order.ParseShard(text); err != nil || s != want || s.String() != text {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
	for text, want := range map[string]string{
		"":     `shard "": write the part and the number of parts, as in 2/5`,
		"2":    `shard "2": write the part and the number of parts, as in 2/5`,
		"a/b":  `shard "a/b": write the part and the number of parts, as in 2/5`,
		"-1/2": `shard "-1/2": write the part and the number of parts, as in 2/5`,
		"0/2":  `shard "0/2": there is no part 0 of 2: parts count from 1`,
		"0/0":  `shard "0/0": there is no part 0 of 0: parts count from 1`,
		"3/2":  `shard "3/2": there is no part 3 of 2: parts count from 1`,
	} {
		if _, err := order.ParseShard(text); err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
	if s := (order.Shard{}).String(); s != "1/1" {
		t.Errorf("the zero shard is %s", s)
	}
}

func TestNewIteratorRefuses(t *testing.T) {
	p := order.New(10, 1)
	for _, s := range []order.Shard{{I: 3, N: 2}, {I: 0, N: 2}, {I: 1}} {
		if _, err := order.NewIterator(p, s, 0); err == nil {
			t.Errorf("shard %+v is no error", s)
		}
	}
	if _, err := order.NewIterator(p, order.Shard{I: 1, N: 3}, 5); err == nil {
		t.Error("a position beyond the end is no error")
	}
}

func TestIteratorIsSharedByGoroutines(t *testing.T) {
	const n = 400_000
	it, err := order.NewIterator(order.New(n, 9), order.Shard{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	parts := make([][]uint64, 4)
	var wg sync.WaitGroup
	for w := range parts {
		wg.Go(func() {
			buf := make([]uint64, 1+w)
			for {
				_, k := it.Next(buf)
				if k == 0 {
					return
				}
				parts[w] = append(parts[w], buf[:k]...)
			}
		})
	}
	wg.Wait()
	checkComplete(t, n, slices.Concat(parts...))
}

func BenchmarkAt(b *testing.B) {
	for name, n := range map[string]uint64{"n=2^24": 1 << 24, "n=2^32+1": 1<<32 + 1, "n=2^47+1": 1<<47 + 1, "n=2^48": 1 << 48} {
		b.Run(name, func(b *testing.B) {
			p := order.New(n, 1)
			i := uint64(0)
			for b.Loop() {
				i = p.At(i) // each waits for the one before
			}
		})
	}
}

func BenchmarkNext(b *testing.B) {
	for name, n := range map[string]uint64{"n=2^47+1": 1<<47 + 1, "n=2^48": 1 << 48} {
		b.Run(name, func(b *testing.B) {
			it, err := order.NewIterator(order.New(n, 1), order.Shard{I: 1, N: 3}, 0)
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]uint64, 64)
			for b.Loop() {
				it.Next(buf)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/target")
		})
	}
}
