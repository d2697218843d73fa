package match

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// ms makes times of milliseconds.
func ms(n ...int) []time.Duration {
	all := make([]time.Duration, len(n))
	for i, v := range n {
		all[i] = time.Duration(v) * time.Millisecond
	}
	return all
}

func newPlan(t *testing.T, at []time.Duration, attempts int) Plan {
	t.Helper()
	p, err := NewPlan(at, attempts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNewPlanRefuses(t *testing.T) {
	for _, c := range []struct {
		at       []time.Duration
		attempts int
		says     string
	}{
		{nil, -1, "want 1 to 15"},
		{nil, 16, "want 1 to 15"},
		{ms(), 0, "the first leaves at 0"},
		{ms(1, 2), 0, "the first leaves at 0"},
		{ms(0, 1), 3, "only 2 times"},
		{ms(0, 2, 2), 0, "later than the one before"},
		{ms(0, 2, 1), 1, "later than the one before"},
		{ms(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), 0, "at most 15"},
	} {
		if _, err := NewPlan(c.at, c.attempts); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("NewPlan(%v, %d): %v, want an error with %q", c.at, c.attempts, err, c.says)
		}
	}
}

func TestPlanTimes(t *testing.T) {
	for _, c := range []struct {
		at       []time.Duration
		attempts int
		timeout  time.Duration
		want     []time.Duration
	}{
		{nil, 0, 3500 * time.Millisecond, ms(0, 1000, 2000, 3000)},
		{nil, 0, 3000 * time.Millisecond, ms(0, 1000, 2000)}, // one that leaves as time is over would never be answered
		{nil, 0, 3001 * time.Millisecond, ms(0, 1000, 2000, 3000)},
		{nil, 0, 50 * time.Millisecond, ms(0)},
		{nil, 0, 0, ms(0)},
		{nil, 0, -time.Second, ms(0)},
		{nil, 2, time.Hour, ms(0, 1000)},
		{nil, 0, time.Hour, ms(0, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10000, 11000, 12000, 13000, 14000)},
		{ms(0, 10, 500), 0, time.Second, ms(0, 10, 500)},
		{ms(0, 10, 500), 1, time.Second, ms(0)},
		{ms(0, 10, 500), 3, 11 * time.Millisecond, ms(0, 10)},
	} {
		p := newPlan(t, c.at, c.attempts)
		if got := p.Times(c.timeout); !slices.Equal(got, c.want) {
			t.Errorf("plan %v, %d attempts, %v: %v, want %v", c.at, c.attempts, c.timeout, got, c.want)
		}
		if got := p.Attempts(c.timeout); got != len(c.want) {
			t.Errorf("plan %v, %d attempts, %v: %d, want %d", c.at, c.attempts, c.timeout, got, len(c.want))
		}
	}
}

func TestPlanKeepsItsTimes(t *testing.T) {
	at := ms(0, 10, 20)
	p := newPlan(t, at, 0)
	at[1] = time.Hour
	p.Times(time.Hour)[2] = time.Hour
	if got := p.Times(time.Hour); !slices.Equal(got, ms(0, 10, 20)) {
		t.Errorf("the plan became %v", got)
	}
}

func TestPlanGap(t *testing.T) {
	p := newPlan(t, ms(0, 10, 30), 0)
	for attempt, want := range []time.Duration{10 * time.Millisecond, 20 * time.Millisecond} {
		if gap, ok := p.Gap(attempt); !ok || gap != want {
			t.Errorf("gap after attempt %d: %v %v, want %v", attempt, gap, ok, want)
		}
	}
	for _, attempt := range []int{2, 3, 14, 15} {
		if gap, ok := p.Gap(attempt); ok || gap != 0 {
			t.Errorf("gap after attempt %d: %v %v", attempt, gap, ok)
		}
	}
	var zero Plan
	if _, ok := zero.Gap(0); ok || zero.Attempts(time.Hour) != 1 || len(zero.Times(time.Hour)) != 1 {
		t.Error("the zero plan is not one attempt")
	}
}

func TestPlanBetween(t *testing.T) {
	full := newPlan(t, nil, 0)
	for _, c := range []struct {
		p    Plan
		a, b int
		want time.Duration
	}{
		{full, 0, 1, time.Second},
		{full, 3, 7, 4 * time.Second},
		{full, 0, 14, 14 * time.Second},
		{full, 13, 15, time.Second}, // attempt 15 is beyond every plan
		{full, 14, 15, 0},
		{full, 5, 5, 0},
		{full, 6, 5, 0},
		{full, -1, 5, 0},
		{newPlan(t, ms(0, 10, 30), 0), 1, 2, 20 * time.Millisecond},
		{newPlan(t, ms(0, 10, 30), 0), 1, 5, 20 * time.Millisecond},
		{newPlan(t, ms(0, 10, 30), 0), 4, 5, 0},
		{Plan{}, 0, 1, 0},
	} {
		if got := c.p.Between(c.a, c.b); got != c.want {
			t.Errorf("between %d and %d of %v: %v, want %v", c.a, c.b, c.p.Times(time.Hour), got, c.want)
		}
	}
}
