//go:build linux && !android

package scan

import (
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/target"
)

// State is how far a scan is. Together with the records that were handed over before it, it says all: a scan that goes on from
// it, with the same targets, seed and shard, gives the remaining targets one verdict each.
type State struct {
	Lanes  []LaneState
	Ways   target.Numbers // targets, one behind each way that packets left by: who goes on waits until there are such ways again
	Totals Totals
}

// LaneState is how far one lane is.
type LaneState struct {
	Position uint64         // in the lane's share of the order: everything before it was taken
	Pending  target.Numbers // taken, and without a verdict

	ways    target.Numbers
	totals  Totals // of this session, without SendTime: lanes send side by side
	sending span
}

// span is the time from one event to another; zero: none yet.
type span struct{ first, last time.Time }

// with returns the span of two.
func (s span) with(o span) span {
	switch {
	case o.first.IsZero():
		return s
	case s.first.IsZero():
		return o
	}
	if o.first.Before(s.first) {
		s.first = o.first
	}
	if o.last.After(s.last) {
		s.last = o.last
	}
	return s
}

func (s span) length() time.Duration { return s.last.Sub(s.first) }

// Totals are the counters of a scan since its beginning, over all its sessions.
type Totals struct {
	Verdicts   [match.NumStates]uint64 // by state
	Reasons    Reasons                 // of the unreachable and the unsent
	Incomplete uint64                  // of the unsent: all but those out of scope, see README.md on what makes a scan incomplete
	SYNSent    uint64
	RSTSent    uint64
	Duplicates uint64
	Ignored    uint64
	RingDrops  uint64
	SendErrors uint64
	Requeued   uint64 // targets that got an extra attempt because packets were lost on our side

	SendTime time.Duration // from the first SYN of a session to its last, added up
}

// Reasons counts why targets are in their state, by state.
type Reasons [match.NumStates][match.NumReasons]uint64

// Done returns how many targets have their verdict.
func (t Totals) Done() (n uint64) {
	for _, v := range t.Verdicts {
		n += v
	}
	return n
}

func (t *Totals) add(o Totals) {
	for i, v := range o.Verdicts {
		t.Verdicts[i] += v
		for j, n := range o.Reasons[i] {
			t.Reasons[i][j] += n
		}
	}
	t.Incomplete += o.Incomplete
	t.SYNSent += o.SYNSent
	t.RSTSent += o.RSTSent
	t.Duplicates += o.Duplicates
	t.Ignored += o.Ignored
	t.RingDrops += o.RingDrops
	t.SendErrors += o.SendErrors
	t.Requeued += o.Requeued
	t.SendTime += o.SendTime
}

// totalsOf reads a shard's counters.
func totalsOf(c engine.Counters) Totals {
	return Totals{
		Verdicts: c.Verdicts, SYNSent: c.SYNSent, RSTSent: c.RSTSent, Duplicates: c.Duplicates,
		Ignored: c.Ignored, RingDrops: c.RingDrops, SendErrors: c.SendErrors, Requeued: c.Requeued,
	}
}

// missing tells whether a verdict is missing where a target was unsent for the reason. That it is out of scope is what the user wants,
// and nothing is missing. Whatever else it is, this host could not ask: it has lost what was answered, or is overloaded, has no
// buffers, no source address, no link, no gateway that answers, or a firewall of its own. Then the scan is incomplete.
func missing(r match.Reason) bool { return r != match.OutOfScope }
