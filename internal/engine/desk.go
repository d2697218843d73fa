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
	front  *Front
	number int
	shard  *Shard
	wire   Wire

	pump    sync.Mutex     // held by whoever moves packets; guards the shard and what follows
	backlog queue[request] // requests whose turn has not come
	due     time.Duration  // the earliest deadline among them, or earlier
	over    bool           // the wire is closed
	active  time.Duration  // when packets were last moved
	helped  int            // how often callers moved them since the goroutine last looked
	looked  time.Duration  // when that was

	mu      sync.Mutex // guards what follows; never held together with a wait
	queue   []request
	spare   []request
	shut    bool // nobody serves the queue any more
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
	target  netip.AddrPort
	asked   time.Duration // on the shard's clock
	timeout time.Duration
	user    uint32
	cancel  bool // in the backlog: cancelled, or ended already
}

func (r *request) deadline() time.Duration { return r.asked + r.timeout }

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
	d.mu.Unlock()
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

// nextLook returns when something is due on the shard's clock; the pump is held.
func (d *desk) nextLook() int64 {
	return after(d.shard.at, d.idle())
}

// idle is [Shard.Idle] for the backlog too; the pump is held.
func (d *desk) idle() time.Duration {
	idle := d.shard.Idle()
	if d.backlog.len() == 0 {
		return idle
	}
	if d.shard.Room() > 0 {
		return 0
	}
	if left := max(d.due-d.shard.at, 0); idle < 0 || left < idle {
		return left
	}
	return idle
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

// watch sees to it that the goroutine looks at the queue, and at the wire for a caller that is parked.
func (d *desk) watch() {
	if mode := d.mode.Load(); mode == resting || mode != working && d.queued.Load() > 0 {
		d.wire.Wake()
	}
}

// takeAtOnce is how many requests begin before what they draw has its turn.
const takeAtOnce = 256

// take gives requests to the shard, as many as there is room for; the pump is held.
func (d *desk) take() {
	if d.queued.Load() == 0 && d.backlog.len() == 0 {
		return
	}
	d.shard.Refresh()
	d.fetch()
	d.expire()
	for i := 0; i < takeAtOnce && d.waiting(); i++ {
		if r := d.backlog.pop(); !r.cancel {
			d.submit(r)
		}
	}
}

// waiting reports whether the turn of a request has come; the pump is held.
func (d *desk) waiting() bool { return d.backlog.len() > 0 && d.shard.Room() > 0 }

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
	left := r.deadline() - d.shard.at
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

// withdraw takes the user's requests out of the backlog and returns how many there were; the pump is held.
func (d *desk) withdraw(user uint32) (n int) {
	for i := range d.backlog.len() {
		if r := d.backlog.at(i); r.user == user && !r.cancel {
			r.cancel = true
			n++
		}
	}
	return n
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
	} else {
		d.withdraw(user)
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
			d.wakeAt.Store(int64(d.now() + glance))
			d.wire.Wait(glance, false)
			continue
		}
		d.take()
		busy := d.shard.Move() || d.waiting()
		d.shard.Flush()
		if busy {
			d.active = d.shard.at
		}
		wait, quiet := d.idle(), d.shard.at-d.active
		watched := d.parked.Load() > 0 && !d.helpedEnough()
		if !watched {
			wait = rest(wait, quiet)
		}
		d.wakeAt.Store(after(d.shard.at, wait))
		d.pump.Unlock()
		crowded := d.front.callers.Load() >= crowd
		if busy && watched || (watched || crowded) && idle < spins {
			idle++
			if busy {
				idle = 0
			}
			if crowded || !busy {
				runtime.Gosched() // callers have their answers, and make new requests
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
		if wait < 0 || wait > glance {
			return // no: somebody parked just now
		}
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
	d.shard.Abort(match.Stopped, syscall.ECANCELED)
	for d.backlog.len() > 0 {
		if r := d.backlog.pop(); !r.cancel {
			d.shard.refuse(r.target, r.user, match.Unsent, match.Stopped, syscall.ECANCELED)
		}
	}
	d.over = true
	d.refuse()
	err := d.wire.Close()
	d.pump.Unlock()
	for d.queued.Load() > 0 { // queued while we had the pump
		d.reject()
	}
	return err
}

// reject answers what is queued, if the desk is closed.
func (d *desk) reject() {
	d.pump.Lock()
	defer d.pump.Unlock()
	if d.over {
		d.refuse()
	}
}

// refuse answers what was queued after close; the pump is held.
func (d *desk) refuse() {
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
		case r.user&streamBit == 0:
			d.leave(d.waiterOf(r.user))
		}
	}
}
