//go:build linux && !android

package engine

import (
	"context"
	"math/rand/v2"
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
	desks   []*desk
	next    atomic.Uint32
	callers atomic.Int32
	closed  atomic.Bool

	mu      sync.Mutex
	streams map[uint32]*Stream
}

// NewFront makes a Front with a desk for each wire, and starts their goroutines. cfgs are the desks' own. Close ends it and closes
// the wires.
func NewFront(cfgs []Config, wires []Wire) (*Front, error) {
	f := &Front{streams: map[uint32]*Stream{}}
	for i, w := range wires {
		d, err := newDesk(f, cfgs[i], w)
		if err != nil {
			return nil, err
		}
		f.desks = append(f.desks, d)
	}
	for _, d := range f.desks {
		go d.run()
	}
	return f, nil
}

// Probe returns the verdict on target, which must come within timeout.
func (f *Front) Probe(ctx context.Context, target netip.AddrPort, timeout time.Duration, out *Verdict) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if f.closed.Load() {
		return net.ErrClosed
	}
	callers := f.callers.Add(1)
	defer f.callers.Add(-1)
	if callers < crowd {
		for _, d := range f.desks {
			if d.pump.TryLock() {
				return d.finish(ctx, d.enter(target, timeout), true, out)
			}
		}
	}
	d := f.desks[rand.Uint32N(uint32(len(f.desks)))]
	w := d.enter(target, timeout)
	for i := 0; i < queueUp && len(w.ready) == 0; i++ {
		runtime.Gosched() // others make their requests, or send ours: cheaper than to sleep and to be woken
		if len(w.ready) == 0 && d.pump.TryLock() {
			return d.finish(ctx, w, true, out)
		}
	}
	return d.finish(ctx, w, false, out)
}

const (
	// crowd is from how many callers on one waits for others before it sends, so that many requests go out in one batch.
	crowd = 8
	// queueUp is how often a caller in a crowd lets others go first before it parks.
	queueUp = 4
)

// anyDesk takes turns.
func (f *Front) anyDesk() *desk { return f.desks[f.next.Add(1)%uint32(len(f.desks))] }

// Counters returns what the shards did, and how many probes are pending.
func (f *Front) Counters() (total Counters, pending int) {
	for _, d := range f.desks {
		c, n := d.shard.Counters()
		total.add(c)
		pending += n
	}
	return total, pending
}

// Close ends pending probes with net.ErrClosed, stops the goroutines and closes the wires.
func (f *Front) Close() (err error) {
	if f.closed.Swap(true) {
		return nil
	}
	for _, d := range f.desks {
		if e := d.close(); err == nil {
			err = e
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.streams {
		signal(s.changed)
	}
	return err
}
