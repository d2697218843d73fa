//go:build linux && !android

package engine

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
)

// stub is a wire that takes as many packets as it is told, and brings none.
type stub struct {
	path   Path
	way    func() *Path // if not nil, instead of path
	frames [BatchSize][craft.FrameSize]byte
	take   int // of a batch; the rest is not sent, for no reason
	calls  int
}

func (w *stub) Senders() []Sender                     { return []Sender{w} }
func (w *stub) Receive(int, func(*Arrival)) int       { return 0 }
func (w *stub) Drops() uint64                         { return 0 }
func (w *stub) Wait(time.Duration, bool)              {}
func (w *stub) Wake()                                 {}
func (w *stub) Neighbour(*Path, netip.Addr) Neighbour { return NeighbourKnown }
func (w *stub) Inquire(*Path, netip.Addr) (Neighbour, bool) {
	return NeighbourKnown, false
}
func (w *stub) Missing(netip.Addr, *Path) (error, bool) { return nil, true }
func (w *stub) LinkUp(*Path) bool                       { return true }
func (w *stub) Confirm() error                          { return nil }
func (w *stub) Close() error                            { return nil }
func (w *stub) Frame(i int) []byte                      { return w.frames[i][:] }
func (w *stub) Set(int, int, netip.Addr, *Path)         {}
func (w *stub) Send(from, to int) (int, error)          { w.calls++; return min(w.take, to-from), nil }

func (w *stub) Path(netip.Addr) (*Path, error) {
	if w.way != nil {
		return w.way(), nil
	}
	return &w.path, nil
}

// tally counts verdicts.
type tally map[match.Reason]int

func (s tally) Settle(_ uint32, v *Verdict) { s[v.Reason]++ }

func newStub(t *testing.T, take, limit int) (*Shard, *stub, tally) {
	t.Helper()
	w := &stub{path: Path{Source: netip.MustParseAddr("192.0.2.1")}, take: take}
	var ports []uint16
	for i := range uint16(match.MaxPorts) {
		ports = append(ports, 40000+i)
	}
	sink := tally{}
	s, err := New(Config{Ports: ports, Limit: limit}, w, sink)
	if err != nil {
		t.Fatal(err)
	}
	return s, w, sink
}

func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 443)
}

// A sender that sends less than it was given, and does not say why, must not make probes vanish.
func TestSilentSender(t *testing.T) {
	for _, take := range []int{0, 1, 10} {
		synctest.Test(t, func(t *testing.T) {
			s, w, sink := newStub(t, take, 1000)
			for i := range 100 {
				s.Submit(address(i), 0, s.Now(), 50*time.Millisecond, false)
			}
			for range 100 {
				s.Step()
				time.Sleep(time.Millisecond)
			}
			want := match.Timeout
			if take == 0 {
				want = match.NoBuffers
			}
			if sink[want] != 100 || s.Len() != 0 || w.calls > 100*100 {
				t.Errorf("%d at a time: verdicts %v, %d pending, %d calls", take, sink, s.Len(), w.calls)
			}
		})
	}
}

// A ticket is good for its own probe only.
func TestCancelOfAnother(t *testing.T) {
	s, _, _ := newStub(t, BatchSize, 10)
	ticket, _ := s.Submit(address(0), 7, s.Now(), time.Hour, false)
	s.Cancel(ticket, 8)
	if s.Len() != 1 {
		t.Error("cancelled by another")
	}
	s.Cancel(ticket, 7)
	s.Cancel(ticket, 7)
	s.Cancel(Ticket{id: 5000}, 7)
	s.Cancel(Ticket{six: true}, 7)
	if s.Len() != 0 {
		t.Errorf("%d pending", s.Len())
	}
}

func TestTimeoutBeyondTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, sink := newStub(t, BatchSize, 10)
		s.Submit(address(0), 0, s.Now(), 40*24*time.Hour, false)
		for range 10 {
			s.Step()
			time.Sleep(24 * time.Hour)
		}
		if len(sink) != 0 {
			t.Errorf("after ten days: %v", sink)
		}
		time.Sleep(5 * 24 * time.Hour)
		s.Step()
		if sink[match.Timeout] != 1 {
			t.Errorf("after 15 days: %v", sink)
		}
	})
}

// A RST may be about either of two ISNs. In a full table the wrong one may well be another probe's; the right one counts.
func TestFindTakesTheBest(t *testing.T) {
	for range 50 { // tables, until one has ISNs that are neighbours
		if s := fullTable(t); neighbours4(t, s) {
			return
		}
	}
	t.Error("no two ISNs were neighbours")
}

// fullTable makes a shard with 4096 probes on the wire that have used up their attempts.
func fullTable(t *testing.T) *Shard {
	s, _, _ := newStub(t, BatchSize, 4096)
	for i := range 4096 {
		s.Submit(address(i), 0, s.Now(), time.Hour, false)
	}
	s.Flush()
	s.v4.table.All(func(_ match.ID, slot *match.Slot[[4]byte]) bool {
		slot.SetAttempt(15)
		return true
	})
	return s
}

// neighbours4 has RSTs arrive whose acknowledgment number may stand for two ISNs, and reports whether there were any.
func neighbours4(t *testing.T, s *Shard) (any bool) {
	f := &s.v4
	f.table.All(func(id match.ID, slot *match.Slot[[4]byte]) bool {
		for n := range 16 * 16 {
			attempt, port := n%16, n/16
			isn := f.table.ISN(id, attempt, port)
			if _, _, m := f.table.Find(isn-1, port, slot.Addr(), slot.Port); m == match.Foreign {
				continue
			}
			any = true
			r := craft.Reply{
				Kind: craft.RST, Flags: craft.FlagRST | craft.FlagACK, Ack: isn, Local: s.paths[0].Source,
				Remote: slot.Addr(), RemotePort: slot.Port, LocalPort: s.cfg.Ports[port],
			}
			if i, k, m := f.find(&r, port); i != id || k != attempt || m != match.Pending {
				t.Errorf("slot %d attempt %d is found as %v slot %d attempt %d", id, attempt, m, i, k)
			}
		}
		return true
	})
	return any
}
