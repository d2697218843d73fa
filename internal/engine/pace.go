//go:build linux && !android

package engine

import "time"

// Pace is a Pacer of a constant rate: an absolute schedule of one packet an interval, with bursts of at most 50 µs' worth and
// never more than a batch. Time that was not used is lost.
type Pace struct {
	interval time.Duration
	burst    time.Duration
	next     time.Duration
}

// NewPace limits to the given number of packets a second, which must be positive.
func NewPace(rate float64) *Pace {
	interval := max(time.Duration(float64(time.Second)/rate), 1)
	burst := min(max(50*time.Microsecond, interval), BatchSize*interval)
	return &Pace{interval: interval, burst: burst}
}

// Take implements Pacer.
func (p *Pace) Take(now time.Duration, want int) (int, time.Duration) {
	p.next = max(p.next, now-p.burst+p.interval)
	n := min(int((now-p.next)/p.interval)+1, want)
	if now < p.next || n <= 0 {
		return 0, p.next - now
	}
	p.next += time.Duration(n) * p.interval
	return n, 0
}

// Charge implements Pacer.
func (p *Pace) Charge(now time.Duration, n int) {
	p.next = max(p.next, now-p.burst+p.interval) + time.Duration(n)*p.interval
}
