package pace

import (
	"math"
	"sync"
	"time"
)

// MaxBurst is the most packets that Take grants at once.
const MaxBurst = 64

const (
	// quantum is how much of the schedule leaves together when nothing is late: at 200 000 packets a second 10
	// packets each 50 µs, below 40 000 each packet by itself.
	quantum = 50 * time.Microsecond
	// lateBurst is how much of the schedule may leave together when the caller comes late, so that one who sleeps
	// and wakes a little too late still keeps the rate.
	lateBurst = time.Millisecond
	// peak is how much faster than the rate lost time is made up for: a thread that does not run half of the time
	// keeps its rate. On a busy machine of two cores a third of it is seen for seconds.
	peak = 2
	// backlog is how much lost time is made up for at all: a pause of the machine, not a suspended one.
	backlog = 250 * time.Millisecond
)

// Limiter grants packets on an absolute schedule: each packet moves the time of the next by 1/rate, whenever it
// really left, so that neither late callers nor rounding change the rate. In any span of time T no more than
// burst + 2×rate×T packets leave, where burst is what the schedule has for a millisecond, at least 1 and at most
// MaxBurst.
//
// It is safe for concurrent use, so that the shards of a scan can share one.
type Limiter struct {
	mu      sync.Mutex
	want    float64 // the rate that was asked for; +Inf: unlimited
	rate    float64 // the rate now
	started bool

	// The schedule. next is when the next packet is due; part is what is lost in rounding it down.
	next     int64
	part     float64
	interval float64 // ns for each packet; 0: unlimited

	// The bound on bursts, a bucket that fills at the peak rate. It goes below zero when Charge does.
	tokens float64
	filled int64

	quantum, burst int
	recovery
}

// NewLimiter returns a limiter for a rate in packets a second; fractions are fine. If zero, negative or infinite,
// the rate is unlimited. The schedule starts with the first call of Take.
func NewLimiter(rate float64) *Limiter {
	if !(rate > 0) {
		rate = math.Inf(1)
	}
	l := &Limiter{want: rate}
	l.setRate(rate)
	l.tokens = float64(l.burst)
	return l
}

func (l *Limiter) setRate(rate float64) {
	l.rate, l.interval = rate, 1e9/rate
	l.quantum = packetsIn(quantum, rate)
	l.burst = packetsIn(lateBurst, rate)
	l.tokens = min(l.tokens, float64(l.burst))
}

func packetsIn(d time.Duration, rate float64) int {
	return int(max(1, min(MaxBurst, rate*d.Seconds())))
}

// Rate returns the rate at which packets are granted now: the rate that was asked for, or less after a Drop. It is
// +Inf if unlimited.
func (l *Limiter) Rate() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate
}

// Take asks for up to want packets at the time now. It grants n of them, which count as sent, and says how long it
// is until the next can be granted. If n is 0, the same call after that wait is granted, unless somebody else was
// faster.
func (l *Limiter) Take(now int64, want int) (n int, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.advance(now)
	want = min(want, MaxBurst)
	if want <= 0 {
		return 0, l.until(now, 1)
	}
	if wait = l.until(now, want); wait > 0 {
		return 0, wait
	}
	n = want
	if l.interval > 0 {
		due := 1 + float64(now-l.next)/l.interval
		n = min(want, max(l.quantum, int(min(due, l.tokens))))
	}
	l.spend(n)
	return n, l.until(now, 1)
}

// Charge counts n packets that left without asking, such as resets, which cannot wait. They are taken from what
// Take grants later.
func (l *Limiter) Charge(now int64, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.advance(now)
	l.spend(n)
}

// advance brings the state to the time now. A time before that of an earlier call, as another goroutine may have
// read, changes nothing.
func (l *Limiter) advance(now int64) {
	if !l.started {
		l.started, l.next, l.filled = true, now, now
		l.recovery.start(now)
	}
	l.recover(now)
	if passed := now - l.filled; passed > 0 {
		if l.interval > 0 {
			l.tokens = min(float64(l.burst), l.tokens+float64(passed)*peak/l.interval)
		}
		l.filled = now
	}
	l.next = max(l.next, now-max(int64(backlog), int64(min(l.interval, math.MaxInt64/4))))
}

// until returns how long it is until want packets, or a quantum if that is less, may leave.
func (l *Limiter) until(now int64, want int) time.Duration {
	if l.interval == 0 {
		return 0
	}
	wait := l.next - now
	if missing := float64(min(want, l.quantum)) - l.tokens; missing > 0 {
		wait = max(wait, l.filled-now+int64(math.Ceil(missing*l.interval/peak))+1)
	}
	return time.Duration(max(0, wait))
}

func (l *Limiter) spend(n int) {
	l.sent += uint64(n)
	if l.interval == 0 {
		return
	}
	l.tokens -= float64(n)
	step := float64(n)*l.interval + l.part
	whole := math.Floor(step)
	l.next, l.part = l.next+int64(whole), step-whole
}
