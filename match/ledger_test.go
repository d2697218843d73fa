package match

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func TestLedgerTakesInTurn(t *testing.T) {
	for _, n := range []int{1, 2, 3, 63, 64} {
		l := NewLedger(n)
		for i := range n {
			port, ok := l.Take(someTarget4, 5)
			if want := (5 + i) % n; !ok || port != want {
				t.Errorf("%d ports, turn %d: %d %v, want %d", n, i, port, ok, want)
			}
			if !l.Taken(someTarget4, port) {
				t.Errorf("%d ports: %d is not taken", n, port)
			}
		}
		if port, ok := l.Take(someTarget4, 0); ok {
			t.Errorf("%d ports: one more is %d", n, port)
		}
		l.Give(someTarget4, n-1)
		if port, ok := l.Take(someTarget4, 0); !ok || port != n-1 {
			t.Errorf("%d ports: got %d %v, want the one given back", n, port, ok)
		}
	}
}

func TestLedgerQuiet(t *testing.T) {
	l := NewLedger(4)
	if q := l.Quiet(someTarget4, 7); q != 7 {
		t.Errorf("quiet for %d ticks before the first answer", q)
	}
	l.Heard(someTarget4, ^uint32(0)-2)
	if q := l.Quiet(someTarget4, 7); q != 10 {
		t.Errorf("quiet for %d ticks, want 10", q)
	}
	if l.Taken(someTarget4, 0) {
		t.Error("an answer takes ports")
	}
}

func TestLedgerSuffices(t *testing.T) {
	for _, c := range []struct{ ports, inFlight, rows int }{
		{64, 1, 1024}, {64, 4096, 1024}, {64, 4097, 2048}, {64, 1 << 20, 1 << 18}, {64, MaxSlots, 1 << 20},
		{4, 1 << 16, 1 << 18}, {4, 1 << 20, 1 << 20}, {1, MaxSlots, 1 << 20},
	} {
		l := NewLedger(c.ports)
		for !l.Suffices(c.inFlight) {
			l.Grow()
		}
		if len(l.rows) != c.rows {
			t.Errorf("%d ports, %d in flight: %d rows, want %d", c.ports, c.inFlight, len(l.rows), c.rows)
		}
	}
}

// A ledger that grows knows when targets answered, and what it is told again.
func TestLedgerGrows(t *testing.T) {
	l := NewLedger(64)
	var targets []netip.AddrPort
	for i := range 100 {
		targets = append(targets, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80))
		l.Take(targets[i], i)
		l.Heard(targets[i], uint32(i))
	}
	l.Grow()
	for _, target := range targets {
		if l.row(target).taken != 0 {
			t.Errorf("%v has ports", target)
		}
	}
	for i, target := range targets {
		l.Hold(target, i%64)
		if !l.Taken(target, i%64) || l.Quiet(target, 1000) > 1000-uint32(i) {
			t.Errorf("%v: port %d taken %v, quiet %d", target, i%64, l.Taken(target, i%64), l.Quiet(target, 1000))
		}
	}
}

// Neighbouring addresses and ports, as a scan has them, must not share rows more than chance has them share.
func TestLedgerSpreads(t *testing.T) {
	for name, target := range map[string]func(int) netip.AddrPort{
		"addresses of a net": func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 443)
		},
		"nets": func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 443)
		},
		"ports of a host": func(i int) netip.AddrPort { return netip.AddrPortFrom(someTarget4.Addr(), uint16(i)) },
		"ports of a host, IPv6": func(i int) netip.AddrPort {
			return netip.AddrPortFrom(someTarget6.Addr(), uint16(i))
		},
		"addresses of a net, IPv6": func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 14: byte(i >> 8), 15: byte(i)}), 443)
		},
		"nets, IPv6": func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 6: byte(i >> 8), 7: byte(i), 15: 1}), 443)
		},
	} {
		l := NewLedger(64)
		for !l.Suffices(1 << 20) {
			l.Grow()
		}
		rows := map[*row]int{}
		most := 0
		for i := range 1 << 16 {
			r := l.row(target(i))
			rows[r]++
			most = max(most, rows[r])
		}
		if most > 8 { // 65536 balls into four times as many rows: 4 or 5
			t.Errorf("%s: %d share a row", name, most)
		}
	}
}

// The ledger does what a set for each target would do, where no row is shared.
func TestLedgerModel(t *testing.T) {
	const ports = 7
	rnd := rand.New(rand.NewPCG(6, 7))
	l := NewLedger(ports)
	var targets []netip.AddrPort
	used := map[*row]bool{}
	for i := uint16(1); len(targets) < 50; i++ {
		if at := netip.AddrPortFrom(someTarget6.Addr(), i); !used[l.row(at)] {
			used[l.row(at)] = true
			targets = append(targets, at)
		}
	}
	taken := map[netip.AddrPort]map[int]bool{}
	for _, at := range targets {
		taken[at] = map[int]bool{}
	}
	for range 100_000 {
		at := targets[rnd.IntN(len(targets))]
		set := taken[at]
		if rnd.IntN(2) == 0 {
			port := rnd.IntN(ports)
			if l.Taken(at, port) != set[port] {
				t.Fatalf("%v port %d taken: %v", at, port, !set[port])
			}
			l.Give(at, port)
			delete(set, port)
			continue
		}
		start := rnd.IntN(100)
		want := start % ports
		for i := 0; set[want] && i < ports; i++ {
			want = (want + 1) % ports
		}
		port, ok := l.Take(at, start)
		if ok == (len(set) == ports) || ok && port != want {
			t.Fatalf("%v from %d: %d %v, want %d with %v taken", at, start, port, ok, want, set)
		}
		if ok {
			set[port] = true
		}
	}
}
