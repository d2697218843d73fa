package pace_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/rawshake/rawshake/scan/pace"
)

// departure is a grant of n packets at a time.
type departure struct {
	at int64
	n  int
}

// run asks a limiter for want packets at a time, from the start on and for a span of virtual time. late says how
// much too late a caller is who has waited.
func run(l *pace.Limiter, start int64, span time.Duration, want int, late func(now int64) time.Duration) []departure {
	var out []departure
	for now := start; now < start+int64(span); {
		n, wait := l.Take(now, want)
		if n > 0 {
			out = append(out, departure{now, n})
			now += int64(n) * 20 // sending takes time too
			continue
		}
		now += int64(wait + late(now))
	}
	return out
}

func total(out []departure) (sum int) {
	for _, d := range out {
		sum += d.n
	}
	return sum
}

func never(int64) time.Duration { return 0 }

// callers are ways of waiting; late is asked after each wait.
func callers() map[string]func(int64) time.Duration {
	r := rand.New(rand.NewPCG(1, 1))
	return map[string]func(int64) time.Duration{
		"exact":  never,
		"sleepy": func(int64) time.Duration { return time.Duration(r.IntN(60_000)) },
		// A fifth of the wake-ups of a busy machine are up to 200 µs late.
		"busy": func(int64) time.Duration { return time.Duration(max(0, r.IntN(1_000_000)-800_000)) },
		// For 40 ms of every 100 the machine stands still.
		"paused": func(now int64) time.Duration {
			if into := now % 100e6; into > 60e6 {
				return time.Duration(100e6 - into)
			}
			return 0
		},
	}
}

func TestRateIsAccurate(t *testing.T) {
	for caller, late := range callers() {
		for _, rate := range []float64{0.5, 1, 3, 100, 999, 10_000, 33_333, 200_000} {
			// The end lies where the paused caller has been awake for a while.
			span := max(2*time.Second, time.Duration(200/rate*1e9)).Truncate(100*time.Millisecond) + 60*time.Millisecond
			out := run(pace.NewLimiter(rate), 1e15, span, 64, late)
			got := float64(total(out)) / span.Seconds()
			if got < 0.99*rate || got > 1.01*rate {
				t.Errorf("%s caller: %.4g packets a second, want %g", caller, got, rate)
			}
		}
	}
	// Where the machine must keep up within microseconds, an exact caller is needed.
	for _, rate := range []float64{1e6, 3.33e6, 14.88e6} {
		l := pace.NewLimiter(rate)
		var now int64
		n := 0
		for now < 1e9 {
			k, wait := l.Take(now, 64)
			n += k
			now += int64(max(wait, 1))
		}
		if got := float64(n); got < 0.99*rate || got > 1.01*rate {
			t.Errorf("%.4g packets in a second, want %g", got, rate)
		}
	}
}

// TestRoundingAddsUp: an interval that is no whole number of nanoseconds does not change the rate in the long run.
func TestRoundingAddsUp(t *testing.T) {
	for _, rate := range []float64{3e6, 7e6, 11e6} {
		l := pace.NewLimiter(rate)
		n := 0
		for now := int64(0); now < 1e9; {
			k, wait := l.Take(now, 1)
			n += k
			now += int64(max(wait, 1))
		}
		if got := float64(n); math.Abs(got-rate) > 70 {
			t.Errorf("%.0f packets in a second, want %.0f", got, rate)
		}
	}
}

// TestBurstsAreSmall: in no span of time do more packets leave than the documentation says, whoever calls.
func TestBurstsAreSmall(t *testing.T) {
	for caller, late := range callers() {
		for _, test := range []struct {
			rate  float64
			burst int // in the schedule of a millisecond
			usual int // together when nothing is late
		}{
			{1, 1, 1}, {100, 1, 1}, {1500, 1, 1}, {10_000, 10, 1}, {40_000, 40, 2}, {200_000, 64, 10}, {600_000, 64, 30},
		} {
			span := max(time.Second/2, time.Duration(100/test.rate*1e9))
			out := run(pace.NewLimiter(test.rate), 0, span, 64, late)
			checkSpans(t, fmt.Sprintf("%s caller, rate %g", caller, test.rate), out, test.rate, test.burst)
			for _, d := range out {
				if caller == "exact" && d.n > test.usual {
					t.Fatalf("rate %g: %d packets at once with nothing late, want %d", test.rate, d.n, test.usual)
				}
			}
		}
	}
}

