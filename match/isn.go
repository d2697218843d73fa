package match

import "math/bits"

// The bits of an identity; see there.
const (
	slotBits = 22
	genBits  = 6

	// MaxSlots is the most probes that one table can hold.
	MaxSlots = 1 << slotBits

	slotMask = MaxSlots - 1
	genMask  = 1<<genBits - 1
)

// Cipher is a keyed permutation of 32-bit words: Speck32/64 (Beaulieu et al., "The SIMON and SPECK families of lightweight
// block ciphers", 2013), chosen because its block is exactly the width of an ISN.
type Cipher struct{ round [22]uint16 }

// NewCipher makes the permutation of a key, which should come from crypto/rand.
func NewCipher(key [4]uint16) *Cipher {
	c := new(Cipher)
	k, l := key[0], [3]uint16{key[1], key[2], key[3]}
	for i := range c.round {
		c.round[i] = k
		next := (k + bits.RotateLeft16(l[0], -7)) ^ uint16(i)
		k = bits.RotateLeft16(k, 2) ^ next
		l = [3]uint16{l[1], l[2], next}
	}
	return c
}

// Encrypt returns the image of w.
func (c *Cipher) Encrypt(w uint32) uint32 {
	x, y := uint16(w>>16), uint16(w)
	for _, k := range &c.round {
		x = (bits.RotateLeft16(x, -7) + y) ^ k
		y = bits.RotateLeft16(y, 2) ^ x
	}
	return uint32(x)<<16 | uint32(y)
}

// Decrypt returns the word whose image is w.
func (c *Cipher) Decrypt(w uint32) uint32 {
	x, y := uint16(w>>16), uint16(w)
	for i := len(c.round) - 1; i >= 0; i-- {
		y = bits.RotateLeft16(x^y, -2)
		x = bits.RotateLeft16((x^c.round[i])-y, 7)
	}
	return uint32(x)<<16 | uint32(y)
}

// identity is what an ISN carries: the ISN of an attempt is a keyed permutation of its identity, so that a reply leads to its probe
// in one step, that nobody off the path can guess one, and that two ISNs of one probe are never near each other (a SYN whose ISN lies
// in the window of a half-open connection draws a RST: tcp_check_req in net/ipv4/tcp_minisocks.c).
//
//	31      28 27      22 21                    0
//	| attempt | generation |        slot         |
type identity struct {
	slot    ID
	gen     uint8
	attempt int
}

func (i identity) word() uint32 {
	return uint32(i.attempt)<<(slotBits+genBits) | uint32(i.gen&genMask)<<slotBits | uint32(i.slot)
}

func identityOf(word uint32) identity {
	return identity{
		slot:    ID(word & slotMask),
		gen:     uint8(word>>slotBits) & genMask,
		attempt: int(word >> (slotBits + genBits)),
	}
}
