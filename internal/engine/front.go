//go:build linux && !android

package engine

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Front is an engine for many callers. It has one desk or more; a caller goes to one that is free, so that on a busy machine
// each processor moves packets of its own.
type Front struct {
	desks  []*desk
	next   atomic.Uint32
	near   sync.Pool // of *desk
	closed atomic.Bool

	mu      sync.Mutex
	streams atomic.Pointer[[]*Stream] // by user; written under mu, as a new slice
}

// NewFront makes a Front with a desk for each wire, and starts their goroutines. cfgs are the desks' own. Close ends it and closes
// the wires.
func NewFront(cfgs []Config, wires []Wire) (*Front, error) {
	f := &Front{}
	f.streams.Store(new([]*Stream))
	for i, w := range wires {
		d, err := newDesk(f, cfgs[i], w)
		if err != nil {
			return nil, err
		}
		d.number = i
		f.desks = append(f.desks, d)
	}
	f.near.New = func() any { return f.anyDesk() }
	for _, d := range f.desks {
		go d.run()
	}
	return f, nil
}

// Probe has use called with the verdict on target, which must come within timeout. use must not keep it.
func (f *Front) Probe(ctx context.Context, target netip.AddrPort, timeout time.Duration, use func(*Verdict)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if f.closed.Load() {
		return net.ErrClosed
	}
	d := f.nearDesk()
	for range f.desks {
		if !d.crowded.Load() && d.pump.TryLock() {
			return d.finish(ctx, d.enter(target, timeout), use)
		}
		d = f.desks[(d.number+1)%len(f.desks)]
	}
	w := d.enter(target, timeout)
	if f.closed.Load() {
		d.reject() // too late for close to see it, perhaps
	}
	return d.wait(ctx, w, use)
}

// crowd is from how many callers at all desks on each leaves its request and parks: the desk's goroutine then has full batches, and
// there is always somebody to run meanwhile.
const crowd = 8

// nearDesk returns the desk of this processor, whose memory is in its caches. A pool keeps things by processor, which Go does
// not name otherwise; what it forgets now and then is made again.
func (f *Front) nearDesk() *desk {
	d := f.near.Get().(*desk)
	f.near.Put(d)
	return d
}

// anyDesk takes turns.
func (f *Front) anyDesk() *desk { return f.desks[f.next.Add(1)%uint32(len(f.desks))] }

// Counters returns what the shards did, and how many probes are pending.
func (f *Front) Counters() (total Counters, pending int) {
	for _, d := range f.desks {
		c, n := d.counters()
		total.add(c)
		pending += n
	}
	return total, pending
}

// counters are exact unless the desk is busy for long, or asks itself (in a Trace).
func (d *desk) counters() (Counters, int) {
	for range 200 {
		if d.pump.TryLock() {
			d.shard.publish()
			d.pump.Unlock()
			break
		}
		runtime.Gosched()
	}
	return d.shard.Counters()
}

// Close ends pending probes with net.ErrClosed, stops the goroutines and closes the wires.
func (f *Front) Close() error {
	if f.closed.Swap(true) {
		return nil
	}
	errs := make([]error, len(f.desks))
	var all sync.WaitGroup
	for i, d := range f.desks { // at once: the kernel makes each wait
		all.Go(func() { errs[i] = d.close() })
	}
	all.Wait()
	for _, s := range *f.streams.Load() {
		if s != nil {
			signal(s.changed)
		}
	}
	return errors.Join(errs...)
}
