package pace

import (
	"math"
	"time"
)

const (
	decrease = 0.7  // what is left of the rate after a drop
	increase = 0.05 // what comes back each second, as a part of the rate that was asked for
	floor    = 0.01 // the least rate, likewise

	// dropWindow is how long further drops belong to the first: the loss that is seen now was caused by the rate of
	// a while ago.
	dropWindow = 200 * time.Millisecond
	// measureWindow is the time over which the rate that is really reached is measured.
	measureWindow = 100 * time.Millisecond
	// recoverStep is how often the rate is raised.
	recoverStep = 10 * time.Millisecond
)

// Backoff tells what a limiter did because packets were dropped.
type Backoff struct {
	Drops  int           // how many times the rate was lowered
	Lowest float64       // the lowest rate, in packets a second; 0 if it was never lowered
	Slowed time.Duration // how long the rate was below the one that was asked for
}

// recovery is the part of a Limiter that lowers the rate and raises it again.
type recovery struct {
	Backoff
	dropped  int64   // when the rate was last lowered
	raised   int64   // when it was last raised
	base     float64 // what increase and floor are parts of
	sent     uint64  // packets since mark
	mark     int64
	measured float64 // packets a second in the window before mark; 0: not known yet
	best     float64 // the most there was in a window
}

func (r *recovery) start(now int64) { r.mark = now }

// Drop says that this machine lost packets at the time now: the interface refused some, or the receive ring was
// full. The rate falls to 0.7 of what was reached (AIMD, as in RFC 5681 but gentler) and comes back by itself, each
// second by a twentieth of the rate that was asked for. It reports whether the rate was lowered; drops within 200 ms
// count as one.
func (l *Limiter) Drop(now int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.advance(now)
	if l.Drops > 0 && now-l.dropped < int64(dropWindow) {
		return false
	}
	reached := min(l.rate, l.reached(now))
	if math.IsInf(reached, 1) {
		return false // nothing has been sent that could have been too much
	}
	if l.rate == l.want {
		l.base, l.raised = l.want, now
		if math.IsInf(l.want, 1) {
			l.base = max(l.best, reached)
		}
	}
	l.dropped = now
	l.Drops++
	l.setRate(max(decrease*reached, floor*l.base, min(l.base, 1)))
	if l.Lowest == 0 || l.rate < l.Lowest {
		l.Lowest = l.rate
	}
	l.next = max(l.next, now)
	return true
}

// Backoff returns what was done about drops so far.
func (l *Limiter) Backoff() Backoff {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recovery.Backoff
}

// reached returns the rate of the last window, or of the time since it if that is all there is. A limiter whose
// caller has little to send must not take the rate it was given for the one that overflowed the ring.
func (r *recovery) reached(now int64) float64 {
	rate := r.measured
	if passed := now - r.mark; passed > 0 && (passed > int64(measureWindow)/2 || rate == 0) {
		rate = float64(r.sent) * 1e9 / float64(passed)
	}
	if rate == 0 {
		return math.Inf(1)
	}
	return rate
}

// recover measures, and raises a rate that was lowered.
func (l *Limiter) recover(now int64) {
	if passed := now - l.mark; passed >= int64(measureWindow) {
		l.measured = float64(l.sent) * 1e9 / float64(passed)
		l.best = max(l.best, l.measured)
		l.sent, l.mark = 0, now
	}
	passed := now - l.raised
	if l.rate == l.want || passed < int64(recoverStep) {
		return
	}
	l.raised = now
	l.Slowed += time.Duration(passed)
	rate := l.rate + increase*l.base*float64(passed)/1e9
	// An unlimited rate has no value to come back to: twice what was reached is as good as no limit.
	if rate >= l.want || math.IsInf(l.want, 1) && rate >= 2*l.base {
		rate = l.want
	}
	l.setRate(rate)
}
