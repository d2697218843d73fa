//go:build linux && !android

package engine

import (
	"net/netip"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/match"
)

const (
	waysEvery   = 10 * time.Millisecond  // how often the ways that packets left by are looked at
	outageLeast = 200 * time.Millisecond // how long an outage lasts at least: notices of all that belongs to it are there by then
	puzzled     = time.Second            // how soon after an outage that nothing explained another one is the same
	doubtAtMost = 5 * time.Second        // by when a next hop that has died is known for it: requests without an answer take 4 s
)

// outage is a time in which our side of the network is not there: something on a way that packets left by is gone. The shard stands
// still then. It sends nothing and gives no verdict but on what answers, and its timers wait; afterwards they go on where they were, and
// each pending probe has an extra attempt to come, as after a loss of packets of ours.
type outage struct {
	what   error // nil: there is none
	dst    netip.Addr
	since  time.Duration
	stands time.Duration // since when the shard does
	ended  time.Duration // the last one, if nothing has explained it
	plain  bool          // that something is gone has been seen
}

// Outage returns for how long the shard has waited for what is gone of our side of the network, and what that is; nil for nothing.
func (s *Shard) Outage() (lasts time.Duration, what error) {
	if s.outage.what == nil {
		return 0, nil
	}
	return s.at - s.outage.since, s.outage.what
}

// waits reports whether the shard waits for what is gone, instead of giving verdicts.
func (s *Shard) waits() bool { return s.cfg.Return != nil }

// watchWays looks, now and then, whether an outage begins or ends.
func (s *Shard) watchWays() {
	if !s.waits() || s.at-s.waysAt < waysEvery {
		return
	}
	s.waysAt = s.at
	switch dst, what := s.missing(); {
	case what != nil:
		s.leave(what, dst, true)
	case s.outage.what != nil && s.at-s.outage.stands >= outageLeast:
		s.goOn()
	}
}

// missing returns what is gone of the way to where.
func (s *Shard) missing() (netip.Addr, error) {
	if s.outage.what != nil {
		if what, _ := s.wire.Missing(s.outage.dst, nil); what != nil {
			return s.outage.dst, what
		}
	}
	for _, way := range s.cfg.Ways {
		if what, _ := s.wire.Missing(way.Addr(), nil); what != nil {
			return way.Addr(), what
		}
	}
	for _, p := range s.paths {
		if what, ever := s.wire.Missing(p.first.Addr(), p.Path); what != nil && ever {
			return p.first.Addr(), what
		}
	}
	return netip.Addr{}, nil
}

// Ways calls fn for a target behind each way that has been good, those of Config.Ways included.
func (s *Shard) Ways(fn func(netip.AddrPort)) {
	known := map[*Path]bool{}
	for _, p := range s.paths {
		what, ever := s.wire.Missing(p.first.Addr(), p.Path)
		if what != nil && ever && s.waits() {
			s.leave(what, p.first.Addr(), true) // it may be told but once
		}
		if good := what == nil || ever; good && (p.Heard != 0 || !p.Gateway.IsValid()) {
			known[p.Path] = true
			fn(p.first)
		}
	}
	for _, way := range s.cfg.Ways {
		if p, err := s.wire.Path(way.Addr()); err != nil || !known[p] {
			fn(way)
		}
	}
}

// leave begins an outage, or goes on with it.
func (s *Shard) leave(what error, dst netip.Addr, plain bool) {
	o := &s.outage
	if o.what == nil {
		if o.stands = s.at; s.at-o.ended >= puzzled {
			o.since = s.at
		}
	}
	o.what, o.dst, o.plain = what, dst, o.plain || plain
}

