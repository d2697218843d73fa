//go:build linux && !android

package engine

import (
	"context"
	"math"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/match"
)

// desk is a shard that callers share. A caller puts its request into a queue and then, if nobody else does, moves packets
// itself: an idle desk sends at once, and on a short way the answer is there before anyone has slept. Requests that arrive
// while somebody moves packets go out together in the next batch (group commit). A caller whose answer has not come parks; then
// the desk's own goroutine watches the wire. While nobody is parked it does not, so that callers who help themselves do not wake it
// for nothing.
type desk struct {
	front *Front
	shard *Shard
	wire  Wire

	pump    sync.Mutex    // held by whoever moves packets; guards the shard and what follows
	backlog []request     // requests that the table has no room for
	over    bool          // the wire is closed
	active  time.Duration // when packets were last moved
	helped  int           // how often callers moved them since the goroutine last looked
	looked  time.Duration // when that was

	mu      sync.Mutex // guards what follows; never held together with a wait
	queue   []request
	spare   []request
	free    []uint32
	waiters atomic.Pointer[[]*waiter] // by user; written under mu

	queued atomic.Int32
	parked atomic.Int32 // callers, and streams
	mode   atomic.Int32
	wakeAt atomic.Int64 // when the goroutine looks again by itself, on the shard's clock

	stop chan struct{}
	done chan struct{}
}

// What a desk's goroutine is doing.
const (
	working  = iota
	watching // it waits for packets
	resting  // it waits to be woken, and for the next timer
	yielding // it waits for somebody who moves packets
)

const (
	// spins is how often the goroutine looks again before it sleeps: callers that it woke have requests to make.
	spins = 16
	// glance is how often it looks while callers help themselves, who leave it their last resets.
	glance = time.Millisecond
	// While callers move packets this often between two glances, they fetch the answers of the parked ones too. Watching the wire
	// besides would wake the goroutine for every packet, and take the processor from whoever is about to fetch it.
	helpEnough = 32
	// After the last caller it goes on glancing for busyFor, and then looking for late packets now and then for linger.
	busyFor     = 10 * time.Millisecond
	linger      = 5 * time.Second
	lingerEvery = 100 * time.Millisecond
)

// request asks a desk for something.
type request struct {
	target   netip.AddrPort
	deadline time.Duration // on the shard's clock
	user     uint32
	cancel   bool
}

// waiter is a caller's place to wait. The channel holds one token: the verdict is there.
type waiter struct {
	user    uint32
	state   atomic.Uint32
	ticket  Ticket
	pending bool // ticket is valid; guarded by the pump
	ready   chan struct{}
	verdict Verdict
}

// The states of a waiter: whoever moves it off waiting owns the outcome.
const (
	waiting = iota
	settled
	abandoned
)

func newDesk(f *Front, cfg Config, wire Wire) (*desk, error) {
	d := &desk{front: f, wire: wire, stop: make(chan struct{}), done: make(chan struct{})}
	shard, err := New(cfg, wire, d)
	if err != nil {
		return nil, err
	}
	d.shard = shard
	d.active = -linger
	d.waiters.Store(new([]*waiter))
	return d, nil
}

// finish waits for the verdict that w asked for. holding says that the caller has the pump.
func (d *desk) finish(ctx context.Context, w *waiter, holding bool, out *Verdict) error {
	if holding || len(w.ready) == 0 {
		d.help(w, holding)
	}
	select {
	case <-w.ready:
	default:
		if err := d.park(ctx, w); err != nil {
			return err
		}
	}
	*out = w.verdict
	d.leave(w)
	if out.Reason == match.Stopped {
		return net.ErrClosed
	}
	return nil
}

// enter queues a request.
func (d *desk) enter(target netip.AddrPort, timeout time.Duration) *waiter {
	deadline := d.now() + timeout
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.waiter()
	d.queue = append(d.queue, request{target: target, deadline: deadline, user: w.user})
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
	d.mu.Unlock()
}