// checkSpans looks at all spans of up to 200 departures.
func checkSpans(t testing.TB, about string, out []departure, rate float64, burst int) {
	t.Helper()
	for i := range out {
		n := 0
		for _, d := range out[i:min(i+200, len(out))] {
			n += d.n
			span := float64(d.at-out[i].at) / 1e9
			if most := float64(burst) + 2*rate*span + 1e-6*float64(n); float64(n) > most {
				t.Fatalf("%s: %d packets within %.6f s, at most %.2f may leave", about, n, span, most)
			}
		}
	}
}

func TestLostTimeIsMadeUpForSlowly(t *testing.T) {
	l := pace.NewLimiter(10_000)
	sent := total(run(l, 0, time.Second, 64, never))
	// The machine stands still for 100 ms: a thousand packets, made up for at twice the rate.
	sent += total(run(l, 1.1e9, 100*time.Millisecond, 64, never))
	if want := 10_000 + 2_000 + 10; sent < want-20 || sent > want+20 {
		t.Errorf("%d packets after 1.2 s, want about %d", sent, want)
	}
	sent += total(run(l, 1.2e9, time.Second, 64, never))
	if sent < 21_990 || sent > 22_002 {
		t.Errorf("%d packets after 2.2 s, want 22000", sent)
	}
	// It stands still for an hour: no more than a quarter of a second is made up for.
	sent = total(run(l, 3600e9, 10*time.Second, 64, never))
	if sent < 102_400 || sent > 102_600 {
		t.Errorf("%d packets in the ten seconds after a long pause, want 102500", sent)
	}
}

// TestLateCallersGetMore: who comes late gets at once what is due, so that few calls do.
func TestLateCallersGetMore(t *testing.T) {
	for _, test := range []struct {
		rate float64
		late time.Duration
		want int
	}{
		{200_000, 100 * time.Microsecond, 21}, {200_000, 10 * time.Millisecond, 64}, {20_000, 10 * time.Millisecond, 20}, {1000, time.Second, 1},
	} {
		l := pace.NewLimiter(test.rate)
		l.Take(0, 64)
		_, wait := l.Take(0, 64)
		if n, _ := l.Take(int64(wait+test.late), 64); n != test.want {
			t.Errorf("rate %g, %v late: %d packets, want %d", test.rate, test.late, n, test.want)
		}
	}
}

func TestResetsCount(t *testing.T) {
	l := pace.NewLimiter(1000)
	sent, resets := 0, 0
	for now := int64(0); now < 10e9; {
		n, wait := l.Take(now, 1)
		sent += n
		if n > 0 && sent%2 == 0 { // every second target is open
			l.Charge(now, n)
			resets += n
		}
		now += int64(max(wait, 1))
	}
	if all := sent + resets; all < 9_990 || all > 10_010 || resets < sent/2-1 {
		t.Errorf("%d packets and %d resets in 10 s, want 10000 together", sent, resets)
	}
}

func TestDebtIsPaid(t *testing.T) {
	l := pace.NewLimiter(10)
	l.Take(0, 1)
	l.Charge(0, 30)
	if n, wait := l.Take(1, 1); n != 0 || wait < 2800*time.Millisecond || wait > 3200*time.Millisecond {
		t.Errorf("after 31 packets at 10 a second: %d packets, wait %v", n, wait)
	}
}

