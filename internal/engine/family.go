//go:build linux && !android

package engine

import (
	"errors"
	"net/netip"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/match"
)

// family is the half of a shard that deals with one address family.
type family[A match.Addr] struct {
	*Shard
	table   *match.Table[A]
	later   queue[match.ID] // probes whose next attempt waits for its turn: what is begun is brought to its end
	first   queue[match.ID] // probes whose first attempt does, after those
	waiting queue[match.ID] // probes whose next attempt waits for a source port
	six     bool

	crowdedAt time.Duration // when the kernel last had no room for a neighbour more
}

func (f *family[A]) queued() int { return f.later.len() + f.first.len() }

// submit takes a slot and begins, unless the verdict is known already.
func (f *family[A]) submit(target netip.AddrPort, user uint32, asked, timeout time.Duration, paid bool) (Ticket, bool) {
	if !target.Addr().IsValid() {
		return f.turnAway(target, user, paid, match.Unsent, match.SendFailed, syscall.EINVAL)
	}
	if timeout <= 0 {
		return f.turnAway(target, user, paid, match.Filtered, match.Timeout, 0)
	}
	if f.cfg.Allow != nil && !f.cfg.Allow(target.Addr()) {
		return f.turnAway(target, user, paid, match.Unsent, match.OutOfScope, syscall.EPERM)
	}
	path, err := f.outlet(target)
	if err != nil {
		return f.wayless(target, user, paid, err)
	}
	id, ok := f.table.Add(target)
	if !ok {
		return f.turnAway(target, user, paid, match.Unsent, match.Overload, 0)
	}
	if !f.cfg.Once && !f.ledger.Suffices(f.Len()) {
		f.growLedger()
	}
	s := f.table.Slot(id)
	s.User = user
	s.SetPath(path)
	f.ask(s, tickAt(asked), tickAt(min(timeout, longest)))
	f.hold(s, match.Overload)
	f.holding(s, 1)
	switch first := f.queued() == 0 && f.waiting.len() == 0; {
	case first && (paid || f.cfg.Pacer == nil):
		f.attempt(id, s)
	case paid:
		f.unpay()
		fallthrough
	default:
		f.enqueue(id, s)
	}
	return Ticket{id, f.six}, s.Live()
}

// turnAway is refuse that gives the pacer back what was paid.
func (s *Shard) turnAway(target netip.AddrPort, user uint32, paid bool, state match.State, reason match.Reason, errno syscall.Errno) (Ticket, bool) {
	if paid {
		s.unpay()
	}
	return s.refuse(target, user, state, reason, errno)
}

// refuse gives the verdict on a probe that never took a slot.
func (s *Shard) refuse(target netip.AddrPort, user uint32, state match.State, reason match.Reason, errno syscall.Errno) (Ticket, bool) {
	v := s.fresh(state, reason, errno)
	v.Target = target
	s.counters.Verdicts[state]++
	s.sink.Settle(user, v)
	return Ticket{}, false
}

// target returns the slot's target, with the zone that the path gives it.
func (f *family[A]) target(s *match.Slot[A]) netip.AddrPort {
	addr := s.Addr()
	if f.six {
		addr = addr.WithZone(f.paths[s.Path()].Zone)
	}
	return netip.AddrPortFrom(addr, s.Port)
}

// ask has a probe that was not sent yet wait for its turn, from a tick on, for as many ticks as its timeout has.
func (f *family[A]) ask(s *match.Slot[A], from, timeout uint32) {
	s.SetAsked(from)
	s.Final = from + timeout
}

// timeout returns how many ticks the target of a probe that was not sent yet will have.
func (f *family[A]) timeout(s *match.Slot[A]) uint32 { return s.Final - s.Asked() }

// holding counts a probe among those that wait to be sent for the first time, or takes it off.
func (f *family[A]) holding(s *match.Slot[A], n int) {
	if patient(s.User) {
		f.held += n
	}
}

func patient(user uint32) bool { return user&Patient != 0 }

// hold notes why a probe is not on the wire yet, in the place of the source port that it does not have yet.
func (f *family[A]) hold(s *match.Slot[A], why match.Reason) {
	if !s.Is(match.FlagSent) && !s.Is(match.FlagHeld) {
		s.SetPortIndex(int(why))
	}
}

// enqueue has the next attempt wait for its turn, but no longer than the probe may take.
func (f *family[A]) enqueue(id match.ID, s *match.Slot[A]) { f.enqueueIn(f.queueOf(s), id, s) }

