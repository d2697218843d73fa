package target

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
)

// key is an address as a number. The two families have their own types, so that an IPv4 address costs four bytes
// in lists of millions.
type key[K any] interface {
	comparable
	compare(K) int
	next() K          // wraps at the end
	prev() K          // wraps at the start
	plus(n uint64) K  // wraps
	upTo(hi K) uint64 // how many keys from this one to hi, both included; at most MaxUint64
	appendTo(b []byte) []byte
	addr() netip.Addr // without zone
	trailingZeros() int
	block(bits int) K // the last key with the same bits above the lowest
}

type v4 uint32

func v4Of(a netip.Addr) v4 {
	b := a.As4()
	return v4(binary.BigEndian.Uint32(b[:]))
}

func (k v4) compare(o v4) int   { return cmp.Compare(k, o) }
func (k v4) next() v4           { return k + 1 }
func (k v4) prev() v4           { return k - 1 }
func (k v4) plus(n uint64) v4   { return k + v4(n) }
func (k v4) upTo(hi v4) uint64  { return uint64(hi-k) + 1 }
func (k v4) trailingZeros() int { return bits.TrailingZeros32(uint32(k)) }

func (k v4) addr() netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(k))
	return netip.AddrFrom4(b)
}

type v6 struct{ hi, lo uint64 }

func v6Of(a netip.Addr) v6 {
	b := a.As16()
	return v6{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (k v6) compare(o v6) int {
	if k.hi != o.hi {
		return cmp.Compare(k.hi, o.hi)
	}
	return cmp.Compare(k.lo, o.lo)
}

func (k v6) next() v6 { return k.plus(1) }

func (k v6) prev() v6 {
	lo, borrow := bits.Sub64(k.lo, 1, 0)
	return v6{k.hi - borrow, lo}
}

func (k v6) plus(n uint64) v6 {
	lo, carry := bits.Add64(k.lo, n, 0)
	return v6{k.hi + carry, lo}
}

func (k v6) upTo(hi v6) uint64 {
	lo, borrow := bits.Sub64(hi.lo, k.lo, 0)
	if hi.hi-k.hi-borrow != 0 || lo == math.MaxUint64 {
		return math.MaxUint64
	}
	return lo + 1
}

func (k v6) trailingZeros() int {
	if k.lo != 0 {
		return bits.TrailingZeros64(k.lo)
	}
	return 64 + bits.TrailingZeros64(k.hi)
}

func (k v6) addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	return netip.AddrFrom16(b)
}

// interval is a run of addresses, both ends included.
type interval[K key[K]] struct{ lo, hi K }

func (r interval[K]) contains(o interval[K]) bool {
	return r.lo.compare(o.lo) <= 0 && o.hi.compare(r.hi) <= 0
}

// add and mul stop at MaxUint64 instead of wrapping, so that a count that is too large stays too large.
func add(a, b uint64) uint64 {
	if sum, carry := bits.Add64(a, b, 0); carry == 0 {
		return sum
	}
	return math.MaxUint64
}

func mul(a, b uint64) uint64 {
	if hi, lo := bits.Mul64(a, b); hi == 0 {
		return lo
	}
	return math.MaxUint64
}

func (k v4) appendTo(b []byte) []byte { return binary.BigEndian.AppendUint32(b, uint32(k)) }

func (k v6) appendTo(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, k.hi), k.lo)
}

func (k v4) block(bits int) v4 { return k | v4(uint64(1)<<bits-1) }

func (k v6) block(bits int) v6 {
	if bits >= 64 {
		return v6{k.hi | (uint64(1)<<(bits-64) - 1), math.MaxUint64}
	}
	return v6{k.hi, k.lo | (uint64(1)<<bits - 1)}
}
