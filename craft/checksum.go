package craft

import (
	"encoding/binary"
	"math/bits"
)

// The Internet checksum (RFC 1071) is the complement of a sum modulo 2^16-1. Since 2^16 is 1 in that arithmetic, words
// of 32 bits may be added in place of words of 16, and a wide accumulator may gather them all before it is folded once.

// sum adds b to the accumulator in words of 32 bits, big endian; an odd end is padded with zeros. The accumulator
// overflows only beyond 2^32 words, which no packet holds.
func sum(acc uint64, b []byte) uint64 {
	for len(b) >= 8 {
		w := binary.BigEndian.Uint64(b)
		acc += w>>32 + w&0xffffffff
		b = b[8:]
	}
	if len(b) >= 4 {
		acc += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		acc += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		acc += uint64(b[0]) << 8
	}
	return acc
}

// fold brings an accumulator down to 16 bits. Only an accumulator of zero folds to zero: every other multiple of
// 2^16-1 folds to 0xffff. A checksum made by complementing a folded sum of the whole packet is therefore the one that
// every sender computes; patching an old checksum as in RFC 1624 must take care of the second zero, this need not.
func fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	w := uint32(acc)
	return uint16((w + bits.RotateLeft32(w, 16)) >> 16) // both halves added; the lower addition carries into the upper
}

// sound reports whether a sum that includes the checksum field is that of an undamaged packet.
func sound(acc uint64) bool { return fold(acc) == 0xffff }