func (f *family[A]) enqueueIn(q *queue[match.ID], id match.ID, s *match.Slot[A]) {
	if !s.Is(match.FlagQueued) {
		s.Set(match.FlagQueued)
		f.table.Arm(id, s.Final)
		q.push(id)
	}
}

func (f *family[A]) push(id match.ID, s *match.Slot[A]) { f.queueOf(s).push(id) }

func (f *family[A]) queueOf(s *match.Slot[A]) *queue[match.ID] {
	if s.Is(match.FlagSent) {
		return &f.later
	}
	return &f.first
}

// settle ends a probe: the verdict, of which state, reason and evidence are filled in, goes to the sink, and the slot is free.
func (f *family[A]) settle(id match.ID, s *match.Slot[A], v *Verdict) {
	v.Target = f.target(s)
	if s.Is(match.FlagSent) && !v.Source.IsValid() {
		v.Source = netip.AddrPortFrom(f.paths[s.Path()].Source, f.cfg.Ports[s.PortIndex()])
		v.Attempt = s.Attempt()
	}
	f.counters.Verdicts[v.State]++
	user := s.User
	f.release(id, s)
	f.sink.Settle(user, v)
}

// release frees the slot and what it holds.
func (f *family[A]) release(id match.ID, s *match.Slot[A]) {
	f.dropPort(s)
	if !s.Is(match.FlagSent) {
		f.unpark(id, s)
		f.holding(s, -1)
	}
	f.table.Remove(id)
}

// growLedger has the ledger keep up with the probes in flight.
func (s *Shard) growLedger() {
	s.ledger.Grow()
	s.v4.holdPorts()
	s.v6.holdPorts()
}

func (f *family[A]) holdPorts() {
	f.table.All(func(_ match.ID, s *match.Slot[A]) bool {
		if s.Is(match.FlagHeld) {
			f.ledger.Hold(netip.AddrPortFrom(s.Addr(), s.Port), s.PortIndex())
		}
		return true
	})
}

func (f *family[A]) dropPort(s *match.Slot[A]) {
	if s.Is(match.FlagHeld) {
		s.Clear(match.FlagHeld)
		f.ledger.Give(netip.AddrPortFrom(s.Addr(), s.Port), s.PortIndex())
		for f.waiting.len() > 0 { // it may be what they wait for
			id := f.waiting.pop()
			f.push(id, f.table.Slot(id))
		}
	}
}

func (f *family[A]) cancel(id match.ID, user uint32) {
	if int(id) >= f.table.Cap() {
		return
	}
	if s := f.table.Slot(id); s.Live() && s.User == user {
		f.release(id, s)
	}
}

// cancelAll ends every pending probe of a user without a verdict, and returns how many there were.
func (s *Shard) cancelAll(user uint32) int {
	s.Flush() // no batch holds a SYN of a probe that is gone
	return s.v4.cancelAll(user) + s.v6.cancelAll(user)
}

func (f *family[A]) cancelAll(user uint32) (n int) {
	f.table.All(func(id match.ID, s *match.Slot[A]) bool {
		if s.User == user {
			f.release(id, s)
			n++
		}
		return true
	})
	return n
}

func (f *family[A]) targets(fn func(netip.AddrPort)) {
	f.table.All(func(_ match.ID, s *match.Slot[A]) bool {
		fn(f.target(s))
		return true
	})
}

func (f *family[A]) abort(why match.Reason, errno syscall.Errno) {
	f.table.All(func(id match.ID, s *match.Slot[A]) bool {
		v := f.fresh(match.Unsent, why, errno)
		f.settle(id, s, v)
		return true
	})
}

// fresh starts a verdict that falls now.
func (s *Shard) fresh(state match.State, reason match.Reason, errno syscall.Errno) *Verdict {
	v := &s.verdict
	*v = Verdict{State: state, Reason: reason, Errno: errno, Time: s.wall + int64(s.at)}
	return v
}

// localError says what an errno of a route lookup or of a send means for the target.
func localError(err error) (match.State, match.Reason, syscall.Errno) {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		errno = syscall.EIO
	}
	switch errno {
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EACCES, syscall.EINVAL:
		return match.Unreachable, match.NoRoute, errno
	case syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT:
		return match.Unsent, match.NoSource, errno
	case syscall.EPERM:
		return match.Unsent, match.LocalFirewall, errno
	case syscall.ENETDOWN, syscall.ENXIO, syscall.ENODEV:
		return match.Unsent, match.LinkDown, errno
	case syscall.ENOBUFS, syscall.EAGAIN, syscall.ENOMEM:
		return match.Unsent, match.NoBuffers, errno
	}
	return match.Unsent, match.SendFailed, errno
}
