package match

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

var (
	someTarget4 = netip.MustParseAddrPort("198.51.100.7:443")
	someTarget6 = netip.MustParseAddrPort("[2001:db8::7]:443")
)

// send has the slot look as if its attempt were on the wire from the given port, and returns the ISN.
func send[A Addr](tab *Table[A], id ID, attempt, port int) uint32 {
	s := tab.Slot(id)
	isn := tab.ISN(id, attempt, port)
	s.SetAttempt(attempt)
	s.SetPortIndex(port)
	s.Set(FlagSent)
	return isn
}

func TestFind(t *testing.T) {
	t.Run("v4", func(t *testing.T) { testFind[[4]byte](t, someTarget4, netip.MustParseAddr("198.51.100.8")) })
	t.Run("v6", func(t *testing.T) { testFind[[16]byte](t, someTarget6, netip.MustParseAddr("2001:db8::8")) })
}

func testFind[A Addr](t *testing.T, target netip.AddrPort, other netip.Addr) {
	tab := NewTable[A](10)
	id, ok := tab.Add(target)
	if !ok || !tab.Slot(id).Live() {
		t.Fatal("no slot in an empty table")
	}
	addr, port := target.Addr(), target.Port()
	find := func(isn uint32, index int, from netip.Addr, fromPort uint16, want Match, attempt int) {
		t.Helper()
		got, n, m := tab.Find(isn, index, from, fromPort)
		if m != want || (m >= Elsewhere && m != Late) && (got != id || n != attempt) {
			t.Errorf("found %v slot %d attempt %d, want %v slot %d attempt %d", m, got, n, want, id, attempt)
		}
	}
	find(tab.ISN(id, 0, 1), 1, addr, port, Foreign, 0) // not sent yet
	first := send(tab, id, 0, 1)
	find(tab.ISN(id, 1, 2), 2, addr, port, Foreign, 0) // nor this
	second := send(tab, id, 1, 2)
	for range 2 {
		find(first, 1, addr, port, Pending, 0)
		find(second, 2, addr, port, Pending, 1)
		find(second, 2, other, port, Elsewhere, 1)
		find(first, 1, addr, port+1, Elsewhere, 0)
		find(first, 2, addr, port, Foreign, 0) // another of our ports
		find(second, 1, addr, port, Foreign, 0)
		find(first+1, 1, addr, port, Foreign, 0)
		find(first-1, 1, addr, port, Foreign, 0)
		find(tab.ISN(id, 2, 2), 2, addr, port, Foreign, 0)
	}
	tab.Remove(id)
	find(first, 1, addr, port, Late, 0)
	find(second, 2, addr, port, Late, 1)
	find(second, 2, other, port, Foreign, 0)
	find(first, 1, addr, port+1, Foreign, 0)
	find(first, 2, addr, port, Foreign, 0)
}

// A slot is used again after all others, and then knows nothing of before.
func TestGenerations(t *testing.T) {
	tab := NewTable[[4]byte](1)
	var isns []uint32
	var id ID
	for range genMask + 3 {
		for { // until the first slot comes round
			id, _ = tab.Add(someTarget4)
			if id == 0 {
				break
			}
			tab.Remove(id)
		}
		isns = append(isns, send(tab, id, 0, 0))
		if n := len(isns); n > 1 {
			if _, _, m := tab.Find(isns[n-2], 0, someTarget4.Addr(), someTarget4.Port()); m != Foreign {
				t.Errorf("the ISN of use %d is %v in the next use", n-2, m)
			}
		}
		tab.Remove(id)
	}
	for i, isn := range isns {
		want := Foreign
		if i == len(isns)-1 || i == len(isns)-1-(genMask+1) {
			want = Late // of 6 bits of generation, one comes back after 64
		}
		if _, _, m := tab.Find(isn, 0, someTarget4.Addr(), someTarget4.Port()); m != want {
			t.Errorf("the ISN of use %d of %d is %v, want %v", i, len(isns), m, want)
		}
	}
	id, _ = tab.Add(someTarget4)
	if s := tab.Slot(id); s.Is(FlagSent) || s.Attempt() != 0 || s.PortIndex() != 0 || s.User != 0 || s.Final != 0 {
		t.Errorf("a used slot starts as %+v", s)
	}
}

