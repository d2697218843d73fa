//go:build linux && !android

package engine

import (
	"math"
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
	turn    int            // whose stream gave the last target
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

	queued  atomic.Int32
	parked  atomic.Int32 // callers, and streams
	crowded atomic.Bool  // callers have filled their share of a crowd
	mode    atomic.Int32
	wakeAt  atomic.Int64 // when the goroutine looks again by itself, on the shard's clock

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
		crowded := d.crowded.Load()
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
