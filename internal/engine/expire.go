//go:build linux && !android

package engine

import (
	"syscall"

	"github.com/rawshake/rawshake/match"
)

// fire handles the timers that are due.
func (f *family[A]) fire() int {
	return f.table.Fire(f.caughtUp, fireAtOnce, func(id match.ID) {
		s := f.table.Slot(id)
		next := f.next(s)
		switch {
		case int32(f.caughtUp-s.Final) >= 0:
			s.Clear(match.FlagQueued)
			f.conclude(id, s)
		case s.Is(match.FlagQueued): // it may share a port now; if it is in a queue, only the first place counts
			f.table.Arm(id, s.Final)
			f.push(id, s)
		case int32(f.tickNow()-next) >= 0:
			f.enqueue(id, s)
		default: // it fired early: the wheel goes no further
			f.table.Arm(id, next)
		}
	})
}

// over reports whether the probe's time is over.
func (f *family[A]) over(s *match.Slot[A]) bool { return int32(f.tickNow()-s.Final) >= 0 }

// next returns the tick at which a probe that waits for nothing else has something to do: to send, or to end.
func (f *family[A]) next(s *match.Slot[A]) uint32 {
	if !s.Is(match.FlagSent) || s.Is(match.FlagExtra|match.FlagDropped) {
		return f.tickNow() // it wanted to send, and could not
	}
	gap, ok := f.cfg.Plan.Gap(s.Attempt())
	if !ok || s.Is(match.FlagExtra) {
		return s.Final
	}
	if next := tickAt(f.at - s.Since(f.at) + gap); int32(next-s.Final) < 0 {
		return next
	}
	return s.Final
}

// conclude gives the verdict on a probe whose time is over, or one more attempt if the silence may be our own fault.
func (f *family[A]) conclude(id match.ID, s *match.Slot[A]) {
	if f.stuck(id, s) {
		return
	}
	if !s.Is(match.FlagSent) {
		if f.waitsOn(s) {
			f.ask(s, f.tickNow(), f.timeout(s))
			f.enqueue(id, s)
			return
		}
		f.settle(id, s, f.unsent(s))
		return
	}
	if s.Is(match.FlagExtra|match.FlagDropped) && f.waitsOn(s) { // the turn of the extra attempt has not come
		s.Final = tickAt(f.at + grace)
		f.enqueue(id, s)
		return
	}
	if f.doubtful(s) {
		f.table.Arm(id, f.tickNow()+uint32(waysEvery/tick))
		return
	}
	f.countDrops()
	lost := s.Is(match.FlagDropped) || f.lostSince(f.at-s.Since(f.at))
	if lost && !s.Is(match.FlagExtra) && s.Attempt() < match.MaxAttempts {
		f.counters.Requeued++
		s.Set(match.FlagExtra | match.FlagDropped) // dropped until the extra attempt has left
		s.Final = tickAt(f.at + grace)
		f.enqueue(id, s)
		return
	}
	f.settle(id, s, f.silent(s, lost))
}

// waitsOn reports whether a probe whose turn has not come yet should go on waiting. Behind a gateway that does not answer it is no
// use: all would wait for the same. While an interface has no room, a scan that waits for our side of the network slows down and waits;
// others have their verdict after the timeout.
func (f *family[A]) waitsOn(s *match.Slot[A]) bool {
	if !patient(s.User) || !f.waits() && f.wantsRoom(s) {
		return false
	}
	path := f.paths[s.Path()]
	h := f.health(path, s.Addr())
	return h == healthy || h == hopFailed && path.Asks || h == hopUnknown && (path.OnLink || f.waits() && path.Answers)
}

// unsent makes the verdict on a probe that was never on the wire. That its time was over before its turn came has no errno:
// connect(2) has no turns.
func (f *family[A]) unsent(s *match.Slot[A]) *Verdict {
	why, errno := match.Reason(s.PortIndex()), syscall.Errno(0)
	path := f.paths[s.Path()]
	if (why == match.NoBuffers || why == match.Unresolved) && !f.wire.LinkUp(path.Path) { // there is no room where nothing leaves, and no answer
		return f.fresh(match.Unsent, match.LinkDown, syscall.ENETDOWN)
	}
	switch why {
	case match.NoSource: // it waited for a port
		why, errno = match.Overload, syscall.EADDRNOTAVAIL
	case match.NoBuffers:
		errno = syscall.ENOBUFS
	case match.Unresolved:
		if path.Asks && f.health(path, s.Addr()) == hopFailed {
			return f.stranded(path)
		}
		errno = syscall.EHOSTUNREACH
	}
	return f.fresh(match.Unsent, why, errno)
}

// silent makes the verdict on a probe that nothing answered: was the target silent, or did our packets not get far?
func (f *family[A]) silent(s *match.Slot[A], lost bool) *Verdict {
	path := f.paths[s.Path()]
	switch f.health(path, s.Addr()) {
	case linkDown:
		return f.fresh(match.Unsent, match.LinkDown, syscall.ENETDOWN)
	case hopFailed:
		return f.stranded(path)
	case hopUnknown:
		return f.fresh(match.Unsent, match.Unresolved, syscall.EHOSTUNREACH)
	}
	if lost {
		return f.fresh(match.Unsent, match.LossOfOurs, 0)
	}
	return f.fresh(match.Filtered, match.Timeout, 0)
}

// stranded makes the verdict on a probe whose next hop is dead: that is the target, or the way to it.
func (s *Shard) stranded(path *outlet) *Verdict {
	if path.OnLink {
		return s.fresh(match.Unreachable, match.NoNeighbour, syscall.EHOSTUNREACH)
	}
	return s.fresh(match.Unsent, match.GatewayDown, syscall.EHOSTUNREACH)
}
