package rawshake

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

// connectSlots returns how many probes may have a socket at once, and the errno of one too many.
func connectSlots(c Config) (n int, scarce error) {
	n = c.maxInFlight()
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
func (b *connectBackend) admit(ctx context.Context, target netip.AddrPort, patience time.Duration) (r Result, decided bool) {
	start := time.Now()
	if !b.takeSlot(ctx, patience) {
		return b.overload(ctx, target, b.scarce), true
	}
	wait, ok := b.pace.reserve(patience - time.Since(start))
	if ok && sleep(ctx, wait) {
		return r, false
	}
	b.freeSlot()
	return b.overload(ctx, target, nil), true
}

func (b *connectBackend) takeSlot(ctx context.Context, patience time.Duration) bool {
	select {
	case b.slots <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case b.slots <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func (b *connectBackend) freeSlot() { <-b.slots }

func (b *connectBackend) overload(ctx context.Context, target netip.AddrPort, scarce error) Result {
	if ctx.Err() != nil {
		return canceled(ctx, target)
	}
	return verdict(target, Unsent, match.Overload, scarce)
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
