//go:build linux && !android

package scan

import (
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/target"
)

const (
	shipAt    = 256                   // verdicts that are handed over together
	shipEvery = 50 * time.Millisecond // and how long they wait for company
	holdAt    = 1 << 16               // verdicts on hand at which no new targets are taken: nobody fetches them
	holdBack  = 2 * engine.BatchSize  // targets that cannot be sent yet, for want of a link address or of buffers, at which none are taken
	napAtMost = 100 * time.Millisecond
)

// lane is one thread of a scan: it takes targets, and moves the packets of its shard.
type lane struct {
	shard   *engine.Shard
	wire    engine.Wire
	feed    *feed
	pace    *pacer
	paced   bool // there is a rate to keep
	timeout time.Duration
	keep    func(match.State) bool

	out     []engine.Verdict // to be handed over
	shipped time.Duration    // when that was last done
	results chan<- delivery
	free    <-chan []engine.Verdict

	outages  *outages
	patience time.Duration // with an outage
	waits    bool          // for the end of one
	told     bool          // of it

	incomplete uint64
	shownFault atomic.Uint64
	reasons    [match.NumStates][match.NumReasons]atomic.Uint64 // of the unreachable and the unsent

	ask   atomic.Uint32 // grows by one for each snapshot that is wanted
	given uint32
	stop  atomic.Bool
}

// delivery is what a lane hands over: verdicts, and perhaps how far it is after them.
type delivery struct {
	lane     int
	verdicts []engine.Verdict
	state    *LaneState
	ended    bool
}

// Settle implements engine.Sink.
func (l *lane) Settle(_ uint32, v *engine.Verdict) {
	if v.State == match.Unsent && missing(v.Reason) {
		l.incomplete++
		l.shownFault.Store(l.incomplete)
	}
	if v.State == match.Unsent || v.State == match.Unreachable {
		l.reasons[v.State][v.Reason].Add(1)
	}
	if l.keep == nil || l.keep(v.State) {
		l.out = append(l.out, *v)
	}
}

// run scans the lane's share.
func (l *lane) run(number int) {
	if l.paced { // the timer slack belongs to the thread; 50 µs, the default, is too coarse for a steady rate
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	}
	for !l.stop.Load() {
		l.snapshot(number)
		wait := l.fill()
		busy := l.shard.Step()
		l.watchOutage()
		if l.feed.ended() && l.shard.Len() == 0 {
			break
		}
		l.ship(number, busy)
		if !busy && wait != 0 {
			l.nap(wait)
		}
	}
	l.results <- delivery{lane: number, verdicts: l.out, state: l.state(), ended: true}
}

// fill takes new targets, as many as the pace and the room allow. It returns how long there is no use in coming back, 0 if there
// is.
func (l *lane) fill() time.Duration {
	if l.waits || l.shard.Queued() > 0 || l.shard.Held() >= holdBack || len(l.out) >= holdAt {
		return napAtMost
	}
	want := min(engine.BatchSize, l.shard.Room())
	if want == 0 || l.feed.ended() {
		return napAtMost
	}
	l.shard.Refresh()
	now := l.shard.Now()
	n, wait := l.pace.Take(now, want)
	for i := range n {
		target, ok, due := l.feed.next(now)
		if !ok {
			l.pace.Charge(now, i-n) // given back
			return due
		}
		if _, ok := l.shard.Submit(target, engine.Patient, now, l.timeout, true); !ok {
			wait = 0 // it had its verdict without a packet
		}
		if l.watchOutage(); l.waits {
			l.pace.Charge(now, i+1-n)
			return napAtMost
		}
	}
	return wait
}

// nap sleeps until something is due, or a packet comes.
func (l *lane) nap(wait time.Duration) {
	if idle := l.shard.Idle(); idle >= 0 {
		wait = min(wait, idle)
	}
	l.wire.Wait(min(wait, napAtMost), true)
}

// ship hands verdicts over if there are enough of them, or none came for a while.
func (l *lane) ship(number int, busy bool) {
	if len(l.out) == 0 {
		return
	}
	now := l.shard.Now()
	if len(l.out) < shipAt && now-l.shipped < shipEvery {
		return
	}
	select {
	case l.results <- delivery{lane: number, verdicts: l.out}:
		l.shipped = now
		l.out = l.buffer()
		runtime.Gosched() // there may be no processor left for who takes them
	default: // they wait, and in the end new targets do
	}
}

// buffer returns an empty slice for verdicts, an old one if there is.
func (l *lane) buffer() []engine.Verdict {
	select {
	case b := <-l.free:
		return b[:0]
	default:
		return make([]engine.Verdict, 0, 2*shipAt)
	}
}

// snapshot hands over how far the lane is, if that was asked for.
func (l *lane) snapshot(number int) {
	if ask := l.ask.Load(); ask != l.given {
		l.given = ask
		l.results <- delivery{lane: number, verdicts: l.out, state: l.state()}
		l.out = l.buffer()
	}
}

func (l *lane) state() *LaneState {
	s := &LaneState{Position: l.feed.position(), totals: totalsOf(l.shard.Count()), sending: l.sending()}
	s.totals.Incomplete, s.totals.Reasons = l.incomplete, l.why()
	l.shard.Ways(func(t netip.AddrPort) {
		i, _ := l.feed.space.Index(t)
		s.ways = append(s.ways, i)
	})
	s.Pending = l.feed.appendWaiting(make(target.Numbers, 0, l.feed.waits()+l.shard.Len()))
	l.shard.Targets(func(t netip.AddrPort) {
		i, _ := l.feed.space.Index(t) // it came from there
		s.Pending = append(s.Pending, i)
	})
	return s
}

// totals returns the lane's counters. Any goroutine may call it.
func (l *lane) totals() Totals {
	c, _ := l.shard.Counters()
	t := totalsOf(c)
	t.Incomplete, t.Reasons = l.shownFault.Load(), l.why()
	return t
}

// why returns the lane's reasons. Any goroutine may call it.
func (l *lane) why() (all Reasons) {
	for s := range all {
		for r := range all[s] {
			all[s][r] = l.reasons[s][r].Load()
		}
	}
	return all
}

// sending returns from when to when the lane sent SYNs. Any goroutine may call it.
func (l *lane) sending() span {
	first, last := l.shard.Sending()
	return span{first, last}
}