func TestUnlimited(t *testing.T) {
	for _, rate := range []float64{0, -1, math.Inf(1), math.NaN()} {
		l := pace.NewLimiter(rate)
		for now := range int64(1000) {
			if n, wait := l.Take(now, 1000); n != pace.MaxBurst || wait != 0 {
				t.Fatalf("rate %g: %d packets, wait %v", rate, n, wait)
			}
			l.Charge(now, 64)
		}
		if !math.IsInf(l.Rate(), 1) {
			t.Errorf("rate %g: Rate() = %g", rate, l.Rate())
		}
	}
}

func TestTakeNothing(t *testing.T) {
	l := pace.NewLimiter(10)
	if n, wait := l.Take(0, 0); n != 0 || wait != 0 {
		t.Errorf("asked for nothing: %d, %v", n, wait)
	}
	if n, wait := l.Take(0, 5); n != 1 || wait != 100*time.Millisecond {
		t.Errorf("the first packet: %d, %v", n, wait)
	}
	if n, wait := l.Take(0, -1); n != 0 || wait != 100*time.Millisecond {
		t.Errorf("asked for less than nothing: %d, %v", n, wait)
	}
}

func TestLimiterIsShared(t *testing.T) {
	l := pace.NewLimiter(100_000)
	var mu sync.Mutex
	sum := 0
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			n := 0
			for now := int64(0); now < 1e9; {
				k, wait := l.Take(now, 64)
				n += k
				now += int64(max(wait, 1))
			}
			mu.Lock()
			sum += n
			mu.Unlock()
		})
	}
	wg.Wait()
	if sum < 99_000 || sum > 101_000 {
		t.Errorf("four callers got %d packets in a second, want 100000", sum)
	}
}

func TestDrop(t *testing.T) {
	l := pace.NewLimiter(100_000)
	run(l, 0, 2*time.Second, 64, never)
	if !l.Drop(2e9) {
		t.Error("a drop changed nothing")
	}
	if l.Drop(2.1e9) || l.Drop(2.19e9) {
		t.Error("drops within 200 ms count twice")
	}
	if got := l.Rate(); math.Abs(got-70_900) > 100 {
		t.Errorf("after a drop the rate is %g, want 70900: 70000 and what came back in 190 ms", got)
	}
	// 5000 a second come back: in 2 s the mean is about 75000.
	if got := total(run(l, 2e9, 2*time.Second, 64, never)); got < 148_500 || got > 151_500 {
		t.Errorf("%d packets in the two seconds after", got)
	}
	run(l, 4e9, 5*time.Second, 64, never)
	if got := l.Rate(); got != 100_000 {
		t.Errorf("seven seconds after a drop the rate is %g", got)
	}
	b := l.Backoff()
	if b.Drops != 1 || math.Abs(b.Lowest-70_000) > 600 || b.Slowed < 5900*time.Millisecond || b.Slowed > 6100*time.Millisecond {
		t.Errorf("backoff %+v", b)
	}
}

func TestDropsInARow(t *testing.T) {
	l := pace.NewLimiter(50_000)
	run(l, 0, time.Second, 64, never)
	now := int64(1e9)
	for range 60 {
		l.Drop(now)
		run(l, now, 250*time.Millisecond, 64, never)
		now += 250e6
	}
	if got := l.Rate(); got < 500 || got > 5_000 {
		t.Errorf("after 60 drops the rate is %g: the floor is 500", got)
	}
	if b := l.Backoff(); b.Drops != 60 || b.Lowest < 500 {
		t.Errorf("backoff %+v", b)
	}
	run(l, now, 25*time.Second, 64, never)
	if got := l.Rate(); got != 50_000 {
		t.Errorf("25 s later the rate is %g", got)
	}
}

func TestSlowRatesStaySlow(t *testing.T) {
	l := pace.NewLimiter(1)
	run(l, 0, 3*time.Second, 1, never)
	l.Drop(3e9)
	if got := l.Rate(); got != 1 {
		t.Errorf("one packet a second became %g", got)
	}
}

