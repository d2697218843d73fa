//go:build linux && !android

package pass

import (
	"time"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan"
	"github.com/rawshake/rawshake/scan/checkpoint"
	"github.com/rawshake/rawshake/scan/record"
)

// record is the outcome so far. Whether it is complete is for the end to say.
func (r *run) record(t scan.Totals) record.Run {
	nameless := r.unresolved.count
	return record.Run{
		Time: time.Now(), Targets: r.scan.Targets() + nameless, ProbesSent: t.SYNSent, SendTime: t.SendTime,
		Open: t.Verdicts[match.Open], Closed: t.Verdicts[match.Closed], Unreachable: t.Verdicts[match.Unreachable],
		Filtered: t.Verdicts[match.Filtered], Unsent: t.Verdicts[match.Unsent] + nameless,
		Duplicates: t.Duplicates, Ignored: t.Ignored, RingDrops: t.RingDrops, SendErrors: t.SendErrors, RSTSent: t.RSTSent,
		Seed: r.Order.Seed, Shard: r.Order.Shard.String(), Reasons: r.reasons(t.Reasons),
	}
}

// reasons are those of the package scan in words, and that of names without an address.
func (r *run) reasons(all scan.Reasons) (words record.Reasons) {
	for s := range all {
		for reason, n := range all[s] {
			words.Add(match.State(s), match.Reason(reason).String(), n)
		}
	}
	words.Add(match.Unsent, match.NoName.String(), r.unresolved.count)
	return words
}

// countReasons is the inverse of reasons. Names without an address are counted anew.
func countReasons(words record.Reasons) (all scan.Reasons) {
	for state, reasons := range words {
		s, _ := match.ParseState(state)
		for word, n := range reasons {
			if reason, ok := match.ParseReason(word); ok && reason != match.NoName {
				all[s][reason] = n
			}
		}
	}
	return all
}

// The counters of a checkpoint that the record of a run has no key for.
const (
	moreIncomplete = "incomplete"
	moreRequeued   = "requeued"
	moreUnresolved = "unresolved" // of the unsent: those that the package scan does not know
)

func (r *run) more(t scan.Totals) map[string]uint64 {
	return map[string]uint64{moreIncomplete: t.Incomplete, moreRequeued: t.Requeued, moreUnresolved: r.unresolved.count}
}

// stateOf is what a checkpoint says about the scan; nil when there is none, or it is from before the beginning.
func stateOf(c *checkpoint.Checkpoint) *scan.State {
	if c == nil || len(c.Lanes) == 0 {
		return nil
	}
	r := c.Run
	s := &scan.State{Ways: c.Ways, Totals: scan.Totals{
		Reasons: countReasons(r.Reasons), Incomplete: c.More[moreIncomplete], SYNSent: r.ProbesSent, RSTSent: r.RSTSent, Duplicates: r.Duplicates, Ignored: r.Ignored,
		RingDrops: r.RingDrops, SendErrors: r.SendErrors, Requeued: c.More[moreRequeued], SendTime: r.SendTime,
	}}
	v := &s.Totals.Verdicts
	v[match.Open], v[match.Closed], v[match.Unreachable], v[match.Filtered], v[match.Unsent] = r.Open, r.Closed, r.Unreachable, r.Filtered, r.Unsent-c.More[moreUnresolved]
	for _, l := range c.Lanes {
		s.Lanes = append(s.Lanes, scan.LaneState{Position: l.Position, Pending: l.Pending})
	}
	return s
}
