package craft

import (
	"math/rand/v2"
	"testing"
)

// plainSum is RFC 1071 §4.1, as slow as it stands there.
func plainSum(b []byte) uint16 {
	total := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		total += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		total += uint32(b[len(b)-1]) << 8
	}
	for total>>16 != 0 {
		total = total&0xffff + total>>16
	}
	return uint16(total)
}

func TestSumOfEveryLength(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, 1600)
	for i := range b {
		b[i] = []byte{0xff, byte(rnd.Uint32())}[rnd.IntN(2)]
	}
	for n := range b {
		if got, want := fold(sum(0, b[:n])), plainSum(b[:n]); got != want {
			t.Fatalf("%d bytes: %#04x, want %#04x", n, got, want)
		}
	}
}

// Any accumulator folds to its remainder modulo 2^16-1, but for the two zeros: 0 stays 0, a multiple becomes 0xffff.
func TestFold(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	accs := []uint64{0, 1, 0xffff, 0x10000, 0x1fffe, 0xffff0000, 0xffffffff, 1 << 32, 1<<32 - 2, 0xffffffff00000000, 1<<64 - 1}
	for range 100_000 {
		accs = append(accs, rnd.Uint64()>>rnd.IntN(64), rnd.Uint64()/0xffff*0xffff)
	}
	for _, acc := range accs {
		want := uint16(acc % 0xffff)
		if want == 0 && acc != 0 {
			want = 0xffff
		}
		if got := fold(acc); got != want {
			t.Fatalf("fold(%#x) = %#04x, want %#04x", acc, got, want)
		}
	}
}
