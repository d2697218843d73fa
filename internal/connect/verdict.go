package connect

import (
	"context"
	"net/netip"
	"time"

	"github.com/rawshake/rawshake/match"
)

// Verdict is what a probe found out about its target.
type Verdict struct {
	Target  netip.AddrPort
	State   match.State
	Reason  match.Reason
	RTT     time.Duration  // the kernel's on Linux, otherwise the time that connect(2) took; 0 without an answer
	Attempt int            // SYNs that the kernel had to repeat; 0 where it does not say
	Source  netip.AddrPort // of an open port
	Time    time.Time
	Err     error // the errno of unreachable, closed and most of unsent; else nil
}

// verdict returns a Verdict that falls now.
func verdict(target netip.AddrPort, state match.State, reason match.Reason, err error) Verdict {
	return Verdict{Target: target, State: state, Reason: reason, Time: time.Now(), Err: err}
}

// canceled returns the verdict on a target whose probe ctx ended.
func canceled(ctx context.Context, target netip.AddrPort) Verdict {
	if context.Cause(ctx) == ErrClosed {
		return verdict(target, match.Unsent, match.Stopped, nil)
	}
	return verdict(target, match.Unsent, match.Canceled, nil)
}

// gaveUp reports whether a context ended the probe.
func (v *Verdict) gaveUp() bool { return v.Reason == match.Canceled || v.Reason == match.Stopped }

// Counters are what a Prober has done. They only grow, except InFlight.
type Counters struct {
	SYNSent, RSTSent, SendErrors uint64
	Verdicts                     [match.NumStates]uint64
	InFlight                     int
}

func (p *Prober) count(v Verdict) {
	p.verdicts[v.State].Add(1)
	if v.State != match.Unsent {
		p.syn.Add(1 + uint64(v.Attempt))
	}
}

// Counters returns the counters.
func (p *Prober) Counters() Counters {
	c := Counters{SYNSent: p.syn.Load(), RSTSent: p.rst.Load(), SendErrors: p.refused.Load(), InFlight: int(p.inFlight.Load())}
	for i := range p.verdicts {
		c.Verdicts[i] = p.verdicts[i].Load()
	}
	return c
}
