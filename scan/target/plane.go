package target

import (
	"net/netip"
	"slices"
	"sort"
)

// plane is the part of a space in one address family and zone: disjoint intervals in rising order, each with its
// ports. Interval j begins at lo[j]; its targets are those from start[j] to start[j+1], the ports of one address
// side by side.
type plane[K key[K]] struct {
	zone   string
	lo     []K
	ports  []uint32
	start  []uint64
	guide  guide
	labels tags[K]
	names  tags[K]
}

// tally counts what became of the targets that were named.
type tally struct {
	size, addrs, merged, excluded, refused uint64
}

// build fills the plane from sorted entries.
func (p *plane[K]) build(t *portTable, in, out []entry[K]) (n tally) {
	p.lo = make([]K, 0, len(in))
	p.ports = make([]uint32, 0, len(in))
	p.start = append(make([]uint64, 0, len(in)+1), 0)
	var hi K
	for s := range sweep(t, in, out) {
		width := s.lo.upTo(s.hi)
		n.merged = add(n.merged, mul(width, s.merged))
		n.excluded = add(n.excluded, mul(width, s.cut))
		if s.kept == 0 {
			continue
		}
		n.addrs = add(n.addrs, width)
		n.size = add(n.size, mul(width, t.size(s.kept)))
		if last := len(p.lo) - 1; last >= 0 && p.ports[last] == s.kept && hi.next() == s.lo {
			p.start[last+1] = n.size
		} else {
			p.lo, p.ports, p.start = append(p.lo, s.lo), append(p.ports, s.kept), append(p.start, n.size)
		}
		hi = s.hi
	}
	p.lo, p.ports, p.start = trim(p.lo), trim(p.ports), trim(p.start)
	return n
}

// trim gives memory back when most of it was not needed.
func trim[E any](s []E) []E {
	if cap(s) < 2*len(s) {
		return s
	}
	return slices.Clone(s)
}

func (p *plane[K]) size() uint64 { return p.start[len(p.lo)] }

// last returns the last address of interval j.
func (p *plane[K]) last(sets *portSets, j int) K {
	return p.lo[j].plus((p.start[j+1]-p.start[j])/sets.size(p.ports[j]) - 1)
}

// at returns target i.
func (p *plane[K]) at(sets *portSets, i uint64) (K, uint16) {
	j := p.guide.find(p.start, i)
	spans := sets.get(p.ports[j])
	i -= p.start[j]
	if n := sizeOf(spans); n > 1 {
		return p.lo[j].plus(i / n), pick(spans, i%n)
	}
	return p.lo[j].plus(i), spans[0].lo
}

// index is the inverse of at.
func (p *plane[K]) index(sets *portSets, k K, port uint16) (uint64, bool) {
	j := sort.Search(len(p.lo), func(j int) bool { return p.lo[j].compare(k) > 0 }) - 1
	if j < 0 {
		return 0, false
	}
	spans := sets.get(p.ports[j])
	offset := p.lo[j].upTo(k) - 1
	if n := sizeOf(spans); offset >= (p.start[j+1]-p.start[j])/n {
		return 0, false
	} else if r, ok := rank(spans, port); ok {
		return p.start[j] + offset*n + r, true
	}
	return 0, false
}

// within returns the first address of the plane that lies in an interval.
func (p *plane[K]) within(sets *portSets, in interval[K]) (netip.Addr, bool) {
	j := sort.Search(len(p.lo), func(j int) bool { return p.last(sets, j).compare(in.lo) >= 0 })
	if j == len(p.lo) || p.lo[j].compare(in.hi) > 0 {
		return netip.Addr{}, false
	}
	return larger(p.lo[j], in.lo).addr(), true
}

// guide narrows the binary search for a target to a few steps: it knows the interval of every 2^shift-th target.
// Without it a space of millions of intervals costs two dozen cache misses a target.
type guide struct {
	shift uint8
	first []uint32
}

// maxGuide bounds the guide to 256 kB.
const maxGuide = 1 << 16

func newGuide(start []uint64) (g guide) {
	intervals, size := len(start)-1, start[len(start)-1]
	for size>>g.shift >= uint64(max(1, min(maxGuide, intervals))) {
		g.shift++
	}
	j := 0
	for i := uint64(0); i < size; i += 1 << g.shift {
		for start[j+1] <= i {
			j++
		}
		g.first = append(g.first, uint32(j))
	}
	return g
}

// find returns j with start[j] <= i < start[j+1].
func (g *guide) find(start []uint64, i uint64) int {
	b := i >> g.shift
	lo, hi := int(g.first[b]), len(start)-2
	if b+1 < uint64(len(g.first)) {
		hi = int(g.first[b+1])
	}
	for lo < hi {
		if mid := int(uint(lo+hi+1) / 2); start[mid] <= i {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return lo
}
