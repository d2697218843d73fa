//go:build linux && !android

package engine

import (
	"net/netip"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
)

// Config says how a shard probes.
type Config struct {
	Plan  match.Plan
	Ports []uint16 // our source ports, 1 to match.MaxPorts, guarded by whoever opened the wire
	Limit int      // most probes pending
	Once  bool     // no target is submitted while a probe of it is pending: nothing keeps their ports apart

	TTL, TOS uint8
	Style    craft.Style
	Allow    func(netip.Addr) bool           // the scope, asked for every packet; nil allows all
	Pacer    Pacer                           // nil: no limit
	OnLoss   func(time.Duration)             // told, at a time on the shard's clock, that packets were lost on our side; may be nil
	Again    func(time.Duration, netip.Addr) // told, likewise, where later attempts go; may be nil
	Trace    func(time.Time, bool, []byte)

	// Return, if not nil, takes targets back that cannot be asked now, as the way to them is gone: then the shard waits for it, see
	// Outage. A target is taken back during Submit, which returns false, and has no verdict.
	Return func(netip.AddrPort)
	Ways   []netip.AddrPort // targets to which there was a way before, and is waited for
}

// Pacer limits the packets that a shard sends. Times are on the shard's clock.
type Pacer interface {
	// Take returns how many of want packets may go now; if none, how long until one may.
	Take(now time.Duration, want int) (n int, wait time.Duration)
	// Charge counts n packets that went without asking; if n is negative, so many that were granted did not go.
	Charge(now time.Duration, n int)
}

// Sink takes verdicts.
type Sink interface {
	// Settle is called once for each probe that was submitted and not cancelled, by the owner of the shard. v is valid during
	// the call. It must not block, and not call the shard.
	Settle(user uint32, v *Verdict)
}

// Counters are what a shard did.
type Counters struct {
	SYNSent, RSTSent, Received, Answers, Duplicates, Ignored, RingDrops, SendErrors, Requeued uint64

	Verdicts [match.NumStates]uint64
}

func (c *Counters) add(o Counters) {
	c.SYNSent += o.SYNSent
	c.RSTSent += o.RSTSent
	c.Received += o.Received
	c.Answers += o.Answers
	c.Duplicates += o.Duplicates
	c.Ignored += o.Ignored
	c.RingDrops += o.RingDrops
	c.SendErrors += o.SendErrors
	c.Requeued += o.Requeued
	for i, n := range o.Verdicts {
		c.Verdicts[i] += n
	}
}
