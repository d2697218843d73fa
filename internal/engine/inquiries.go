//go:build linux && !android

package engine

import (
	"slices"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/match"
)

// inquiries are the neighbours whose link addresses the wire asks for, with the probes that wait to be sent there. Nothing of them is in
// the kernel.
type inquiries struct {
	waiting  map[hop][]Ticket
	total    int           // probes
	joined   time.Duration // when the last of them began to wait
	reviewed time.Duration
}

// maxInquiries bounds how many probes wait so: dead neighbours are asked for three seconds each, and every question is heard by the
// whole link.
const maxInquiries = 4096

// due returns when to look for answers: often for those who live, of whom most answer within a millisecond, but a look at each takes its
// time.
func (n *inquiries) due() time.Duration {
	if n.reviewed-n.joined > reviewEvery {
		return n.reviewed + reviewEvery
	}
	return n.reviewed + tick + time.Duration(n.total)*5*time.Microsecond
}

// inquire reports whether the next attempt may leave for a neighbour of which the wire must know the link address. If not, the probe
// ends, or waits for that.
func (f *family[A]) inquire(id match.ID, s *match.Slot[A], path *outlet, port int) bool {
	h := hop{path.Path, s.Addr()}
	switch f.look(h) {
	case NeighbourKnown:
		return true
	case NeighbourFailed:
		f.bury(id, s, path)
	default:
		f.postpone(id, s, port, match.Unresolved, 10)
		f.park(h, id, s)
	}
	return false
}

// look asks the wire about a hop, and the pacer for what the wire asks.
func (s *Shard) look(h hop) Neighbour {
	state, asked := s.wire.Inquire(h.path, h.addr)
	if asked {
		s.owed++
	}
	return state
}

// bury ends a probe whose target, a neighbour, is dead, unless it is our link that is down.
func (f *family[A]) bury(id match.ID, s *match.Slot[A], path *outlet) {
	if f.wire.LinkUp(path.Path) {
		f.settle(id, s, f.stranded(path))
	} else if !f.stuck(id, s) {
		f.settle(id, s, f.fresh(match.Unsent, match.LinkDown, syscall.ENETDOWN))
	}
}

// park has a probe that was not sent yet wait until its hop is known or has failed, if there is room.
func (f *family[A]) park(h hop, id match.ID, s *match.Slot[A]) {
	n := &f.inquiries
	t := Ticket{id, f.six}
	if !slices.Contains(n.waiting[h], t) {
		if s.Is(match.FlagSent) || n.total >= maxInquiries {
			return
		}
		if n.waiting == nil {
			n.waiting = make(map[hop][]Ticket)
		}
		n.waiting[h] = append(n.waiting[h], t)
		n.total++
		n.joined = f.at
		f.holding(s, -1)
	}
	f.table.Arm(id, s.Final)
}

// unpark has a probe that was not sent yet wait no more.
func (f *family[A]) unpark(id match.ID, s *match.Slot[A]) {
	n := &f.inquiries
	if n.total == 0 {
		return
	}
	h := hop{f.paths[s.Path()].Path, s.Addr()}
	i := slices.Index(n.waiting[h], Ticket{id, f.six})
	if i < 0 {
		return
	}
	n.total--
	f.holding(s, 1)
	if n.waiting[h] = slices.Delete(n.waiting[h], i, i+1); len(n.waiting[h]) == 0 {
		delete(n.waiting, h)
	}
}

// reviewInquiries has the probes go on whose hops are known or have failed.
func (s *Shard) reviewInquiries() {
	n := &s.inquiries
	if n.total == 0 || s.at < n.due() {
		return
	}
	n.reviewed = s.at
	for h, probes := range n.waiting {
		state := s.look(h)
		if state == NeighbourUnknown {
			continue
		}
		for _, p := range slices.Clone(probes) {
			if p.six {
				s.v6.resume(p.id, state)
			} else {
				s.v4.resume(p.id, state)
			}
		}
	}
}

// resume has a probe go on whose hop is known or has failed. With its question it has begun, so now it goes before those that have not.
func (f *family[A]) resume(id match.ID, state Neighbour) {
	s := f.table.Slot(id)
	if state == NeighbourFailed {
		f.bury(id, s, f.paths[s.Path()])
		return
	}
	f.unpark(id, s)
	f.hold(s, match.Overload)
	f.enqueueIn(&f.later, id, s)
}
