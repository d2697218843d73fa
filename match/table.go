package match

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
)

// Table holds the pending probes of one address family. It has one owner: no method is safe for concurrent use.
type Table[A Addr] struct {
	cipher *Cipher
	tweak  [256]uint32 // by source port index: binds the port into the ISN

	chunks             [][]Slot[A]
	freeHead, freeTail uint32 // first in, first out: a slot rests as long as possible before it is used again
	limit              int
	pending            int

	wheel wheel
}

const (
	chunkBits = 12
	chunkSize = 1 << chunkBits
	none      = ^uint32(0)
)

// NewTable makes a table for at most limit probes, with a key of its own. Memory grows with use, in steps of 4096 slots.
func NewTable[A Addr](limit int) *Table[A] {
	t := &Table[A]{freeHead: none, freeTail: none, limit: min(limit, MaxSlots)}
	var seed [8 + 4*256]byte
	rand.Read(seed[:]) // never fails: crypto/rand ends the program instead
	var key [4]uint16
	for i := range key {
		key[i] = binary.LittleEndian.Uint16(seed[2*i:])
	}
	t.cipher = NewCipher(key)
	for i := range t.tweak {
		t.tweak[i] = binary.LittleEndian.Uint32(seed[8+4*i:])
	}
	t.wheel.init()
	return t
}

// Len returns the number of pending probes.
func (t *Table[A]) Len() int { return t.pending }

// Room returns how many more probes fit.
func (t *Table[A]) Room() int { return t.limit - t.pending }

// Cap returns the number of slots that memory is held for.
func (t *Table[A]) Cap() int { return len(t.chunks) * chunkSize }

// Slot returns the slot named by id, which must come from this table.
func (t *Table[A]) Slot(id ID) *Slot[A] {
	return &t.chunks[id>>chunkBits][id&(chunkSize-1)]
}

// Add takes a slot for a probe of target; false when the table is full. The slot is on no timer.
func (t *Table[A]) Add(target netip.AddrPort) (ID, bool) {
	if t.pending >= t.limit {
		return 0, false
	}
	if t.freeHead == none {
		t.grow()
	}
	id := t.freeHead
	s := t.Slot(ID(id))
	t.freeHead = s.next
	if t.freeHead == none {
		t.freeTail = none
	}
	t.pending++
	gen := s.gen()
	*s = Slot[A]{prev: none, next: none, addr: fromAddr[A](target.Addr()), Port: target.Port()}
	s.setGen(gen)
	s.Set(flagLive)
	return ID(id), true
}

func (t *Table[A]) grow() {
	base := uint32(len(t.chunks)) << chunkBits
	t.chunks = append(t.chunks, make([]Slot[A], chunkSize))
	for i := range uint32(chunkSize) {
		t.release(base + i)
	}
}

// Remove ends a probe. What the slot says about the target stays readable until the slot is used again, so that a late
// reply is still known for what it is.
func (t *Table[A]) Remove(id ID) {
	s := t.Slot(id)
	t.Disarm(id)
	s.Clear(flagLive)
	s.setGen(s.gen() + 1)
	t.pending--
	t.release(uint32(id))
}

func (t *Table[A]) release(id uint32) {
	t.Slot(ID(id)).next = none
	if t.freeTail == none {
		t.freeHead = id
	} else {
		t.Slot(ID(t.freeTail)).next = id
	}
	t.freeTail = id
}

// ISN returns the initial sequence number of the slot's attempt from the given source port: its attempt, generation and slot,
// encrypted.
func (t *Table[A]) ISN(id ID, attempt, portIndex int) uint32 {
	i := identity{slot: id, gen: t.Slot(id).gen(), attempt: attempt}
	return t.cipher.Encrypt(i.word()) ^ t.tweak[portIndex&255]
}

// Match is what a table knows about a sequence number.
type Match uint8

const (
	// Foreign is a sequence number that is not ours.
	Foreign Match = iota
	// Elsewhere is one of ours, but the packet came from another address or port than the probe went to.
	Elsewhere
	// Late is one of a probe that ended not long ago.
	Late
	// Pending is one of a pending probe.
	Pending
)

// Find tells which attempt of which probe an ISN belongs to, given where its reply came from and which of our source ports
// it came to. The ID is meaningful for all but Foreign.
func (t *Table[A]) Find(isn uint32, portIndex int, from netip.Addr, port uint16) (ID, int, Match) {
	i := identityOf(t.cipher.Decrypt(isn ^ t.tweak[portIndex&255]))
	if int(i.slot) >= t.Cap() {
		return 0, 0, Foreign
	}
	s := t.Slot(i.slot)
	same := s.Port == port && s.addr == fromAddr[A](from)
	live := s.Is(flagLive)
	switch {
	case live && s.gen() == i.gen && i.attempt <= s.Attempt() && s.Is(FlagSent):
		if same {
			return i.slot, i.attempt, Pending
		}
		return i.slot, i.attempt, Elsewhere
	case same && !live && s.gen() == (i.gen+1)&genMask:
		return i.slot, i.attempt, Late
	}
	return 0, 0, Foreign
}

// Search looks through all pending probes for one to the given target whose last attempt left from the given source port.
// Its cost grows with the table: it is for rare events.
func (t *Table[A]) Search(target netip.AddrPort, portIndex int) (ID, bool) {
	want := fromAddr[A](target.Addr())
	for c, chunk := range t.chunks {
		for i := range chunk {
			s := &chunk[i]
			if s.Port == target.Port() && s.addr == want && s.Is(flagLive|FlagSent) && s.PortIndex() == portIndex {
				return ID(c<<chunkBits | i), true
			}
		}
	}
	return 0, false
}

// All calls fn for every pending probe until it returns false. fn may remove the probe it is given.
func (t *Table[A]) All(fn func(ID, *Slot[A]) bool) {
	for c, chunk := range t.chunks {
		for i := range chunk {
			if chunk[i].Is(flagLive) && !fn(ID(c<<chunkBits|i), &chunk[i]) {
				return
			}
		}
	}
}
