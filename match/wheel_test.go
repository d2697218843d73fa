package match

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// armed makes a table with n probes, its clock at start.
func armed(n int, start uint32) (*Table[[4]byte], []ID) {
	tab := NewTable[[4]byte](n)
	tab.Fire(start, 1, nil)
	var ids []ID
	for range n {
		id, _ := tab.Add(someTarget4)
		ids = append(ids, id)
	}
	return tab, ids
}

// fired returns what fires up to now.
func fired(tab *Table[[4]byte], now uint32) (ids []ID) {
	for tab.Fire(now, 100, func(id ID) { ids = append(ids, id) }) == 100 {
	}
	return ids
}

func TestFireInTime(t *testing.T) {
	for _, start := range []uint32{0, 1000, 1<<31 - 5, ^uint32(0) - 5, ^uint32(0)} {
		tab, ids := armed(3, start)
		tab.Arm(ids[0], start+10)
		tab.Arm(ids[1], start+7)
		tab.Arm(ids[2], start+10)
		tab.Disarm(ids[2])
		for d := uint32(1); d < 20; d++ {
			want := []ID(nil)
			switch d {
			case 7:
				want = ids[1:2]
			case 10:
				want = ids[:1]
			}
			if next, ok := tab.NextTick(); d <= 7 && (!ok || next != start+7) || d > 7 && d <= 10 && next != start+10 || d > 10 && ok {
				t.Errorf("start %d, at %d: next tick %d %v", start, d, next-start, ok)
			}
			if got := fired(tab, start+d); !slices.Equal(got, want) {
				t.Errorf("start %d, at %d: %v fired, want %v", start, d, got, want)
			}
		}
	}
}

func TestArmInThePast(t *testing.T) {
	tab, ids := armed(2, 100)
	tab.Arm(ids[0], 50)
	tab.Arm(ids[1], 100)
	if next, ok := tab.NextTick(); !ok || next != 101 {
		t.Errorf("next tick %d %v, want the coming one", next, ok)
	}
	if got := fired(tab, 101); len(got) != 2 {
		t.Errorf("%v fired", got)
	}
}

func TestHorizon(t *testing.T) {
	tab, ids := armed(2, 100)
	tab.Arm(ids[0], 100+Horizon)
	tab.Arm(ids[1], 100+1<<20)
	if next, _ := tab.NextTick(); next != 100+Horizon {
		t.Errorf("next tick %d, want %d", next, 100+Horizon)
	}
	if got := fired(tab, 100+Horizon-1); len(got) != 0 {
		t.Errorf("%v fired early", got)
	}
	if got := fired(tab, 100+Horizon); len(got) != 2 { // the second early, for its owner to arm again
		t.Errorf("%v fired", got)
	}
}

func TestArmWithinFire(t *testing.T) {
	tab, ids := armed(1, 0)
	tab.Arm(ids[0], 5)
	var at []uint32
	now := uint32(5)
	again := func(id ID) {
		at = append(at, now)
		tab.Arm(id, now) // at once, again and again
	}
	for ; now < 12; now++ {
		tab.Fire(now, 100, again)
	}
	if want := []uint32{5, 6, 7, 8, 9, 10, 11}; !slices.Equal(at, want) {
		t.Errorf("fired at %v, want %v: once a tick", at, want)
	}
	at = nil
	now = 20
	tab.Fire(now, 100, again)
	if len(at) > 9 {
		t.Errorf("fired %d times in 8 ticks that were late", len(at))
	}
}

// An engine may sleep for months, with a timer armed or without.
func TestFireAfterALongSleep(t *testing.T) {
	for _, sleep := range []uint32{buckets - 1, buckets, buckets + 1, 2*buckets - 1, 2 * buckets, 1 << 30, 1 << 31, 1<<31 + 1, ^uint32(0) - Horizon} {
		tab, ids := armed(2, 77)
		for i, id := range ids {
			tab.Arm(id, 77+Horizon-uint32(i))
		}
		now := 77 + sleep
		if got, want := fired(tab, now), []ID{ids[1], ids[0]}; sleep >= Horizon && !slices.Equal(got, want) {
			t.Errorf("%d ticks later: %v fired, want %v", sleep, got, want)
		}
		now += sleep // nothing armed
		if got := fired(tab, now); len(got) != 0 {
			t.Errorf("%d ticks later again: %v fired", sleep, got)
		}
		tab.Arm(ids[0], now+10)
		if got := fired(tab, now+9); len(got) != 0 {
			t.Errorf("after %d ticks, one early: %v fired", sleep, got)
		}
		if got := fired(tab, now+10); len(got) != 1 {
			t.Errorf("after %d ticks, in time: %v fired", sleep, got)
		}
	}
}

