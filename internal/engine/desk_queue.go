//go:build linux && !android

package engine

import (
	"math"
	"net/netip"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/match"
)

// request asks a desk for something.
type request struct {
	target  netip.AddrPort
	asked   time.Duration // on the shard's clock
	timeout time.Duration
	user    uint32
	cancel  bool // in the backlog: cancelled, or ended already
}

func (r *request) deadline() time.Duration { return r.asked + r.timeout }

// nextLook returns when something is due on the shard's clock; the pump is held.
func (d *desk) nextLook() int64 {
	return after(d.shard.at, d.idle())
}

// idle is [Shard.Idle] for the backlog too; the pump is held.
func (d *desk) idle() time.Duration {
	idle := d.shard.Idle()
	if d.waiting() {
		return 0
	}
	if d.backlog.len() == 0 {
		return idle
	}
	if left := max(d.due-d.shard.at, 0); idle < 0 || left < idle {
		return left
	}
	return idle
}

// post queues requests and wakes the goroutine.
func (d *desk) post(reqs ...request) {
	d.mu.Lock()
	d.queue = append(d.queue, reqs...)
	d.queued.Add(int32(len(reqs)))
	d.mu.Unlock()
	d.wire.Wake()
}

// watch sees to it that the goroutine looks at the queue, and at the wire for a caller that is parked.
func (d *desk) watch() {
	if mode := d.mode.Load(); mode == resting || mode != working && d.queued.Load() > 0 {
		d.wire.Wake()
	}
}

// takeAtOnce is how many requests begin before what they draw has its turn.
const takeAtOnce = 256

// take gives requests and targets of streams to the shard, in turns, as many as there is room for; the pump is held.
func (d *desk) take() {
	if d.queued.Load() == 0 && d.backlog.len() == 0 && !d.fed() {
		return
	}
	d.shard.Refresh()
	d.fetch()
	d.expire()
	for i := 0; i < takeAtOnce && d.waiting(); i++ {
		d.takeRequest()
		d.takeTarget()
	}
}

func (d *desk) takeRequest() {
	if d.backlog.len() > 0 && d.shard.Room() > 0 {
		if r := d.backlog.pop(); !r.cancel {
			d.submit(r)
		}
	}
}

// waiting reports whether the turn of a request or of a stream's target has come; the pump is held.
func (d *desk) waiting() bool { return d.shard.Room() > 0 && (d.backlog.len() > 0 || d.fed()) }

// fetch moves requests to the backlog. Cancellations do not wait there, because they make room.
func (d *desk) fetch() {
	d.mu.Lock()
	reqs := d.queue
	d.queue = d.spare[:0]
	d.queued.Store(0)
	d.mu.Unlock()
	if d.backlog.len() == 0 {
		d.due = math.MaxInt64
	}
	for _, r := range reqs {
		switch {
		case r.cancel:
			d.cancel(r.user)
		case r.timeout <= 0:
			d.submit(r)
		default:
			d.due = min(d.due, r.deadline())
			d.backlog.push(r)
		}
	}
	d.spare = reqs
}

// expire ends the requests whose time is over before their turn came.
func (d *desk) expire() {
	if d.shard.at < d.due {
		return
	}
	d.due = math.MaxInt64
	for i := range d.backlog.len() {
		switch r := d.backlog.at(i); {
		case r.cancel:
		case r.deadline() <= d.shard.at:
			r.cancel = true
			d.shard.refuse(r.target, r.user, match.Unsent, match.Overload, 0)
		default:
			d.due = min(d.due, r.deadline())
		}
	}
}

func (d *desk) submit(r request) {
	w := d.waiterOf(r.user)
	if w.state.Load() == abandoned { // the cancellation is behind us in the queue
		return
	}
	w.pending = true
	if t, ok := d.shard.Submit(r.target, r.user, r.asked, r.timeout, false); ok {
		w.ticket = t
	}
}

// cancel ends the probe of a caller that left; its waiter is free again.
func (d *desk) cancel(user uint32) {
	if patient(user) {
		d.cancelStream(user)
		return
	}
	w := d.waiterOf(user)
	if w.pending {
		d.shard.Cancel(w.ticket, user)
		w.pending = false
	} else {
		d.withdraw(user)
	}
	d.leave(w)
}

// refuse answers what was queued after close; the pump is held.
func (d *desk) refuse() {
	d.refuseTargets()
	d.mu.Lock()
	reqs := d.queue
	d.queue = nil
	d.shut = true
	d.queued.Store(0)
	d.mu.Unlock()
	for _, r := range reqs {
		switch {
		case !r.cancel:
			d.shard.refuse(r.target, r.user, match.Unsent, match.Stopped, syscall.ECANCELED)
		case !patient(r.user):
			d.leave(d.waiterOf(r.user))
		}
	}
}
