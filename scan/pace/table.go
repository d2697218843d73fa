package pace

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// slot is what is known of one host or network.
type slot struct {
	key  uint64 // 0: unused
	next int64  // when the next packet may leave

	// What waits here, first to last: the targets of a host, or of a network if hosts have no limit; or the hosts of
	// a network whose own time has come. 0 is the end.
	first, last uint32
	isParent    bool

	parent uint32 // the network of a host, if both have a limit
	link   uint32 // the next host in the line of the network
	users  uint32 // hosts with targets whose parent this is
}

// table finds slots by key. A slot whose time has come and for which nothing waits says no more than an unknown one,
// and makes room. Slot 0 stands for a limit that does not exist.
type table struct {
	slots []slot
	index map[uint64]uint32
	free  []uint32
	hand  int // the slot that was last looked at for making room
	most  int
}

func newTable(most int) table {
	return table{slots: make([]slot, 1), index: map[uint64]uint32{}, most: most}
}

func (t *table) at(n uint32) *slot { return &t.slots[n] }

// append puts a host at the end of the line of a network, and reports whether it is the first.
func (t *table) append(p *slot, child uint32) (first bool) {
	t.at(child).link = 0
	if p.first == 0 {
		p.first, p.last = child, child
		return true
	}
	t.at(p.last).link = child
	p.last = child
	return false
}

const (
	sweepUsual = 2  // slots looked at for each new one, so that the table stays about as large as it must be
	sweepFull  = 64 // slots looked at when there is no room otherwise
)

// slot returns the number of the slot for a key; ok is false if there is no room.
func (t *table) slot(now int64, key uint64) (n uint32, ok bool) {
	if n, ok = t.index[key]; ok {
		return n, true
	}
	t.sweep(now, sweepUsual)
	if len(t.free) == 0 && len(t.slots) > t.most {
		t.sweep(now, sweepFull)
	}
	switch {
	case len(t.free) > 0:
		n = t.free[len(t.free)-1]
		t.free = t.free[:len(t.free)-1]
	case len(t.slots) <= t.most:
		n = uint32(len(t.slots))
		t.slots = append(t.slots, slot{})
	default:
		return 0, false
	}
	t.slots[n] = slot{key: key, next: now}
	t.index[key] = n
	return n, true
}

func (t *table) sweep(now int64, n int) {
	for range min(n, len(t.slots)-1) {
		if t.hand++; t.hand >= len(t.slots) {
			t.hand = 1
		}
		if s := &t.slots[t.hand]; s.key != 0 && s.users == 0 && s.first == 0 && s.next <= now {
			delete(t.index, s.key)
			*s = slot{}
			t.free = append(t.free, uint32(t.hand))
		}
	}
}

// hostKey and netKey reduce an address without its zone to a number that is not 0. Two addresses with the same
// number share a limit, which does no harm.
func hostKey(a netip.Addr) uint64 {
	b := a.As16()
	return mix(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]))
}

func netKey(a netip.Addr, bits4, bits6 int) uint64 {
	a = a.Unmap()
	length := bits6
	if a.Is4() {
		length = bits4
	}
	p, _ := a.Prefix(min(length, a.BitLen()))
	return mix(hostKey(p.Addr()), uint64(length)+1)
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, 0xd1342543de82ef95)
	hi, lo = bits.Mul64(hi^lo^b, 0xaf251af3b0f025b5)
	return hi ^ lo | 1
}
