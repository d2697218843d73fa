package record

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestTally compares the running figures with the textbook formulas over the whole series.
func TestTally(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 19, 20, 21, 100, 1000} {
		var tally Tally
		var all []time.Duration
		for range n {
			rtt := time.Hour + time.Duration(random.ExpFloat64()*float64(time.Millisecond)) // far from zero: cancellation would show
			all = append(all, rtt)
			tally.Answered(rtt)
		}
		tally.Lost()
		got := tally.Summary("x", time.Time{})
		want := Summary{Target: "x", Sent: uint64(n) + 1, Received: uint64(n), Min: slices.Min(all), Max: slices.Max(all)}
		want.Avg, want.Mdev = moments(all)
		slices.Sort(all)
		want.P95 = all[int(math.Ceil(0.95*float64(n)))-1]
		if d := (got.Avg - want.Avg).Abs(); d > 2 { // the reference rounds too, an hour is 3.6e12 ns
			t.Errorf("n=%d: avg %v, want %v", n, got.Avg, want.Avg)
		}
		if d := (got.Mdev - want.Mdev).Abs(); d > 2 {
			t.Errorf("n=%d: mdev %v, want %v", n, got.Mdev, want.Mdev)
		}
		got.Avg, got.Mdev = want.Avg, want.Mdev
		if got != want {
			t.Errorf("n=%d:\ngot  %+v\nwant %+v", n, got, want)
		}
	}
}

func moments(all []time.Duration) (mean, deviation time.Duration) {
	var sum float64
	for _, d := range all {
		sum += float64(d - all[0])
	}
	m := sum / float64(len(all))
	var squares float64
	for _, d := range all {
		squares += (float64(d-all[0]) - m) * (float64(d-all[0]) - m)
	}
	return all[0] + time.Duration(math.Round(m)), time.Duration(math.Round(math.Sqrt(squares / float64(len(all)))))
}

func TestTallyNothing(t *testing.T) {
	var tally Tally
	if got, want := tally.Summary("x", time.Time{}), (Summary{Target: "x"}); got != want {
		t.Errorf("got %+v", got)
	}
	if loss := (&Summary{}).Loss(); loss != 0 {
		t.Errorf("loss of nothing is %v", loss)
	}
}

// TestSummaryUntimed: answers whose time cannot be told are no times of 0.
func TestSummaryUntimed(t *testing.T) {
	s := Summary{Target: "x", Sent: 2, Received: 1}
	if got, want := string(s.AppendText(nil)), "x : sent 2, answered 1, loss 50.0%\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := string(s.AppendJSON(nil)), `{"v":1,"type":"summary","target":"x","sent":2,"received":1,"loss":0.5,"open":0,"closed":0,"unreachable":0,"filtered":0,"unsent":0}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestTallyBounded: memory stops growing and the percentile stays near the truth.
func TestTallyBounded(t *testing.T) {
	var tally Tally
	const n = 4 * maxSamples
	for i := range n {
		tally.Answered(time.Duration(i + 1))
	}
	if len(tally.samples) != maxSamples {
		t.Errorf("%d samples kept, want %d", len(tally.samples), maxSamples)
	}
	s := tally.Summary("x", time.Time{})
	if p := float64(s.P95) / n; p < 0.94 || p > 0.96 { // the standard error of the sampled percentile is 0.0009
		t.Errorf("95th percentile is at %.4f of the range", p)
	}
	if s.Min != 1 || s.Max != n || s.Received != n {
		t.Errorf("%+v", s)
	}
}
