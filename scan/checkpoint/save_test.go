package checkpoint

import (
	"math/rand/v2"
	"strconv"
	"testing"
)

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
			for range n {
				c.Lanes[0].Pending = append(c.Lanes[0].Pending, r.Uint64N(1<<24))
			}
			file, err := Create(b.TempDir() + "/x")
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := file.Save(c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
