package record

import (
	"math"
	"time"

	"github.com/rawshake/rawshake/match"
)

// Run is the outcome of a whole scan: the one record of type "run" that ends an output. The tags are the keys of the
// JSON line, and those under which a checkpoint keeps the counters.
type Run struct {
	Time        time.Time     `json:"ts,omitzero"`
	Targets     uint64        `json:"targets"`     // targets of this shard, duplicates merged
	ProbesSent  uint64        `json:"probes_sent"` // SYNs, retransmissions included
	SendTime    time.Duration `json:"send_ns"`     // from the first SYN to the last; send_seconds in the record
	Open        uint64        `json:"open"`        // verdicts
	Closed      uint64        `json:"closed"`      //
	Unreachable uint64        `json:"unreachable"` //
	Filtered    uint64        `json:"filtered"`    //
	Unsent      uint64        `json:"unsent"`      //
	Duplicates  uint64        `json:"duplicates"`  // answers beyond the first of their target
	Ignored     uint64        `json:"ignored"`     // packets that the filter let through and that answered nothing of ours
	RingDrops   uint64        `json:"ring_drops"`  // packets that our receive ring lost
	SendErrors  uint64        `json:"send_errors"` // packets that the kernel did not take
	RSTSent     uint64        `json:"rst_sent"`    //
	Seed        uint64        `json:"seed"`        // of the order; the command picks one below 2^53, which every JSON reader keeps whole
	Shard       string        `json:"shard"`       // "i/n", i from 1; "1/1" is everything
	Reasons     Reasons       `json:"reasons,omitempty"`
	Complete    bool          `json:"complete"` // every target has its verdict and no loss of ours is unaccounted for
}

// Reasons says how many targets are unreachable and unsent why: by the word of the state, and that of the reason.
type Reasons map[string]map[string]uint64

// Add counts n targets more.
func (r *Reasons) Add(s match.State, reason string, n uint64) {
	if n == 0 {
		return
	}
	if *r == nil {
		*r = Reasons{}
	}
	if (*r)[s.String()] == nil {
		(*r)[s.String()] = map[string]uint64{}
	}
	(*r)[s.String()][reason] += n
}

// Rate returns the SYNs per second while sending, rounded to a tenth: those behind the first, over the time from the first to the last,
// so that two SYNs a second apart are one a second. It is 0 when fewer than two were sent.
func (r *Run) Rate() float64 {
	if r.SendTime <= 0 || r.ProbesSent < 2 {
		return 0
	}
	return math.Round(float64(r.ProbesSent-1)/r.SendTime.Seconds()*10) / 10
}

// Count adds one verdict.
func (r *Run) Count(s match.State) {
	switch s {
	case match.Open:
		r.Open++
	case match.Closed:
		r.Closed++
	case match.Unreachable:
		r.Unreachable++
	case match.Filtered:
		r.Filtered++
	default:
		r.Unsent++
	}
}

// Done returns the number of verdicts. A complete run has Done equal to Targets.
func (r *Run) Done() uint64 {
	return r.Open + r.Closed + r.Unreachable + r.Filtered + r.Unsent
}
