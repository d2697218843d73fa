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

// Front lets many callers share a shard. A caller puts its request into a queue and then, if nobody else does, moves packets
// itself: an idle engine sends at once, and on a short way the answer is there before anyone has slept. Requests that arrive
// while a caller moves packets go out together in its next batch (group commit). A caller whose answer has not come parks;
// from then on the engine's own goroutine, asleep while nobody waits, watches the wire.
type Front struct {
	shard *Shard
	wire  Wire

	pump sync.Mutex // held by whoever moves packets

	mu      sync.Mutex // guards what follows; never held together with a wait
	queue   []request
	spare   []request
	free    []uint32
	streams map[uint32]*Stream
	closed  bool

	waiters atomic.Pointer[[]*waiter] // by user; written under mu

	backlog []request // requests taken that the table has no room for; owned by the pump
	over    bool      // the wire is closed; owned by the pump

	parked atomic.Int32
	asleep atomic.Bool  // the goroutine waits without watching packets
	wakeAt atomic.Int64 // when the goroutine will look again by itself, on the shard's clock
	stop   chan struct{}
	done   chan struct{}
}

// request asks the pump for something.
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
	pending bool // ticket is valid; owned by the pump
	ready   chan struct{}
	verdict Verdict
}

// The states of a waiter: whoever moves it off waiting owns the outcome.
const (
	waiting = iota
	settled
	abandoned
)

// linger is how long the goroutine goes on looking for late packets after the last caller left, and how often.
const (
	linger      = 5 * time.Second
	lingerEvery = 100 * time.Millisecond
)

// streamBit marks users that are streams.
const streamBit = 1 << 31

// NewFront makes a Front and starts its goroutine. Close ends it and closes the wire.
func NewFront(cfg Config, wire Wire) (*Front, error) {
	f := &Front{wire: wire, streams: map[uint32]*Stream{}, stop: make(chan struct{}), done: make(chan struct{})}
	shard, err := New(cfg, wire, f)
	if err != nil {
		return nil, err
	}
	f.shard = shard
	f.waiters.Store(new([]*waiter))
	go f.run()
	return f, nil
}

// Probe returns the verdict on target, which must come within timeout.
func (f *Front) Probe(ctx context.Context, target netip.AddrPort, timeout time.Duration, out *Verdict) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	w, err := f.enter(target, timeout)
	if err != nil {
		return err
	}
	f.help(w)
	select {
	case <-w.ready:
	default:
		if err := f.park(ctx, w); err != nil {
			return err
		}
	}
	*out = w.verdict
	f.leave(w)
	if out.Reason == match.Stopped && out.State == match.Unsent {
		return net.ErrClosed
	}
	return nil
}

// park waits for the verdict.
func (f *Front) park(ctx context.Context, w *waiter) error {
	f.parked.Add(1)
	defer f.parked.Add(-1)
	f.watch()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	if !w.state.CompareAndSwap(waiting, abandoned) {
		<-w.ready // settled at this very moment: the verdict goes to nobody
		f.leave(w)
		return context.Cause(ctx)
	}
	f.mu.Lock()
	f.queue = append(f.queue, request{user: w.user, cancel: true})
	f.mu.Unlock()
	f.wire.Wake()
	return context.Cause(ctx)
}

// enter queues a request.
func (f *Front) enter(target netip.AddrPort, timeout time.Duration) (*waiter, error) {
	deadline := time.Since(f.shard.epoch) + timeout
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, net.ErrClosed
	}
	w := f.waiter()
	f.queue = append(f.queue, request{target: target, deadline: deadline, user: w.user})
	return w, nil
}

// waiter takes a free waiter; f.mu is held.
func (f *Front) waiter() *waiter {
	all := *f.waiters.Load()
	if n := len(f.free); n > 0 {
		w := all[f.free[n-1]]
		f.free = f.free[:n-1]
		w.state.Store(waiting)
		return w
	}
	w := &waiter{user: uint32(len(all)), ready: make(chan struct{}, 1)}
	all = append(all, w)
	f.waiters.Store(&all)
	return w
}

func (f *Front) waiterOf(user uint32) *waiter { return (*f.waiters.Load())[user] }

func (f *Front) leave(w *waiter) {
	f.mu.Lock()
	f.free = append(f.free, w.user)
	f.mu.Unlock()
}

// help moves packets until the verdict of w is there or nothing can be moved, unless someone else does.
func (f *Front) help(w *waiter) {
	for f.pump.TryLock() {
		if f.over {
			f.pump.Unlock()
			return
		}
		f.take()
		busy := f.shard.Step()
		next := f.nextLook()
		f.pump.Unlock()
		done, more := len(w.ready) > 0, f.queued()
		if done || !busy && !more {
			if more || next < f.wakeAt.Load() {
				f.wire.Wake() // somebody has to go on
			}
			return
		}
	}
}

// nextLook returns when something is due on the shard's clock; the pump is held.
func (f *Front) nextLook() int64 {
	idle := f.shard.Idle()
	if idle < 0 {
		return math.MaxInt64
	}
	return int64(f.shard.at + idle)
}

func (f *Front) queued() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.queue) > 0
}