func TestSlotRestsLongest(t *testing.T) {
	tab := NewTable[[4]byte](chunkSize)
	for i := range 3 * chunkSize {
		id, ok := tab.Add(someTarget4)
		if !ok || int(id) != i%chunkSize {
			t.Fatalf("probe %d got slot %d, %v", i, id, ok)
		}
		tab.Remove(id)
	}
}

func TestTableGrowsToItsLimit(t *testing.T) {
	const limit = chunkSize + 10
	tab := NewTable[[16]byte](limit)
	if tab.Cap() != 0 {
		t.Errorf("an empty table holds %d slots", tab.Cap())
	}
	seen := map[ID]bool{}
	for i := range limit {
		if tab.Room() != limit-i || tab.Len() != i {
			t.Fatalf("room %d and length %d after %d", tab.Room(), tab.Len(), i)
		}
		id, ok := tab.Add(someTarget6)
		if !ok || seen[id] {
			t.Fatalf("probe %d got slot %d, %v", i, id, ok)
		}
		seen[id] = true
	}
	if tab.Cap() != 2*chunkSize {
		t.Errorf("%d slots for %d probes", tab.Cap(), limit)
	}
	if _, ok := tab.Add(someTarget6); ok || tab.Room() != 0 {
		t.Error("a full table took one more")
	}
	tab.Remove(7)
	if _, ok := tab.Add(someTarget6); !ok {
		t.Error("there was room for one")
	}
	if NewTable[[4]byte](2*MaxSlots).Room() != MaxSlots {
		t.Error("more slots than an ISN can name")
	}
}

// A reply with a sequence number beyond the memory held must not be looked up there.
func TestFindBeyondMemory(t *testing.T) {
	tab := NewTable[[4]byte](MaxSlots)
	for _, slot := range []ID{0, chunkSize - 1, chunkSize, MaxSlots - 1} {
		isn := tab.cipher.Encrypt(identity{slot: slot}.word()) ^ tab.tweak[0]
		if _, _, m := tab.Find(isn, 0, someTarget4.Addr(), 443); m != Foreign {
			t.Errorf("slot %d of an empty table: %v", slot, m)
		}
	}
	id, _ := tab.Add(someTarget4)
	isn := tab.cipher.Encrypt(identity{slot: id + chunkSize}.word()) ^ tab.tweak[0]
	if _, _, m := tab.Find(isn, 0, someTarget4.Addr(), 443); m != Foreign {
		t.Errorf("slot beyond the first chunk: %v", m)
	}
}

func TestTablesHaveKeysOfTheirOwn(t *testing.T) {
	a, b := NewTable[[4]byte](1), NewTable[[4]byte](1)
	ida, _ := a.Add(someTarget4)
	idb, _ := b.Add(someTarget4)
	same := 0
	for port := range 64 {
		if send(a, ida, 0, port) == send(b, idb, 0, port) {
			same++
		}
	}
	if same > 1 {
		t.Errorf("%d of 64 ISNs of two tables are the same", same)
	}
}

func TestSearch(t *testing.T) {
	tab := NewTable[[4]byte](1 << 14)
	var ids []ID
	for i := range 3 * chunkSize {
		id, _ := tab.Add(netip.AddrPortFrom(someTarget4.Addr(), uint16(i)))
		ids = append(ids, id)
		send(tab, id, 0, i%3)
	}
	at := func(i int) netip.AddrPort { return netip.AddrPortFrom(someTarget4.Addr(), uint16(i)) }
	for _, i := range []int{0, 1, chunkSize, 3*chunkSize - 1} {
		if id, ok := tab.Search(at(i), i%3); !ok || id != ids[i] {
			t.Errorf("probe %d: slot %d %v, want %d", i, id, ok, ids[i])
		}
		if _, ok := tab.Search(at(i), (i+1)%3); ok {
			t.Errorf("probe %d found by a port it did not leave from", i)
		}
	}
	tab.Slot(ids[5]).Clear(FlagSent)
	tab.Remove(ids[6])
	for _, i := range []int{5, 6, 3 * chunkSize} {
		if _, ok := tab.Search(at(i), i%3); ok {
			t.Errorf("probe %d found", i)
		}
	}
}

