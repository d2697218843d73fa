//go:build linux && !android

package scan

import (
	"errors"
	"hash/fnv"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

const ms = time.Millisecond

// world is what stands behind the wires of all lanes: the fate of a target depends on the target alone.
type world struct {
	mu    sync.Mutex
	wires []*wiretest.Wire
	tweak func(*wiretest.Wire) // of each new wire; may be nil
	host  wiretest.Host        // if nil, fated
}

// open is Config.openWires.
func (w *world) open(lanes int) (wires []engine.Wire, ports [][]uint16, err error) {
	for lane := range lanes {
		wires = append(wires, w.wire())
		first := uint16(40000 + 100*lane)
		ports = append(ports, []uint16{first, first + 1, first + 2, first + 3, first + 4, first + 5, first + 6, first + 7})
	}
	return wires, ports, nil
}

func (w *world) wire() engine.Wire {
	w.mu.Lock()
	defer w.mu.Unlock()
	wire := wiretest.New(func(pkt []byte) []wiretest.Packet {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.host != nil {
			return w.host(pkt)
		}
		return fated(pkt)
	})
	wire.RouteErr = noRoute
	if w.tweak != nil {
		w.tweak(wire)
	}
	w.wires = append(w.wires, wire)
	return wire
}

// sent returns every packet that was sent, with its segment, in the order of time.
func (w *world) sent() (all []flying) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wire := range w.wires {
		for _, p := range wire.Sent() {
			s, _ := wiretest.Parse(p.Data)
			all = append(all, flying{p.At, s})
		}
	}
	slices.SortStableFunc(all, func(a, b flying) int { return a.at.Compare(b.at) })
	return all
}

type flying struct {
	at time.Time
	wiretest.Segment
}

func isSYN(f flying) bool { return f.SYN }
func isRST(f flying) bool { return f.RST }

func count(all []flying, pick func(flying) bool) (n int) {
	for _, f := range all {
		if pick(f) {
			n++
		}
	}
	return n
}

func syns(all []flying) []flying {
	return slices.DeleteFunc(slices.Clone(all), func(f flying) bool { return !f.SYN })
}

func hash(t netip.AddrPort) uint64 {
	h := fnv.New64a()
	b, _ := netip.AddrPortFrom(t.Addr().WithZone(""), t.Port()).MarshalBinary()
	h.Write(b)
	return h.Sum64() >> 13
}

// fate is the one right verdict on a target.
func fate(t netip.AddrPort) (match.State, match.Reason) {
	if noRoute(t.Addr()) != nil {
		return match.Unreachable, match.NoRoute
	}
	switch hash(t) % 8 {
	case 0, 1:
		return match.Open, match.SYNACK
	case 2, 3:
		return match.Closed, match.RST
	case 4:
		return match.Unreachable, match.AdminProhibited
	}
	return match.Filtered, match.Timeout
}

// noRoute leaves some addresses without a route.
func noRoute(a netip.Addr) error {
	if b := a.AsSlice(); b[len(b)-1]%16 == 13 {
		return syscall.ENETUNREACH
	}
	return nil
}

// fated is a Host that gives each target its fate, up to 200 ms later and sometimes twice.
func fated(pkt []byte) []wiretest.Packet {
	s, ok := wiretest.Parse(pkt)
	if !ok || !s.SYN {
		return nil
	}
	h := hash(s.To)
	host := wiretest.Silent
	switch state, _ := fate(s.To); state {
	case match.Open:
		host = wiretest.Open
	case match.Closed:
		host = wiretest.Closed
	case match.Unreachable:
		host = prohibited
	}
	if h%5 == 0 {
		host = wiretest.Duplicate(1, 10*ms, host)
	}
	return wiretest.Delay(time.Duration(h>>3%200)*ms, host)(pkt)
}

func prohibited(pkt []byte) []wiretest.Packet {
	router, typ, code := netip.MustParseAddr("192.0.2.254"), uint8(3), uint8(13)
	if pkt[0]>>4 == 6 {
		router, typ, code = netip.MustParseAddr("2001:db8::fe"), 1, 1
	}
	return []wiretest.Packet{{Data: wiretest.ICMP(router, pkt, typ, code, 8)}}
}

// log is a Handler that keeps verdicts as a file would: those before the last Checkpoint survive a crash.
type log struct {
	kept, tail []engine.Verdict
	state      *State
	taken      int           // verdicts, those that a crash lost included
	points     int           // checkpoints
	onResults  func() error  // may be nil
	onPoint    func(s State) // likewise
}

func (l *log) Results(v []engine.Verdict) error {
	l.tail = append(l.tail, v...)
	l.taken += len(v)
	if l.onResults != nil {
		return l.onResults()
	}
	return nil
}

func (l *log) Checkpoint(s State) error {
	l.commit()
	l.points++
	l.state = &State{Lanes: slices.Clone(s.Lanes), Ways: s.Ways, Totals: s.Totals}
	if l.onPoint != nil {
		l.onPoint(s)
	}
	return nil
}

func (l *log) commit() {
	l.kept = append(l.kept, l.tail...)
	l.tail = nil
}

// crash forgets what came after the last Checkpoint.
func (l *log) crash() { l.tail = nil }

// run scans to the end and returns the verdicts by target.
func run(t *testing.T, c Config, w *world) (map[netip.AddrPort]engine.Verdict, *Scan) {
	t.Helper()
	s := start(t, c, w)
	var l log
	if err := s.Run(t.Context(), &l); err != nil {
		t.Fatal(err)
	}
	l.commit()
	return once(t, l.kept), s
}

func start(t *testing.T, c Config, w *world) *Scan {
	t.Helper()
	c.openWires = w.open
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// once puts verdicts in a map; no target may have two.
func once(t testing.TB, all []engine.Verdict) map[netip.AddrPort]engine.Verdict {
	t.Helper()
	by := make(map[netip.AddrPort]engine.Verdict, len(all))
	for _, v := range all {
		if old, twice := by[v.Target]; twice {
			t.Errorf("%v has two verdicts: %v and %v", v.Target, old.State, v.State)
		}
		by[v.Target] = v
	}
	return by
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, test func(t *testing.T)) { synctest.Test(t, test) }

var errCrash = errors.New("crash")