// TestDropWhileIdle: who sends little at a high rate is not slowed to a crawl.
func TestDropWhileIdle(t *testing.T) {
	l := pace.NewLimiter(1e6)
	for now := int64(0); now < 1e9; now += 1e8 {
		l.Take(now, 1)
	}
	l.Drop(1e9)
	if got := l.Rate(); got != 1e4 {
		t.Errorf("the rate is %g, want a hundredth of a million", got)
	}
}

// TestDropAtTheEnd: without a rate to come back to, it is what was reached at the best of times that counts, not the trickle at
// the time of the drop.
func TestDropAtTheEnd(t *testing.T) {
	l := pace.NewLimiter(0)
	now := int64(0)
	for ; now < 1e9; now += 100_000 {
		l.Take(now, 50) // half a million a second
	}
	for ; now < 3e9; now += 2e8 {
		l.Take(now, 1)
	}
	l.Drop(now)
	if got := l.Rate(); got < 4_500 || got > 5_500 {
		t.Errorf("the rate is %g, want a hundredth of half a million", got)
	}
}

// TestDropBelowTheRate: a machine that does not reach the rate is slowed by what it reaches.
func TestDropBelowTheRate(t *testing.T) {
	for _, rate := range []float64{1e7, math.Inf(1)} {
		l := pace.NewLimiter(rate)
		now := int64(0)
		send := func(until int64) (n int) {
			for now < until {
				k, wait := l.Take(now, 64)
				n += k
				now += max(int64(wait), int64(k)*2000) // half a million a second
			}
			return n
		}
		send(1e9)
		l.Drop(now)
		if got := l.Rate(); got < 330_000 || got > 370_000 {
			t.Errorf("rate %g: after a drop at 500000 it is %g", rate, got)
		}
		if got := send(1.2e9); got > 90_000 {
			t.Errorf("rate %g: %d packets in the 200 ms after a drop", rate, got)
		}
		send(60e9)
		if got := l.Rate(); got != rate {
			t.Errorf("a minute after a drop the rate is %g, want %g", got, rate)
		}
	}
}

func TestDropBeforeAnything(t *testing.T) {
	l := pace.NewLimiter(0)
	if l.Drop(5) || !math.IsInf(l.Rate(), 1) || l.Backoff() != (pace.Backoff{}) {
		t.Errorf("a drop before the first packet: rate %g, %+v", l.Rate(), l.Backoff())
	}
}

// FuzzLimiter holds the promises of Take under any mixture of calls.
func FuzzLimiter(f *testing.F) {
	f.Add(uint64(1), 1000.0)
	f.Add(uint64(2), 0.01)
	f.Add(uint64(3), 1e9)
	f.Fuzz(func(t *testing.T, seed uint64, rate float64) {
		if rate > 1e12 || rate < 1e-6 {
			t.Skip()
		}
		r := rand.New(rand.NewPCG(seed, 1))
		l := pace.NewLimiter(rate)
		now := r.Int64N(1e18)
		var out []departure
		for range 300 {
			switch r.IntN(10) {
			case 0:
				l.Charge(now, r.IntN(10))
			case 1:
				l.Drop(now)
			case 2:
				now += r.Int64N(1e10)
			}
			want := 1 + r.IntN(100)
			n, wait := l.Take(now, want)
			if n == 0 {
				if wait <= 0 {
					t.Fatalf("nothing is granted and nothing is to be waited for")
				}
				now += int64(wait)
				if n, wait = l.Take(now, want); n == 0 {
					t.Fatalf("after the wait nothing is granted, wait %v", wait)
				}
			}
			if n < 0 || n > want || n > pace.MaxBurst || wait < 0 {
				t.Fatalf("of %d packets %d are granted, wait %v", want, n, wait)
			}
			out = append(out, departure{now, n})
		}
		checkSpans(t, fmt.Sprint("rate ", rate), out, rate, int(max(1, min(64, rate/1000))))
	})
}

func BenchmarkTake(b *testing.B) {
	l := pace.NewLimiter(1e6)
	now := int64(0)
	for b.Loop() {
		_, wait := l.Take(now, 64)
		now += int64(max(wait, 1))
	}
}