func TestAll(t *testing.T) {
	tab := NewTable[[4]byte](3 * chunkSize)
	for range 2*chunkSize + 5 {
		tab.Add(someTarget4)
	}
	tab.Remove(3)
	n := 0
	tab.All(func(id ID, s *Slot[[4]byte]) bool {
		if id == 3 || s != tab.Slot(id) {
			t.Errorf("slot %d", id)
		}
		n++
		tab.Remove(id)
		return true
	})
	if n != 2*chunkSize+4 || tab.Len() != 0 {
		t.Errorf("%d seen, %d left", n, tab.Len())
	}
	tab.Add(someTarget4)
	tab.Add(someTarget4)
	n = 0
	tab.All(func(ID, *Slot[[4]byte]) bool { n++; return false })
	if n != 1 {
		t.Errorf("%d seen after the end was asked for", n)
	}
}

// probe is what the model knows of a slot.
type probe struct {
	target netip.AddrPort
	isns   []uint32 // by attempt
	ports  []int
	ended  bool
}

// The table does what a map would do, for random probes that begin, ask again and end.
func TestTableModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	tab := NewTable[[4]byte](5000)
	model := map[ID]*probe{} // the last probe of each slot
	var live []ID
	for step := range 300_000 {
		switch k := rnd.IntN(10); {
		case k < 3 && len(live) < 5000:
			target := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(rnd.Uint32()), byte(rnd.Uint32())}), uint16(rnd.IntN(3)))
			id, ok := tab.Add(target)
			if old := model[id]; !ok || old != nil && !old.ended {
				t.Fatalf("step %d: slot %d, %v, is taken", step, id, ok)
			}
			model[id] = &probe{target: target}
			live = append(live, id)
		case k < 5 && len(live) > 0:
			id := live[rnd.IntN(len(live))]
			if p := model[id]; len(p.isns) < 16 {
				port := rnd.IntN(64)
				p.isns, p.ports = append(p.isns, send(tab, id, len(p.isns), port)), append(p.ports, port)
			}
		case k < 7 && len(live) > 0 && rnd.IntN(5000) < len(live):
			i := rnd.IntN(len(live))
			tab.Remove(live[i])
			model[live[i]].ended = true
			live[i] = live[len(live)-1]
			live = live[:len(live)-1]
		default:
			id := ID(rnd.IntN(2 * chunkSize))
			if p := model[id]; p != nil && len(p.isns) > 0 {
				askModel(t, rnd, tab, id, p)
			}
		}
		if tab.Len() != len(live) || tab.Room() != 5000-len(live) {
			t.Fatalf("step %d: length %d, room %d, want %d", step, tab.Len(), tab.Room(), len(live))
		}
	}
	if tab.Cap() > 2*chunkSize {
		t.Errorf("%d slots for 5000 probes", tab.Cap())
	}
}

// askModel looks one of the probe's ISNs up: as it is, with one thing wrong, or forged.
func askModel(t *testing.T, rnd *rand.Rand, tab *Table[[4]byte], id ID, p *probe) {
	t.Helper()
	attempt := rnd.IntN(len(p.isns))
	isn, port, from := p.isns[attempt], p.ports[attempt], p.target
	want := Pending
	switch {
	case p.ended:
		want = Late
	case rnd.IntN(4) == 0:
		from = netip.AddrPortFrom(from.Addr().Next(), from.Port())
		want = Elsewhere
	case rnd.IntN(4) == 0:
		isn ^= 1 << rnd.IntN(32)
		want = Foreign
	}
	got, n, m := tab.Find(isn, port, from.Addr(), from.Port())
	if want == Foreign && m != Pending { // a forged number may hit another probe, but never one of the same place
		return
	}
	if m != want || m != Late && (got != id || n != attempt) {
		t.Fatalf("slot %d attempt %d is found as %v slot %d attempt %d, want %v", id, attempt, m, got, n, want)
	}
}
