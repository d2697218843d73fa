package connect

import (
	"context"
	"math"
	"net/netip"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/match"
)

// forever is the patience of a sweep: its targets wait until there is room.
const forever = time.Duration(math.MaxInt64)

// places returns how many probes may have a socket at once, and the errno of one too many.
func places(c Config) (n int, scarce error) {
	if n = c.Limit; n <= 0 {
		n = math.MaxInt32
	}
	if most := descriptorLimit(); most < n {
		n, scarce = most, syscall.EMFILE
	}
	if most := int(c.SourcePorts.Last-c.SourcePorts.First) + 1; c.SourcePorts.Last != 0 && most < n {
		n, scarce = most, syscall.EADDRNOTAVAIL
	}
	return n, scarce
}

// admit takes a slot and waits for the turn that Config.Rate gives. If neither comes within patience, or ctx ends, that is
// the verdict, and the slot is not taken.
func (p *Prober) admit(ctx context.Context, target netip.AddrPort, patience time.Duration) (v Verdict, decided bool) {
	start := time.Now()
	if !p.takeSlot(ctx, patience) {
		return p.overload(ctx, target, p.scarce), true
	}
	wait, ok := p.pace.reserve(patience - time.Since(start))
	if ok && sleep(ctx, wait) {
		return v, false
	}
	p.freeSlot()
	return p.overload(ctx, target, nil), true
}

func (p *Prober) takeSlot(ctx context.Context, patience time.Duration) bool {
	select {
	case p.slots <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case p.slots <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func (p *Prober) freeSlot() { <-p.slots }

func (p *Prober) overload(ctx context.Context, target netip.AddrPort, scarce error) Verdict {
	if ctx.Err() != nil {
		return canceled(ctx, target)
	}
	return verdict(target, match.Unsent, match.Overload, scarce)
}

// sleep waits for d and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