// help moves packets until the verdict of w is there or nothing can be moved, unless somebody else does.
func (d *desk) help(w *waiter, holding bool) {
	for holding || d.pump.TryLock() {
		holding = false
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

// nextLook returns when something is due on the shard's clock; the pump is held.
func (d *desk) nextLook() int64 {
	idle := d.shard.Idle()
	if idle < 0 {
		return math.MaxInt64
	}
	return int64(d.shard.at + idle)
}

// park waits for the verdict.
func (d *desk) park(ctx context.Context, w *waiter) error {
	d.parked.Add(1)
	defer d.parked.Add(-1)
	d.watch()
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

// post queues requests and wakes the goroutine.
func (d *desk) post(reqs ...request) {
	d.mu.Lock()
	d.queue = append(d.queue, reqs...)
	d.queued.Add(int32(len(reqs)))
	d.mu.Unlock()
	d.wire.Wake()
}

// watch sees to it that the goroutine watches the wire.
func (d *desk) watch() {
	if d.mode.Load() == resting {
		d.wire.Wake()
	}
}

// take gives the queued requests to the shard; the pump is held.
func (d *desk) take() {
	if d.queued.Load() == 0 && len(d.backlog) == 0 {
		return
	}
	d.mu.Lock()
	reqs := d.queue
	d.queue = d.spare[:0]
	d.queued.Store(0)
	d.mu.Unlock()
	d.shard.Refresh()
	d.drainBacklog()
	for _, r := range reqs {
		d.serve(r)
	}
	d.spare = reqs
}

// serve handles one request, or puts it on the backlog.
func (d *desk) serve(r request) {
	switch {
	case r.cancel:
		d.cancel(r.user)
	case d.shard.Room() == 0:
		d.backlog = append(d.backlog, r)
	default:
		d.submit(r)
	}
}

func (d *desk) drainBacklog() {
	n := 0
	for n < len(d.backlog) && (d.shard.Room() > 0 || d.backlog[n].deadline <= d.shard.at) {
		d.submit(d.backlog[n])
		n++
	}
	if n > 0 {
		d.backlog = append(d.backlog[:0], d.backlog[n:]...)
	}
}

func (d *desk) submit(r request) {
	left := r.deadline - d.shard.at
	if r.user&streamBit != 0 {
		d.shard.Submit(r.target, r.user, left, false)
		return
	}
	w := d.waiterOf(r.user)
	if w.state.Load() == abandoned { // the cancellation is behind us in the queue
		return
	}
	w.pending = true
	if t, ok := d.shard.Submit(r.target, r.user, left, false); ok {
		w.ticket = t
	}
}

// cancel ends the probe of a caller that left; its waiter is free again.
func (d *desk) cancel(user uint32) {
	if user&streamBit != 0 {
		d.cancelStream(user)
		return
	}
	w := d.waiterOf(user)
	if w.pending {
		d.shard.Cancel(w.ticket, user)
		w.pending = false
	}
	for i, r := range d.backlog {
		if r.user == user {
			d.backlog = append(d.backlog[:i], d.backlog[i+1:]...)
			break
		}
	}
	d.leave(w)
}

// Settle implements Sink.
func (d *desk) Settle(user uint32, v *Verdict) {
	if user&streamBit != 0 {
		d.front.deliver(user, v)
		return
	}
	w := d.waiterOf(user)
	w.pending = false
	if w.state.CompareAndSwap(waiting, settled) {
		w.verdict = *v
		w.ready <- struct{}{}
	}
}

// run is the desk's goroutine.
func (d *desk) run() {
	defer close(d.done)
	for idle := 0; ; {
		select {
		case <-d.stop:
			return
		default:
		}
		d.mode.Store(working)
		if !d.pump.TryLock() {
			d.mode.Store(yielding)
			d.wire.Wait(glance, false)
			continue
		}
		d.take()
		busy := d.shard.Move()
		d.shard.Flush()
		if busy {
			d.active = d.shard.at
		}
		wait, quiet := d.shard.Idle(), d.shard.at-d.active
		watched := d.parked.Load() > 0 && !d.helpedEnough()
		if !watched {
			wait = rest(wait, quiet)
		}
		d.wakeAt.Store(after(d.shard.at, wait))
		d.pump.Unlock()
		if busy || watched && idle < spins {
			idle++
			if busy {
				idle = 0
			} else {
				runtime.Gosched()
			}
			continue
		}
		idle = 0
		d.sleep(wait, watched)
	}
}

// helpedEnough reports whether callers move packets so often that the goroutine need not watch; the pump is held.
func (d *desk) helpedEnough() bool {
	n := time.Duration(d.helped) * glance
	since := d.shard.at - d.looked
	d.helped, d.looked = 0, d.shard.at
	return n >= helpEnough*max(since, glance/8)
}

// rest returns how long the goroutine of a desk without parked callers may sleep.
func rest(wait, quiet time.Duration) time.Duration {
	most := time.Duration(-1)
	switch {
	case quiet < busyFor:
		most = glance
	case quiet < linger:
		most = lingerEvery
	}
	if most >= 0 && (wait < 0 || wait > most) {
		return most
	}
	return wait
}

// after returns the time d after t, or the end of time for a negative d.
func after(t, d time.Duration) int64 {
	if d < 0 {
		return math.MaxInt64
	}
	return int64(t + d)
}

// sleep waits, for packets too if watched.
func (d *desk) sleep(wait time.Duration, watched bool) {
	switch {
	case watched:
		d.mode.Store(watching)
	case d.parked.Load() > 0: // callers help them
		d.mode.Store(yielding)
	default:
		d.mode.Store(resting)
		if d.parked.Load() > 0 {
			return
		}
	}
	if d.queued.Load() > 0 {
		return
	}
	d.wire.Wait(wait, watched)
}

func (d *desk) now() time.Duration { return time.Since(d.shard.epoch) }

// close ends pending probes, stops the goroutine and closes the wire.
func (d *desk) close() error {
	close(d.stop)
	d.wire.Wake()
	<-d.done
	d.pump.Lock()
	d.take()
	d.shard.Abort(match.Stopped, syscall.ECANCELED)
	d.shard.Flush()
	for _, r := range d.backlog {
		d.Settle(r.user, d.shard.fresh(match.Unsent, match.Stopped, syscall.ECANCELED))
	}
	d.backlog = nil
	d.over = true
	d.refuse()
	err := d.wire.Close()
	d.pump.Unlock()
	for d.queued.Load() > 0 { // queued while we had the pump
		d.pump.Lock()
		d.refuse()
		d.pump.Unlock()
	}
	return err
}

// refuse answers what was queued after close; the pump is held.
func (d *desk) refuse() {
	d.mu.Lock()
	reqs := d.queue
	d.queue = nil
	d.queued.Store(0)
	d.mu.Unlock()
	for _, r := range reqs {
		switch {
		case !r.cancel:
			d.Settle(r.user, d.shard.fresh(match.Unsent, match.Stopped, syscall.ECANCELED))
		case r.user&streamBit == 0:
			d.leave(d.waiterOf(r.user))
		}
	}
}
