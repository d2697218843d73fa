package match

import (
	"math/rand/v2"
	"testing"
)

// The vector of Speck32/64 in the paper: key 1918 1110 0908 0100, written with the last word first, plaintext 6574 694c.
func TestCipherVector(t *testing.T) {
	c := NewCipher([4]uint16{0x0100, 0x0908, 0x1110, 0x1918})
	if got := c.Encrypt(0x6574694c); got != 0xa86842f2 {
		t.Errorf("encrypted %08x, want a86842f2", got)
	}
	if got := c.Decrypt(0xa86842f2); got != 0x6574694c {
		t.Errorf("decrypted %08x, want 6574694c", got)
	}
}

func TestCipherIsABijection(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		c := NewCipher([4]uint16{uint16(rnd.Uint32()), uint16(rnd.Uint32()), uint16(rnd.Uint32()), uint16(rnd.Uint32())})
		seen := map[uint32]bool{}
		for i := range uint32(2000) {
			w := i // neighbours, as slots are
			if i%2 == 1 {
				w = rnd.Uint32()
			}
			image := c.Encrypt(w)
			if back := c.Decrypt(image); back != w {
				t.Fatalf("%08x became %08x and then %08x", w, image, back)
			}
			seen[image] = true
		}
		if len(seen) < 1990 { // the random half may repeat itself, hardly ever
			t.Fatalf("2000 words had %d images", len(seen))
		}
	}
}

// Two ISNs of one probe must lie far apart: see the comment in isn.go. Of attempts and generations of one slot, no more pairs
// than chance allows may be within the largest window of a half-open connection.
func TestISNsOfAProbeAreFarApart(t *testing.T) {
	const window = 1 << 16
	near, pairs := 0, 0
	for key := range uint16(64) {
		c := NewCipher([4]uint16{key, 7, 8, 9})
		var isns []int64
		for attempt := range 16 {
			isns = append(isns, int64(c.Encrypt(identity{slot: 5, gen: 1, attempt: attempt}.word())))
		}
		for i, a := range isns {
			for _, b := range isns[:i] {
				pairs++
				if d := uint32(a - b); d < window || -d < window {
					near++
				}
			}
		}
	}
	if near > 3 { // 7680 pairs of chance 2^-15
		t.Errorf("%d of %d pairs are near each other", near, pairs)
	}
}

func TestIdentityPacking(t *testing.T) {
	for _, i := range []identity{
		{}, {slot: MaxSlots - 1}, {gen: genMask}, {attempt: 15},
		{slot: MaxSlots - 1, gen: genMask, attempt: 15}, {slot: 0x2aaaaa, gen: 0x15, attempt: 10},
	} {
		if got := identityOf(i.word()); got != i {
			t.Errorf("%+v became %+v", i, got)
		}
	}
	if w := (identity{slot: MaxSlots - 1, gen: genMask, attempt: 15}).word(); w != ^uint32(0) {
		t.Errorf("the largest identity is %08x: bits are unused", w)
	}
	if a, b := (identity{gen: genMask + 1}).word(), (identity{}).word(); a != b {
		t.Errorf("a generation too large spills into %08x", a)
	}
}
