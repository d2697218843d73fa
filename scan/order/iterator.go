package order

import (
	"fmt"
	"sync/atomic"
)

// Iterator walks the positions of one shard. It is safe for concurrent use: every position is handed out once.
type Iterator struct {
	order Permutation
	shard Shard
	size  uint64
	next  atomic.Uint64
}

// NewIterator returns an iterator over a shard that begins at position, counted in the shard from 0: either 0 or
// what Position returned in an earlier run.
func NewIterator(p Permutation, s Shard, position uint64) (*Iterator, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	it := &Iterator{order: p, shard: s.orWhole(), size: s.Size(p.Len())}
	if position > it.size {
		return nil, fmt.Errorf("position %d is beyond the %d targets of shard %v: it belongs to another scan", position, it.size, s)
	}
	it.next.Store(position)
	return it, nil
}

// Size returns how many positions the shard has.
func (it *Iterator) Size() uint64 { return it.size }

// Position returns how many positions have been handed out, with those that came before the start.
func (it *Iterator) Position() uint64 { return it.next.Load() }

// Next fills buf with the next targets and returns how many there were, 0 at the end, and the position of the first.
// The others follow it one by one, so that a caller can tell which positions are behind it.
func (it *Iterator) Next(buf []uint64) (first uint64, n int) {
	first, n = it.claim(uint64(len(buf)))
	for k := range buf[:n] {
		buf[k] = it.order.At(it.shard.position(first + uint64(k)))
	}
	return first, n
}

// claim takes up to want positions.
func (it *Iterator) claim(want uint64) (first uint64, n int) {
	for {
		first = it.next.Load()
		take := min(want, it.size-first)
		if it.next.CompareAndSwap(first, first+take) {
			return first, int(take)
		}
	}
}