// watch sees to it that the goroutine watches the wire.
func (f *Front) watch() {
	if f.asleep.Load() && f.asleep.CompareAndSwap(true, false) {
		f.wire.Wake()
	}
}

// take gives the queued requests to the shard; the pump is held.
func (f *Front) take() {
	f.mu.Lock()
	reqs := f.queue
	f.queue = f.spare[:0]
	f.mu.Unlock()
	if len(reqs) == 0 && len(f.backlog) == 0 {
		f.spare = reqs
		return
	}
	f.shard.refresh()
	f.drainBacklog()
	for _, r := range reqs {
		f.serve(r)
	}
	f.spare = reqs
}

// serve handles one request, or puts it on the backlog.
func (f *Front) serve(r request) {
	switch {
	case r.cancel:
		f.cancel(r.user)
	case f.shard.Room() == 0:
		f.backlog = append(f.backlog, r)
	default:
		f.submit(r)
	}
}

func (f *Front) drainBacklog() {
	n := 0
	for n < len(f.backlog) && (f.shard.Room() > 0 || f.backlog[n].deadline <= f.shard.at) {
		f.submit(f.backlog[n])
		n++
	}
	f.backlog = append(f.backlog[:0], f.backlog[n:]...)
}

func (f *Front) submit(r request) {
	left := r.deadline - f.shard.at
	if r.user&streamBit != 0 {
		f.shard.Submit(r.target, r.user, left)
		return
	}
	w := f.waiterOf(r.user)
	if w.state.Load() == abandoned { // the cancellation is behind us in the queue
		return
	}
	w.ticket, w.pending = f.shard.Submit(r.target, r.user, left)
}

// cancel ends the probe of a caller that left; its waiter is free again.
func (f *Front) cancel(user uint32) {
	if user&streamBit != 0 {
		f.cancelStream(user)
		return
	}
	w := f.waiterOf(user)
	if w.pending {
		f.shard.Cancel(w.ticket, user)
		w.pending = false
	}
	for i, r := range f.backlog {
		if r.user == user {
			f.backlog = append(f.backlog[:i], f.backlog[i+1:]...)
			break
		}
	}
	f.leave(w)
}

// Settle implements Sink.
func (f *Front) Settle(user uint32, v *Verdict) {
	if user&streamBit != 0 {
		f.deliver(user, v)
		return
	}
	w := f.waiterOf(user)
	w.pending = false
	if w.state.CompareAndSwap(waiting, settled) {
		w.verdict = *v
		w.ready <- struct{}{}
	}
}

// run is the engine's own goroutine.
func (f *Front) run() {
	defer close(f.done)
	var last time.Duration // when there last was something to do
	for idle := 0; ; {
		busy, wait, stopped := f.turn()
		switch {
		case stopped:
			return
		case busy:
			idle = 0
			last = f.now()
			continue
		case idle < spins && f.parked.Load() > 0:
			idle++
			runtime.Gosched() // the callers that were woken have requests to make
			continue
		}
		f.sleep(wait, f.now()-last)
	}
}

// spins is how often the goroutine looks again before it sleeps.
const spins = 16

func (f *Front) now() time.Duration { return time.Since(f.shard.epoch) }

// turn moves packets once, unless a caller does.
func (f *Front) turn() (busy bool, wait time.Duration, stopped bool) {
	select {
	case <-f.stop:
		return false, 0, true
	default:
	}
	if !f.pump.TryLock() {
		return false, busyWait, false
	}
	defer f.pump.Unlock()
	f.take()
	busy = f.shard.Step()
	f.wakeAt.Store(f.nextLook())
	return busy, f.shard.Idle(), false
}

// busyWait is how long the goroutine sleeps when a caller moves packets: that one wakes it if something is left to do.
const busyWait = time.Millisecond

// sleep waits for packets if a caller waits for one, and only to be woken if none does: then callers that help themselves do
// not wake it for nothing.
func (f *Front) sleep(wait, quiet time.Duration) {
	watched := f.parked.Load() > 0 || f.streaming()
	if !watched {
		f.asleep.Store(true)
		if f.parked.Load() > 0 || f.queued() {
			f.asleep.Store(false)
			return
		}
		if quiet < linger && (wait < 0 || wait > lingerEvery) {
			wait = lingerEvery
		}
	} else if f.queued() {
		return
	}
	f.wire.Wait(wait, watched)
	f.asleep.Store(false)
}

func (f *Front) streaming() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.streams) > 0
}

// Counters returns what the shard did, and how many probes are pending.
func (f *Front) Counters() (Counters, int) { return f.shard.Counters() }

// Close ends pending probes with net.ErrClosed, stops the goroutine and closes the wire.
func (f *Front) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	f.mu.Unlock()
	close(f.stop)
	f.wire.Wake()
	<-f.done
	f.pump.Lock()
	defer f.pump.Unlock()
	f.take()
	f.shard.Abort(match.Stopped, syscall.ECANCELED)
	for _, r := range f.backlog {
		f.Settle(r.user, f.shard.fresh(match.Unsent, match.Stopped, syscall.ECANCELED))
	}
	f.backlog = nil
	f.over = true
	return f.wire.Close()
}
