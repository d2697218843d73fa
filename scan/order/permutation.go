package order

import "math/bits"

// rounds is how many times each half is changed. Two make a permutation that cannot be told from a random one if
// the hash is good and the halves are large; the others are for small numbers of targets.
const rounds = 4

// Permutation is a keyed order of the numbers from 0 to n-1. The same n and seed give the same order on every
// machine and in every version. It is immutable and safe for concurrent use.
type Permutation struct {
	n     uint64
	shift uint8  // how many bits the right half has
	left  uint64 // how many values the left half has, at most 2^32
	keys  [2 * rounds][2]uint64
}

// New returns the order of n numbers for a seed. Any seed will do, 0 too.
func New(n, seed uint64) Permutation {
	p := Permutation{n: n, shift: uint8(bits.Len64(n) / 2)}
	if n > 0 {
		p.left = (n-1)>>p.shift + 1
	}
	next := func() uint64 {
		seed += golden
		return splitMix(seed)
	}
	for i := range p.keys {
		p.keys[i] = [2]uint64{next(), next() | 1}
	}
	return p
}

const golden = 0x9e3779b97f4a7c15 // 2^64 over the golden ratio: the step of SplitMix64

// splitMix is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014), which makes unrelated keys of seeds that
// differ by one.
func splitMix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Len returns n.
func (p *Permutation) Len() uint64 { return p.n }

// At returns the number at position i. It panics if i is not below Len.
func (p *Permutation) At(i uint64) uint64 {
	if i >= p.n {
		panic("order: position out of range")
	}
	for {
		if i = p.network(i); i < p.n {
			return i
		}
	}
}

func (p *Permutation) network(i uint64) uint64 {
	mask := uint64(1)<<p.shift - 1
	l, r := i>>p.shift, i&mask
	for k := 0; k < len(p.keys); k += 2 {
		r ^= hash(l, &p.keys[k]) & mask
		l += hash(r, &p.keys[k+1]) * p.left >> 32 // of 32 random bits a number below left (Lemire, 2019)
		if l >= p.left {
			l -= p.left
		}
	}
	return l<<p.shift | r
}

// hash returns 32 bits. It multiplies to 128 bits and takes the middle, which depends on all of x.
func hash(x uint64, key *[2]uint64) uint64 {
	hi, lo := bits.Mul64(x^key[0], key[1])
	return (hi ^ lo) >> 32
}
