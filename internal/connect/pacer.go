package connect

import (
	"sync"
	"time"
)

// A pacer that fell behind its schedule catches up with at most this many packets, and at most this much time: about what
// a timer oversleeps.
const (
	pacerBurst = 64
	pacerLag   = 10 * time.Millisecond
)

// pacer spaces packets evenly. It hands out points in time; callers wait for theirs.
type pacer struct {
	interval time.Duration // between packets; 0 without a limit

	mu   sync.Mutex
	next time.Time // of the next packet
}

func newPacer(rate float64) *pacer {
	if rate <= 0 {
		return &pacer{}
	}
	return &pacer{interval: time.Duration(float64(time.Second) / rate)}
}

// reserve returns how long to wait for the next packet's turn. Nothing is reserved if that is longer than patience.
func (p *pacer) reserve(patience time.Duration) (wait time.Duration, ok bool) {
	if p.interval == 0 {
		return 0, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if earliest := now.Add(-min(pacerLag, pacerBurst*p.interval)); p.next.Before(earliest) {
		p.next = earliest
	}
	if wait = p.next.Sub(now); wait > patience {
		return wait, false
	}
	p.next = p.next.Add(p.interval)
	return max(wait, 0), true
}

// charge counts n packets that left without a reservation; later ones wait for them.
func (p *pacer) charge(n int) {
	if p.interval == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = p.next.Add(time.Duration(n) * p.interval)
}
