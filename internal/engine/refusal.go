//go:build linux && !android

package engine

import (
	"time"

	"github.com/rawshake/rawshake/match"
)

const (
	refusedTimes = 3                      // in a row that packets are refused: one may be by chance
	stall        = 100 * time.Millisecond // how long nothing leaves, until what left before may still be in the queue that is full
)

// refusal is a time in which an interface that is up takes no packet of ours: its queue is full. As a rule that passes, all the sooner
// when less is sent; see Config.OnLoss.
type refusal struct {
	since   time.Duration
	times   int // 0: packets leave
	ifindex int
}

// Refused returns for how long no packet has left though some were to, and the interface that takes none; 0 and 0 while packets leave.
func (s *Shard) Refused() (lasts time.Duration, ifindex int) {
	if s.refusal.times < refusedTimes {
		return 0, 0
	}
	return s.at - s.refusal.since, s.refusal.ifindex
}

// noRoom notes that an interface which is up had no room for a packet. If none has for long, the SYNs that it took before may not have
// got any further, and those that stay without an answer count as lost.
func (s *Shard) noRoom(path *Path) {
	if s.refusal.times == 0 {
		s.refusal.since = s.at
	}
	s.refusal.times++
	s.refusal.ifindex = path.Interface
	if lasts, _ := s.Refused(); lasts >= stall {
		s.lossAt = s.at
	}
	s.loss()
}

// wantsRoom reports whether an attempt of a probe waits for room at an interface.
func (f *family[A]) wantsRoom(s *match.Slot[A]) bool {
	if s.Is(match.FlagSent) {
		return f.refusal.times > 0
	}
	return match.Reason(s.PortIndex()) == match.NoBuffers
}
