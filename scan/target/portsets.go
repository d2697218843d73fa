package target

import (
	"math/bits"
	"slices"
)

// portSets is a list of port sets in one arena. A set is known by its number; number 0 is the empty set.
type portSets struct {
	spans []span
	ends  []uint32 // set i is spans[ends[i-1]:ends[i]]
}

func (t *portSets) get(id uint32) []span {
	if id == 0 {
		return nil
	}
	return t.spans[t.ends[id-1]:t.ends[id]]
}

func (t *portSets) size(id uint32) uint64 { return sizeOf(t.get(id)) }

// portTable gives equal sets equal numbers. With millions of hosts that have ports of their own there are millions
// of sets, so that neither a slice header nor a string key for each is affordable.
type portTable struct {
	portSets
	ids     map[uint64]uint32 // by hash, or the next free value after it
	differ  map[[2]uint32]uint32
	scratch []span
}

func newPortTable() *portTable {
	return &portTable{
		portSets: portSets{ends: []uint32{0}},
		ids:      map[uint64]uint32{},
		differ:   map[[2]uint32]uint32{},
	}
}

// number returns the number of a set in normal form. It copies spans.
func (t *portTable) number(spans []span) uint32 {
	if len(spans) == 0 {
		return 0
	}
	h := hashSpans(spans)
	for ; ; h++ {
		id, ok := t.ids[h]
		if !ok {
			break
		}
		if slices.Equal(t.get(id), spans) {
			return id
		}
	}
	t.spans = append(t.spans, spans...)
	t.ends = append(t.ends, uint32(len(t.spans)))
	id := uint32(len(t.ends) - 1)
	t.ids[h] = id
	return id
}

func hashSpans(spans []span) uint64 {
	h := uint64(len(spans))
	for _, s := range spans {
		hi, lo := bits.Mul64(h^uint64(s.lo)<<16^uint64(s.hi)^0x9e3779b97f4a7c15, 0xd1b54a32d192ed03)
		h = hi ^ lo
	}
	return h
}

// union returns the number of the union of some sets.
func (t *portTable) union(ids []uint32) uint32 {
	switch len(ids) {
	case 0:
		return 0
	case 1:
		return ids[0]
	}
	t.scratch = t.scratch[:0]
	for _, id := range ids {
		t.scratch = append(t.scratch, t.get(id)...)
	}
	return t.number(merge(t.scratch))
}

// minus returns the number of the set of ports that are in a and not in b.
func (t *portTable) minus(a, b uint32) uint32 {
	switch {
	case b == 0:
		return a
	case a == b:
		return 0
	}
	id, ok := t.differ[[2]uint32{a, b}]
	if !ok {
		id = t.number(minus(t.get(a), t.get(b)))
		t.differ[[2]uint32{a, b}] = id
	}
	return id
}
