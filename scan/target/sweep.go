package target

import (
	"iter"
	"slices"
)

// entry says that the addresses from lo to hi have a set of ports.
type entry[K key[K]] struct {
	interval[K]
	ports uint32 // a number of the port table
}

func sortEntries[K key[K]](entries []entry[K]) {
	slices.SortFunc(entries, func(a, b entry[K]) int { return a.lo.compare(b.lo) })
}

// segment is a run of addresses on which every entry is either active or not.
type segment[K key[K]] struct {
	interval[K]
	kept   uint32 // the ports that remain
	merged uint64 // for each address: ports that were named once more
	cut    uint64 // for each address: ports that were named and are excluded
}

// sweep walks the entries of in, less those of out, in rising order of addresses. Both must be sorted.
func sweep[K key[K]](t *portTable, in, out []entry[K]) iter.Seq[segment[K]] {
	return func(yield func(segment[K]) bool) {
		with, without := newCover(t, in), newCover(t, out)
		pos, ok := with.first()
		for ok {
			with.at(pos)
			without.at(pos)
			last := with.until()
			if without.pending() && without.until().compare(last) < 0 {
				last = without.until()
			}
			if !yield(cutSegment(t, interval[K]{pos, last}, with, without)) {
				return
			}
			pos, ok = with.after(last)
		}
	}
}

func cutSegment[K key[K]](t *portTable, r interval[K], with, without *cover[K]) segment[K] {
	kept := t.minus(with.union, without.union)
	named := t.size(with.union)
	return segment[K]{r, kept, with.total - named, named - t.size(kept)}
}

// cover walks sorted entries and knows which are active at a position, and the union of their ports.
type cover[K key[K]] struct {
	table *portTable
	rest  []entry[K] // not yet begun
	open  []entry[K] // active; a heap with the earliest end first
	total uint64     // ports of all open entries, each counted
	union uint32     // the set of them

	// Many open entries have the same few sets of ports: the union is taken over distinct sets, and only when
	// these change.
	uses     []uint32 // by set: how many open entries have it
	slot     []uint32 // by set: its place in distinct
	distinct []uint32
	stale    bool
}

func newCover[K key[K]](t *portTable, sorted []entry[K]) *cover[K] {
	n := len(t.ends)
	return &cover[K]{table: t, rest: sorted, uses: make([]uint32, n), slot: make([]uint32, n)}
}

func (c *cover[K]) first() (pos K, ok bool) {
	if len(c.rest) == 0 {
		return pos, false
	}
	return c.rest[0].lo, true
}

// at moves to pos, which never goes back.
func (c *cover[K]) at(pos K) {
	for len(c.open) > 0 && c.open[0].hi.compare(pos) < 0 {
		c.leave()
	}
	for len(c.rest) > 0 && c.rest[0].lo.compare(pos) <= 0 {
		if c.rest[0].hi.compare(pos) >= 0 {
			c.enter(c.rest[0])
		}
		c.rest = c.rest[1:]
	}
	if c.stale {
		c.union, c.stale = c.table.union(c.distinct), false
	}
}

// pending reports whether any entry is open or still to come.
func (c *cover[K]) pending() bool { return len(c.open) > 0 || len(c.rest) > 0 }

// until returns the last position up to which nothing changes. Something must be pending.
func (c *cover[K]) until() K {
	if len(c.open) == 0 {
		return c.rest[0].lo.prev()
	}
	last := c.open[0].hi
	if len(c.rest) > 0 && c.rest[0].lo.compare(last) <= 0 {
		last = c.rest[0].lo.prev()
	}
	return last
}

// after returns the first position after last at which an entry is active.
func (c *cover[K]) after(last K) (K, bool) {
	for len(c.open) > 0 && c.open[0].hi.compare(last) <= 0 {
		c.leave()
	}
	if len(c.open) > 0 {
		return last.next(), true
	}
	return c.first()
}

func (c *cover[K]) enter(e entry[K]) {
	c.total += c.table.size(e.ports)
	if c.uses[e.ports]++; c.uses[e.ports] == 1 {
		c.slot[e.ports] = uint32(len(c.distinct))
		c.distinct = append(c.distinct, e.ports)
		c.stale = true
	}
	c.open = append(c.open, e)
	for i := len(c.open) - 1; i > 0; {
		parent := (i - 1) / 2
		if c.open[parent].hi.compare(c.open[i].hi) <= 0 {
			break
		}
		c.open[parent], c.open[i] = c.open[i], c.open[parent]
		i = parent
	}
}

// leave closes the open entry that ends first.
func (c *cover[K]) leave() {
	c.forget(c.open[0].ports)
	n := len(c.open) - 1
	c.open[0] = c.open[n]
	c.open = c.open[:n]
	for i := 0; ; {
		child := 2*i + 1
		if child+1 < n && c.open[child+1].hi.compare(c.open[child].hi) < 0 {
			child++
		}
		if child >= n || c.open[i].hi.compare(c.open[child].hi) <= 0 {
			return
		}
		c.open[i], c.open[child] = c.open[child], c.open[i]
		i = child
	}
}

func (c *cover[K]) forget(ports uint32) {
	c.total -= c.table.size(ports)
	if c.uses[ports]--; c.uses[ports] > 0 {
		return
	}
	n := len(c.distinct) - 1
	moved := c.distinct[n]
	c.distinct[c.slot[ports]] = moved
	c.slot[moved] = c.slot[ports]
	c.distinct = c.distinct[:n]
	c.stale = true
}