// Fire's callback may remove the probes that are due with it, and begin others.
func TestRemoveAndAddWithinFire(t *testing.T) {
	tab, ids := armed(100, 0)
	for _, id := range ids {
		tab.Arm(id, 5)
	}
	n := 0
	tab.Fire(5, 1000, func(id ID) {
		n++
		for _, other := range ids {
			if s := tab.Slot(other); s.Live() && other != id && n == 1 {
				tab.Remove(other)
			}
		}
		if fresh, ok := tab.Add(someTarget4); ok {
			tab.Arm(fresh, 5)
		}
	})
	if n != 1 {
		t.Errorf("%d fired, of which all but one were removed", n)
	}
	if got := fired(tab, 6); len(got) != 1 {
		t.Errorf("%v fired in the next tick, want the fresh one", got)
	}
}

func TestFireAtMost(t *testing.T) {
	tab, ids := armed(10, 0)
	for i, id := range ids {
		tab.Arm(id, uint32(5+i/5))
	}
	var all []ID
	for _, want := range []int{3, 3, 3, 1, 0} {
		if n := tab.Fire(8, 3, func(id ID) { all = append(all, id) }); n != want {
			t.Errorf("%d fired, want %d", n, want)
		}
	}
	slices.Sort(all)
	if !slices.Equal(all, ids) {
		t.Errorf("%v fired, want each once", all)
	}
	if _, ok := tab.NextTick(); ok {
		t.Error("a timer is left")
	}
}

// The wheel does what a sorted list would do.
func TestWheelModel(t *testing.T) {
	for seed := range uint64(3) {
		rnd := rand.New(rand.NewPCG(5, seed))
		now := ^uint32(0) - 10_000 // the ticks wrap on the way
		tab, ids := armed(300, now)
		due := map[ID]uint32{} // by probe: when it fires at last, relative to the start
		start := now
		for range 15_000 {
			id := ids[rnd.IntN(len(ids))]
			switch rnd.IntN(4) {
			case 0, 1:
				ahead := rnd.IntN(300) - 20
				if rnd.IntN(10) == 0 {
					ahead = rnd.IntN(2 * Horizon)
				}
				tab.Arm(id, now+uint32(ahead))
				due[id] = now - start + uint32(min(max(ahead, 1), Horizon))
			case 2:
				tab.Disarm(id)
				delete(due, id)
			case 3:
				now += uint32(rnd.IntN(10))
				if rnd.IntN(1000) == 0 {
					now += uint32(rnd.IntN(3 * Horizon))
				}
				fireModel(t, tab, due, start, now, rnd.IntN(20)+1)
			}
			checkNext(t, tab, due, start)
			if t.Failed() {
				t.Fatalf("seed %d, at %d", seed, now-start)
			}
		}
	}
}

func fireModel(t *testing.T, tab *Table[[4]byte], due map[ID]uint32, start, now uint32, max int) {
	t.Helper()
	last := uint32(0)
	for {
		n := tab.Fire(now, max, func(id ID) {
			at, ok := due[id]
			if !ok || at > now-start || at < last {
				t.Errorf("slot %d fired at %d: is armed %v for %d, after one for %d", id, now-start, ok, at, last)
			}
			last = at
			delete(due, id)
		})
		if n < max {
			break
		}
	}
	for id, at := range due {
		if at <= now-start {
			t.Errorf("slot %d did not fire: armed for %d, now %d", id, at, now-start)
		}
	}
}

func checkNext(t *testing.T, tab *Table[[4]byte], due map[ID]uint32, start uint32) {
	t.Helper()
	next, ok := tab.NextTick()
	if ok != (len(due) > 0) {
		t.Errorf("next tick %v with %d armed", ok, len(due))
	}
	least := ^uint32(0)
	for _, at := range due {
		least = min(least, at)
	}
	if ok && next-start != least {
		t.Errorf("next tick %d, the earliest is %d", next-start, least)
	}
}
