//go:build linux && !android

package engine

import (
	"net/netip"
	"time"

	"github.com/rawshake/rawshake/match"
)

// pickPort chooses the source port of the next attempt: one that no pending probe of the target uses, and another than before.
// If there is none, it says how long to wait for one.
func (f *family[A]) pickPort(s *match.Slot[A], target netip.AddrPort) (int, time.Duration) {
	f.rotor++
	start := f.rotor % len(f.cfg.Ports)
	last := -1
	if s.Is(match.FlagSent) {
		last = s.PortIndex()
	}
	switch {
	case len(f.cfg.Ports) == 1 && s.Is(match.FlagHeld):
		return last, 0
	case f.cfg.Once:
		return f.another(target, start, last), 0
	}
	port, ok := f.takePort(target, start, last)
	if !ok { // in use: shared, if at all
		if patience := f.patience(s, target); patience > 0 {
			return 0, patience
		}
		port = start
		if port == last {
			port = (port + 1) % len(f.cfg.Ports)
		}
	}
	f.dropPort(s)
	if ok {
		s.Set(match.FlagHeld)
	}
	return port, 0
}

// another returns the first port from start on that a segment to target may leave from, if there is one: not the last one, and not
// the target's own.
func (f *family[A]) another(target netip.AddrPort, start, last int) int {
	for range f.cfg.Ports {
		if start != last && !f.isSelf(target, start) {
			break
		}
		start = (start + 1) % len(f.cfg.Ports)
	}
	return start
}

// takePort takes a free port from start on. It leaves out the last one, and one that would make the segment its own answer.
func (f *family[A]) takePort(target netip.AddrPort, start, last int) (int, bool) {
	port, ok := f.ledger.Take(target, start)
	if !ok || len(f.cfg.Ports) == 1 || port != last && !f.isSelf(target, port) {
		return port, ok
	}
	other, ok := f.takePort(target, port+1, last) // while this one is taken
	f.ledger.Give(target, port)
	return other, ok
}

// isSelf reports whether a segment from the port to target would be its own answer: a host that talks to itself.
func (f *family[A]) isSelf(target netip.AddrPort, port int) bool {
	return f.cfg.Ports[port] == target.Port()
}

// patience is how long a probe should wait for a port of its own before it shares one. A later attempt keeps to its schedule
// unless the target has answered others since the one before.
func (f *family[A]) patience(s *match.Slot[A], target netip.AddrPort) time.Duration {
	waited := f.waited(s)
	quiet := time.Duration(f.ledger.Quiet(target, f.tickNow())+1) * tick
	if s.Is(match.FlagSent) && quiet > waited {
		return 0
	}
	left := time.Duration(int32(s.Final-f.tickNow())) * tick
	return min(portWait, (waited+left)/2) - min(waited, quiet)
}

// waited returns the time since the last attempt, or since the probe was asked for.
func (f *family[A]) waited(s *match.Slot[A]) time.Duration {
	if s.Is(match.FlagSent) {
		return s.Since(f.at)
	}
	return time.Duration(max(int32(f.tickNow()-s.Asked()), 0)) * tick
}