// lost reports whether a failure on the way to dst is because something is gone that was there; then there is an outage. What a send
// says may be ahead of the kernel's notices: an error of the network that nothing explains counts as a sign of what is to be told.
func (s *Shard) lost(dst netip.Addr, failure syscall.Errno) bool {
	if !s.waits() {
		return false
	}
	what, ever := s.wire.Missing(dst, nil)
	switch {
	case what == nil && ofNetwork(failure):
		s.leave(failure, dst, false)
		return true
	case what == nil || !ever:
		dst, what = s.missing() // something else may be: then it is not the time for verdicts
	}
	if what != nil {
		s.leave(what, dst, true)
	}
	return what != nil
}

// goOn ends an outage.
func (s *Shard) goOn() {
	stood := tickAt(s.at - s.outage.stands)
	ended := s.at
	if s.outage.plain {
		ended -= puzzled
	}
	s.outage = outage{since: s.outage.since, ended: ended}
	s.refusal = refusal{}
	s.v4.goOn(stood)
	s.v6.goOn(stood)
}

// goOn has every probe go on by the way that there is now, with as much time as it had left.
func (f *family[A]) goOn(stood uint32) {
	f.table.All(func(id match.ID, s *match.Slot[A]) bool {
		f.unpark(id, s)
		if path, err := f.outlet(f.target(s)); err == nil {
			s.SetPath(path)
		}
		if s.Is(match.FlagSent) { // what was under way may be lost, an extra attempt like any other
			s.Final += stood
			s.Set(match.FlagDropped)
			s.Clear(match.FlagExtra)
		} else {
			f.ask(s, s.Asked()+stood, f.timeout(s))
		}
		if s.Is(match.FlagQueued) {
			f.table.Arm(id, s.Final)
		} else {
			f.table.Arm(id, f.next(s))
		}
		return true
	})
}

// wayless deals with a target to which there is no way: it goes back to the owner if there was one, and else has its verdict.
func (f *family[A]) wayless(target netip.AddrPort, user uint32, paid bool, err error) (Ticket, bool) {
	state, reason, errno := localError(err)
	if f.lost(target.Addr(), errno) {
		if paid {
			f.unpay()
		}
		f.cfg.Return(target)
		return Ticket{}, false
	}
	if what, ever := f.wire.Missing(target.Addr(), nil); what != nil && ever {
		state, reason = match.Unsent, match.LinkDown // it was there, so this is not about the target
	}
	return f.turnAway(target, user, paid, state, reason, errno)
}

// ofNetwork reports whether an errno says that the interface or the route is missing.
func ofNetwork(errno syscall.Errno) bool {
	switch errno {
	case syscall.ENETDOWN, syscall.ENXIO, syscall.ENODEV, syscall.ENETUNREACH:
		return true
	}
	return false
}

// stuck reports whether packets of a pending probe get nowhere because of an outage. It waits, then, like all others.
func (f *family[A]) stuck(id match.ID, s *match.Slot[A]) bool {
	if !f.waits() {
		return false
	}
	var failure syscall.Errno
	switch path := f.paths[s.Path()]; {
	case !f.wire.LinkUp(path.Path):
		failure = syscall.ENETDOWN
	case !path.OnLink && f.health(path, s.Addr()) == hopFailed:
	default:
		return false
	}
	if !f.lost(f.target(s).Addr(), failure) {
		return false
	}
	f.table.Arm(id, f.tickNow()+1)
	return true
}

// doubtful reports whether what looks like the target's silence may be that of the next hop, one that answers when it is asked: it has
// not been heard since the last attempt left, or the kernel has the packet still, or has dropped it, as it asks the hop itself.
func (f *family[A]) doubtful(s *match.Slot[A]) bool {
	path := f.paths[s.Path()]
	switch {
	case !f.waits() || !path.Answers || int32(f.tickNow()-s.Final) > int32(doubtAtMost/tick):
		return false
	case f.health(path, s.Addr()) == hopUnknown:
		s.Set(match.FlagDropped)
		return true
	}
	doubt := path.Heard < f.wall+int64(f.at-s.Since(f.at))
	path.Doubt = path.Doubt || doubt
	return doubt
}
