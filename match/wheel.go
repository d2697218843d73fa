package match

import "math/bits"

// Timers are a hashed wheel of 4096 buckets (Varghese and Lauck, 1987): a slot is linked into the bucket of its tick, at no
// cost in memory beyond two indices in the slot. A timer further ahead than the wheel goes fires early, and its owner arms it
// again.
const (
	buckets    = 1 << 12
	bucketMask = buckets - 1
	bucketFlag = 1 << 31 // set in Slot.prev when it names a bucket instead of a slot

	// Horizon is how many ticks ahead a timer can be armed.
	Horizon = buckets - 1
)

type wheel struct {
	heads [buckets]uint32
	used  [buckets / 64]uint64 // a bit for each bucket that is not empty
	now   uint32               // every bucket up to this tick has fired
	armed int
	least uint32 // how many ticks ahead a timer goes at the least
}

func (w *wheel) init() {
	w.least = 1
	for i := range w.heads {
		w.heads[i] = none
	}
}

// Armed returns the number of slots whose timer is armed.
func (t *Table[A]) Armed() int { return t.wheel.armed }

// Arm sets the slot's timer to fire at the given tick, or at the Horizon if that is nearer. A tick in the past fires at once.
func (t *Table[A]) Arm(id ID, tick uint32) {
	t.Disarm(id)
	ahead := int32(tick - t.wheel.now)
	b := (t.wheel.now + uint32(min(max(ahead, int32(t.wheel.least)), Horizon))) & bucketMask
	s := t.Slot(id)
	s.prev, s.next = bucketFlag|b, t.wheel.heads[b]
	if s.next != none {
		t.Slot(ID(s.next)).prev = uint32(id)
	}
	t.wheel.heads[b] = uint32(id)
	t.wheel.used[b/64] |= 1 << (b % 64)
	t.wheel.armed++
}

// Disarm takes the slot off its timer, if it is on one.
func (t *Table[A]) Disarm(id ID) {
	s := t.Slot(id)
	switch {
	case s.prev == none:
		return
	case s.prev&bucketFlag == 0:
		t.Slot(ID(s.prev)).next = s.next
	default:
		b := s.prev &^ bucketFlag
		t.wheel.heads[b] = s.next
		if s.next == none {
			t.wheel.used[b/64] &^= 1 << (b % 64)
		}
	}
	if s.next != none {
		t.Slot(ID(s.next)).prev = s.prev
	}
	s.prev, s.next = none, none
	t.wheel.armed--
}

// Fire takes the slots that are due up to and including the tick now off their timers and calls fn for each, at most max of
// them. Ticks never go back, but they wrap around, and any time may pass between two calls. fn may arm, add and remove slots.
// It returns how many fired; when that is max, more may be due.
func (t *Table[A]) Fire(now uint32, max int, fn func(ID)) int {
	w := &t.wheel
	w.least = 2 // what fn arms stays out of the bucket that is firing
	defer func() { w.least = 1 }()
	if ahead := now - w.now; ahead > buckets { // after a long sleep, once round is enough
		w.now += (ahead - buckets) &^ bucketMask
	}
	n := 0
	for w.now != now {
		if w.armed == 0 {
			w.now = now
			return n
		}
		b := (w.now + 1) & bucketMask
		for w.heads[b] != none {
			if n == max {
				return n
			}
			id := ID(w.heads[b])
			t.Disarm(id)
			n++
			fn(id)
		}
		w.now++
	}
	return n
}

// NextTick returns the next tick at which something may be due; false when no timer is armed.
func (t *Table[A]) NextTick() (uint32, bool) {
	w := &t.wheel
	if w.armed == 0 {
		return 0, false
	}
	start := (w.now + 1) & bucketMask
	for i := range uint32(len(w.used) + 1) {
		word := (start/64 + i) % uint32(len(w.used))
		set := w.used[word]
		if i == 0 {
			set &= ^uint64(0) << (start % 64)
		}
		if set == 0 {
			continue
		}
		b := word*64 + uint32(bits.TrailingZeros64(set))
		return w.now + 1 + (b-start)&bucketMask, true
	}
	return w.now + 1, true
}
