//go:build linux && !android

package engine

import (
	"net/netip"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
)

// This host may translate addresses between us and the link. Our ring sees replies as they come, and the wire's taps see them as
// sockets do: from the address that was asked, to the port that we asked from.

// elsewhere deals with a valid ISN from another address than was asked: local address translation, perhaps. The wire is asked
// to show replies as sockets see them, and every probe whose SYN left before that asks again, its half-open connection reset.
func (f *family[A]) elsewhere(id match.ID, r *craft.Reply, a *Arrival) {
	f.counters.Ignored++
	if a.Translated || !f.confirm() { // what sockets see is not translated once more
		return
	}
	s := f.table.Slot(id)
	if f.at-s.Since(f.at) >= f.tappedAt {
		return
	}
	if r.Kind == craft.SYNACK {
		f.reset(f.paths[s.Path()], netip.AddrPortFrom(s.Addr(), s.Port), r.LocalPort, r.Ack)
	}
	f.again(id)
}

// confirm has the wire show replies as sockets see them, now that there is translation.
func (s *Shard) confirm() bool {
	if !s.translated && s.wire.Confirm(true) == nil {
		s.translated = true
		s.tap()
	}
	return s.translated
}

const (
	suspectEvery   = time.Second      // how often a wire that says that nothing can be translated is asked once more
	suspicionLasts = 10 * time.Second // after the last cause; each answer costs twice as much meanwhile
)

// suspect has the wire show replies as sockets see them in case that there is translation: where the port that a SYN leaves from is
// translated too, as on the way to a service of Kubernetes, its answer is to a port that our ring does not see. That concerns later
// attempts, and those that are the only one.
func (s *Shard) suspect() {
	switch {
	case s.tapped:
		s.suspectAt = s.at
	case s.at < s.suspectAt:
	case s.wire.Confirm(false) != nil:
		s.suspectAt = s.at + suspectEvery
	default:
		s.tap()
	}
}

// watchSuspicion ends a suspicion that has found nothing for a while.
func (s *Shard) watchSuspicion() {
	if s.tapped && !s.translated && s.at-s.suspectAt > suspicionLasts {
		s.tapped, s.sightings = false, nil
		s.wire.Dismiss()
	}
}

// single reports whether a probe has no time for a second attempt.
func (f *family[A]) single(s *match.Slot[A]) bool {
	gap, more := f.cfg.Plan.Gap(0)
	return !more || gap >= time.Duration(f.timeout(s))*tick
}

// tap notes since when the wire shows replies as sockets see them.
func (s *Shard) tap() {
	if !s.tapped {
		s.tapped, s.suspectAt, s.tappedAt = true, s.at, time.Since(s.epoch)
		s.sightings = make([]sighting, 1<<sightingBits)
	}
}

// sighting is a reply that the wire has shown in one of its two ways, and not in the other yet.
type sighting struct {
	seq, ack uint32
	port     uint16
	kind     craft.Kind
	n        int8 // times that the ring has shown it more often than the taps
	local    netip.Addr
	remote   netip.AddrPort
}

const sightingBits = 12

// sighted reports whether the wire has shown a reply before, in its other way, and whether it had the same addresses there: then
// nothing was translated.
func (s *Shard) sighted(r *craft.Reply, a *Arrival) (seen, same bool) {
	if !s.tapped {
		return false, false
	}
	now := sighting{r.Seq, r.Ack, r.LocalPort, r.Kind, 0, r.Local, netip.AddrPortFrom(r.Remote, r.RemotePort)}
	last := &s.sightings[(uint64(r.Seq)<<32|uint64(r.Ack))*0x9e3779b97f4a7c15>>(64-sightingBits)]
	if last.seq != r.Seq || last.ack != r.Ack || last.port != r.LocalPort || last.kind != r.Kind {
		*last = now
	}
	way := int8(1)
	if a.Translated {
		way = -1
	}
	if last.n*way < 0 {
		seen, same = true, last.local == now.local && last.remote == now.remote
	} else {
		last.local, last.remote = now.local, now.remote
	}
	last.n = max(-100, min(last.n+way, 100))
	return seen, same
}
