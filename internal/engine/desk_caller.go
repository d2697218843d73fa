//go:build linux && !android

package engine

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/rawshake/rawshake/match"
)

// waiter is a caller's place to wait. The channel holds one token: the verdict is there.
type waiter struct {
	user    uint32
	state   atomic.Uint32
	ticket  Ticket
	pending bool // ticket is valid; guarded by the pump
	ready   chan struct{}
	verdict Verdict
}

// finish moves packets for w, whose caller has the pump, and then waits for the verdict.
func (d *desk) finish(ctx context.Context, w *waiter, use func(*Verdict)) error {
	if w == nil {
		d.pump.Unlock()
		return net.ErrClosed
	}
	d.help(w)
	return d.wait(ctx, w, use)
}

// wait waits for the verdict that w asked for.
func (d *desk) wait(ctx context.Context, w *waiter, use func(*Verdict)) error {
	if w == nil {
		return net.ErrClosed
	}
	select {
	case <-w.ready:
	default:
		if err := d.park(ctx, w); err != nil {
			return err
		}
	}
	stopped := w.verdict.Reason == match.Stopped
	if !stopped {
		use(&w.verdict)
	}
	d.leave(w)
	if stopped {
		return net.ErrClosed
	}
	return nil
}

// enter queues a request; nil when the desk is closed.
func (d *desk) enter(target netip.AddrPort, timeout time.Duration) *waiter {
	asked := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut {
		return nil
	}
	w := d.waiter()
	d.count()
	d.queue = append(d.queue, request{target: target, asked: asked, timeout: min(timeout, longest), user: w.user})
	d.queued.Add(1)
	return w
}

// waiter takes a free waiter; d.mu is held.
func (d *desk) waiter() *waiter {
	n := len(d.free)
	if n == 0 {
		return d.newWaiter()
	}
	w := d.waiterOf(d.free[n-1])
	d.free = d.free[:n-1]
	w.state.Store(waiting)
	return w
}

func (d *desk) newWaiter() *waiter {
	all := *d.waiters.Load()
	w := &waiter{user: uint32(len(all)), ready: make(chan struct{}, 1)}
	all = append(all, w)
	d.waiters.Store(&all)
	return w
}

func (d *desk) waiterOf(user uint32) *waiter { return (*d.waiters.Load())[user] }

func (d *desk) leave(w *waiter) {
	d.mu.Lock()
	d.free = append(d.free, w.user)
	d.count()
	d.mu.Unlock()
}

// count notes whether the callers at this desk are its share of a crowd; d.mu is held.
func (d *desk) count() {
	crowded := (len(*d.waiters.Load())-len(d.free))*len(d.front.desks) >= crowd
	if crowded != d.crowded.Load() {
		d.crowded.Store(crowded)
	}
}

// help moves packets until the verdict of w is there or nothing can be moved. Its caller has the pump, which it gives back.
func (d *desk) help(w *waiter) {
	for held := true; held; held = d.pump.TryLock() {
		if d.over {
			d.refuse()
			d.pump.Unlock()
			return
		}
		d.take()
		busy := d.shard.Move()
		done := len(w.ready) > 0
		if !done || !d.leaveResets() {
			d.shard.Flush()
		}
		d.active = d.shard.at
		d.helped++
		next := d.nextLook()
		d.pump.Unlock()
		more := d.queued.Load() > 0
		if done || !busy && !more {
			if more || next < d.wakeAt.Load() {
				d.wire.Wake() // somebody has to go on
			}
			return
		}
	}
}

// leaveResets reports whether somebody will look soon, and so whether resets can be left for the next batch: one system call less
// for each check. The pump is held.
func (d *desk) leaveResets() bool {
	now := int64(d.shard.at)
	soon := d.wakeAt.Load()
	if soon > now+int64(2*glance) && d.shard.at-d.active < glance {
		d.wire.Wake() // one check follows another: from now on the goroutine glances
	}
	return now <= soon && soon <= now+int64(2*glance)
}

// park waits for the verdict.
func (d *desk) park(ctx context.Context, w *waiter) error {
	d.parked.Add(1)
	defer d.parked.Add(-1)
	d.watch()
	if ctx.Done() == nil {
		<-w.ready // half the cost of a select
		return nil
	}
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	if !w.state.CompareAndSwap(waiting, abandoned) {
		<-w.ready // settled at this very moment: the verdict goes to nobody
		d.leave(w)
		return context.Cause(ctx)
	}
	d.post(request{user: w.user, cancel: true})
	return context.Cause(ctx)
}

// Settle implements Sink.
func (d *desk) Settle(user uint32, v *Verdict) {
	if patient(user) {
		d.front.stream(user).deliver(v)
		return
	}
	w := d.waiterOf(user)
	w.pending = false
	if w.state.CompareAndSwap(waiting, settled) {
		w.verdict = *v
		w.ready <- struct{}{}
	}
}
