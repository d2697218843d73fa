package target_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/rawshake/rawshake/scan/target"
)

// lines streams n random lines without holding them.
func lines(n int, format func(r *rand.Rand, b []byte) []byte) io.Reader {
	pr, pw := io.Pipe()
	go func() {
		r := rand.New(rand.NewPCG(1, 2))
		w := bufio.NewWriterSize(pw, 1<<16)
		var b []byte
		for range n {
			b = format(r, b[:0])
			w.Write(append(b, '\n'))
		}
		w.Flush()
		pw.Close()
	}()
	return pr
}

func randomAddr(r *rand.Rand) netip.Addr {
	x := r.Uint32()
	return netip.AddrFrom4([4]byte{byte(1 + x>>24%223), byte(x >> 16), byte(x >> 8), byte(x)})
}

// peakMemory returns the most memory the process ever had resident, in megabytes; 0 where /proc does not tell.
func peakMemory() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kb float64
	fmt.Sscan(rest, &kb)
	return kb / 1024
}

// BenchmarkTenMillionLines reads and compiles files of ten million lines. The peak is that of the process: run one
// sub-benchmark at a time, with -benchtime 1x.
func BenchmarkTenMillionLines(b *testing.B) {
	const n = 10_000_000
	for name, format := range map[string]func(*rand.Rand, []byte) []byte{
		"hosts": func(r *rand.Rand, b []byte) []byte { return randomAddr(r).AppendTo(b) },
		"ports": func(r *rand.Rand, b []byte) []byte {
			return netip.AddrPortFrom(randomAddr(r), uint16(1+r.IntN(65535))).AppendTo(b)
		},
		"prefixes": func(r *rand.Rand, b []byte) []byte {
			return netip.PrefixFrom(randomAddr(r), 24+r.IntN(9)).AppendTo(b)
		},
		"labels": func(r *rand.Rand, b []byte) []byte {
			return fmt.Appendf(randomAddr(r).AppendTo(b), " node-%d", r.IntN(n))
		},
		"crowded": func(r *rand.Rand, b []byte) []byte { // two ports for each of five million hosts
			h := r.IntN(n / 2)
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(h >> 16), byte(h >> 8), byte(h)}), uint16(1+r.IntN(65535))).AppendTo(b)
		},
		"six": func(r *rand.Rand, b []byte) []byte {
			a := netip.MustParseAddr("2001:db8::").As16()
			for i := 8; i < 16; i++ {
				a[i] = byte(r.Uint32())
			}
			return netip.AddrFrom16(a).AppendTo(b)
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s := target.Spec{Ports: mustPorts(b, "443")}
				if err := s.Read("lines", lines(n, format)); err != nil {
					b.Fatal(err)
				}
				sp, err := s.Compile(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(sp.Size()), "targets")
			}
			b.ReportMetric(peakMemory(), "peak-MB")
		})
	}
}

// spaceOf compiles n random lines.
func spaceOf(b *testing.B, n int, ports string) *target.Space {
	s := target.Spec{Ports: mustPorts(b, ports)}
	if err := s.Read("lines", lines(n, func(r *rand.Rand, b []byte) []byte { return randomAddr(r).AppendTo(b) })); err != nil {
		b.Fatal(err)
	}
	sp, err := s.Compile(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	return sp
}

func BenchmarkAt(b *testing.B) {
	for _, n := range []int{1, 1000, 1_000_000, 10_000_000} {
		for _, ports := range []string{"443", "80,443,8000-8100"} {
			b.Run(fmt.Sprintf("intervals=%d/ports=%s", n, ports), func(b *testing.B) {
				sp := spaceOf(b, n, ports)
				i := uint64(0)
				for b.Loop() {
					i = (i + 0x9e3779b97f4a7c15) % sp.Size()
					sp.At(i)
				}
			})
		}
	}
}

func BenchmarkIndex(b *testing.B) {
	sp := spaceOf(b, 1_000_000, "80,443")
	i := uint64(0)
	for b.Loop() {
		i = (i + 0x9e3779b97f4a7c15) % sp.Size()
		sp.Index(sp.At(i))
	}
}

func BenchmarkHash(b *testing.B) {
	sp := spaceOf(b, 1_000_000, "80,443")
	for b.Loop() {
		sp.Hash()
	}
}

func BenchmarkScope(b *testing.B) {
	for _, n := range []int{10, 1_000_000} {
		b.Run(fmt.Sprintf("ranges=%d", n), func(b *testing.B) {
			s, err := target.ReadScope("lines", lines(n, func(r *rand.Rand, b []byte) []byte { return randomAddr(r).AppendTo(b) }))
			if err != nil {
				b.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 2))
			addrs := make([]netip.Addr, 1<<12)
			for i := range addrs {
				addrs[i] = randomAddr(r)
			}
			i := 0
			for b.Loop() {
				s.Contains(addrs[i%len(addrs)])
				i++
			}
		})
	}
}
