package target

import (
	"cmp"
	"slices"
	"strings"
)

// tags finds the text that belongs to a target. Entries may overlap in any way; they form a balanced tree in one
// sorted slice, where each node knows how far its part reaches. Only entries with a text are kept.
type tags[K key[K]] struct {
	entries []tagged[K]
	reach   []K // the highest end in the part of the tree below each node
}

type tagged[K key[K]] struct {
	entry[K]
	text uint32 // a number of the texts
}

func newTags[K key[K]](entries []tagged[K], defaultPorts uint32) tags[K] {
	for i := range entries {
		if entries[i].ports == 0 {
			entries[i].ports = defaultPorts
		}
	}
	slices.SortFunc(entries, func(a, b tagged[K]) int { return a.lo.compare(b.lo) })
	t := tags[K]{entries, make([]K, len(entries))}
	if len(entries) > 0 {
		t.measure(0, len(entries))
	}
	return t
}

func (t *tags[K]) measure(from, to int) (reach K) {
	mid := (from + to) / 2
	reach = t.entries[mid].hi
	if from < mid {
		reach = larger(reach, t.measure(from, mid))
	}
	if mid+1 < to {
		reach = larger(reach, t.measure(mid+1, to))
	}
	t.reach[mid] = reach
	return reach
}

func larger[K key[K]](a, b K) K {
	if a.compare(b) >= 0 {
		return a
	}
	return b
}

// visit calls fn with the entries of a part of the tree that cover k.
func (t *tags[K]) visit(from, to int, k K, fn func(*tagged[K])) {
	if from >= to {
		return
	}
	mid := (from + to) / 2
	if t.reach[mid].compare(k) < 0 {
		return
	}
	t.visit(from, mid, k, fn)
	if e := &t.entries[mid]; e.lo.compare(k) <= 0 {
		if e.hi.compare(k) >= 0 {
			fn(e)
		}
		t.visit(mid+1, to, k, fn)
	}
}

// find returns the text of the narrowest entry that covers the target, and of equally narrow ones the first in
// the alphabet, so that the order of the lines does not matter.
func (t *tags[K]) find(sets *portSets, words *texts, k K, port uint16) string {
	var best *tagged[K]
	t.visit(0, len(t.entries), k, func(e *tagged[K]) {
		if _, ok := rank(sets.get(e.ports), port); ok && (best == nil || narrower(sets, words, e, best) < 0) {
			best = e
		}
	})
	if best == nil {
		return ""
	}
	return words.get(best.text)
}

func narrower[K key[K]](sets *portSets, words *texts, a, b *tagged[K]) int {
	return cmp.Or(
		cmp.Compare(a.lo.upTo(a.hi), b.lo.upTo(b.hi)),
		cmp.Compare(sets.size(a.ports), sets.size(b.ports)),
		strings.Compare(words.get(a.text), words.get(b.text)),
	)
}

// texts keeps short strings side by side; number 0 is the empty one. A text that comes again is kept once, as long
// as there are not many different ones: a few labels for millions of lines is common, while a table of millions of
// labels would cost more than it saves.
type texts struct {
	bytes []byte
	ends  []uint64 // text n is bytes[ends[n-1]:ends[n]]
	known map[string]uint32
}

const maxKnown = 1 << 16

func (t *texts) number(text string) uint32 {
	if text == "" {
		return 0
	}
	if n, ok := t.known[text]; ok {
		return n
	}
	if t.known == nil {
		t.known, t.ends = map[string]uint32{}, []uint64{0}
	}
	t.bytes = append(t.bytes, text...)
	t.ends = append(t.ends, uint64(len(t.bytes)))
	n := uint32(len(t.ends) - 1)
	if n <= maxKnown {
		t.known[text] = n
	}
	return n
}

func (t *texts) get(n uint32) string {
	if n == 0 {
		return ""
	}
	return string(t.bytes[t.ends[n-1]:t.ends[n]])
}
