//go:build linux && !android

package engine_test

import (
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
)

// A caller who asks as soon as it may gets the rate, in bursts of at most a batch and 50 µs' worth.
func TestPaceRate(t *testing.T) {
	for _, rate := range []float64{0.5, 1, 3, 100, 999, 10_000, 200_000, 333_333, 1e6, 7e6} {
		p := engine.NewPace(rate)
		span := max(time.Second, time.Duration(20/rate*float64(time.Second)))
		most := max(1, min(engine.BatchSize, int(rate*50e-6)))
		granted := 0
		for now := time.Duration(0); now < span; {
			n, wait := p.Take(now, 1000)
			if n > most || n == 0 && wait <= 0 {
				t.Fatalf("rate %v at %v: %d granted, wait %v", rate, now, n, wait)
			}
			granted += n
			now += max(wait, time.Duration(float64(n)/rate*1e9/2)) // comes back too early
		}
		want := rate * span.Seconds()
		if d := float64(granted) - want; d > 0.01*want+1 || d < -0.01*want-1 {
			t.Errorf("rate %v: %d in %v, want %v", rate, granted, span, want)
		}
	}
}

// Time that was not used is lost, but for a burst.
func TestPaceAfterAPause(t *testing.T) {
	p := engine.NewPace(1000)
	p.Take(0, 1)
	if n, _ := p.Take(time.Hour, 100); n != 1 {
		t.Errorf("%d granted after a pause", n)
	}
	if n, wait := p.Take(time.Hour, 100); n != 0 || wait != ms {
		t.Errorf("then %d granted, wait %v", n, wait)
	}
	fast := engine.NewPace(1e6)
	if n, _ := fast.Take(time.Hour, 100); n != 50 {
		t.Errorf("%d granted after a pause, want 50 µs' worth", n)
	}
}

// What went without asking delays the next; what did not go is given back.
func TestPaceCharge(t *testing.T) {
	p := engine.NewPace(1000)
	p.Charge(0, 3)
	if n, wait := p.Take(0, 1); n != 0 || wait != 3*ms {
		t.Errorf("after three: %d granted, wait %v", n, wait)
	}
	if n, _ := p.Take(3*ms, 1); n != 1 {
		t.Error("nothing granted in time")
	}
	p.Charge(3*ms, -1)
	if n, _ := p.Take(3*ms, 2); n != 1 {
		t.Errorf("%d granted after one was given back", n)
	}
	if n, wait := p.Take(3*ms, 1); n != 0 || wait != ms {
		t.Errorf("then %d granted, wait %v", n, wait)
	}
}
