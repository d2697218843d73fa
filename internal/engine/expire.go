//go:build linux && !android

package engine

import (
	"syscall"

	"github.com/rawshake/rawshake/match"
)

// fire handles the timers that are due.
func (f *family[A]) fire() int {
	return f.table.Fire(f.tickNow(), fireAtOnce, func(id match.ID) {
		s := f.table.Slot(id)
		if int32(f.tickNow()-s.Final) >= 0 {
			f.conclude(id, s)
		} else if f.due(s) {
			f.enqueue(id, s)
		} else {
			f.table.Arm(id, s.Final)
		}
	})
}

// due reports whether a probe whose timer fired has something to send.
func (f *family[A]) due(s *match.Slot[A]) bool {
	if !s.Is(match.FlagSent) {
		return true
	}
	gap, ok := f.cfg.Plan.Gap(s.Attempt())
	return ok && !s.Is(match.FlagExtra) && s.Since(f.at) >= gap
}

// conclude gives the verdict on a probe whose time is over, or one more attempt if the silence may be our own fault.
func (f *family[A]) conclude(id match.ID, s *match.Slot[A]) {
	if !s.Is(match.FlagSent) {
		f.settle(id, s, f.unsent(match.Reason(s.PortIndex())))
		return
	}
	f.countDrops()
	lost := f.lostSince(f.at - s.Since(f.at))
	if (lost || s.Is(match.FlagDropped)) && !s.Is(match.FlagExtra) && s.Attempt() < match.MaxAttempts {
		f.counters.Requeued++
		s.Set(match.FlagExtra)
		s.Clear(match.FlagDropped)
		s.Final = tickAt(f.at + grace)
		f.enqueue(id, s)
		return
	}
	f.settle(id, s, f.silent(s, lost))
}

// unsent makes the verdict on a probe that was never on the wire.
func (f *family[A]) unsent(why match.Reason) *Verdict {
	errno := syscall.EADDRNOTAVAIL
	switch why {
	case match.NoBuffers:
		errno = syscall.ENOBUFS
	case match.Unresolved:
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
		if path.OnLink {
			return f.fresh(match.Unreachable, match.NoNeighbour, syscall.EHOSTUNREACH)
		}
		return f.fresh(match.Unsent, match.GatewayDown, syscall.EHOSTUNREACH)
	case hopUnknown:
		return f.fresh(match.Unsent, match.Unresolved, syscall.EHOSTUNREACH)
	}
	if lost {
		return f.fresh(match.Unsent, match.LossOfOurs, 0)
	}
	return f.fresh(match.Filtered, match.Timeout, 0)
}
