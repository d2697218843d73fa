package match

import (
	"fmt"
	"time"
)

// MaxAttempts is the most SYNs that one probe may send by plan. The attempt has four bits in the ISN, room for 16: the last one
// is for an attempt beyond the plan, which follows a loss of our own, a stale half-open connection or a local translation.
const MaxAttempts = 15

// Plan says when the attempts of a probe leave, counted from the first. The zero value is one attempt.
type Plan struct {
	at [MaxAttempts]time.Duration
	n  int
}

// NewPlan makes a plan of at most attempts SYNs (if zero, MaxAttempts) at the given times (if nil, 0, 1, 2, 3 s and so on).
// The times must start at 0 and ascend; there may be fewer than attempts only if attempts is zero.
func NewPlan(at []time.Duration, attempts int) (Plan, error) {
	if attempts < 0 || attempts > MaxAttempts {
		return Plan{}, fmt.Errorf("%d attempts: want 1 to %d, or 0 for as many as there is time for", attempts, MaxAttempts)
	}
	if at == nil {
		for i := range MaxAttempts {
			at = append(at, time.Duration(i)*time.Second)
		}
	}
	if err := checkTimes(at, attempts); err != nil {
		return Plan{}, err
	}
	if attempts == 0 {
		attempts = len(at)
	}
	p := Plan{n: attempts}
	copy(p.at[:], at[:attempts])
	return p, nil
}

func checkTimes(at []time.Duration, attempts int) error {
	switch {
	case len(at) == 0 || at[0] != 0:
		return fmt.Errorf("attempts at %v: the first leaves at 0", at)
	case len(at) > MaxAttempts:
		return fmt.Errorf("%d attempts: at most %d", len(at), MaxAttempts)
	case len(at) < attempts:
		return fmt.Errorf("%d attempts but only %d times", attempts, len(at))
	}
	for i := 1; i < len(at); i++ {
		if at[i] <= at[i-1] {
			return fmt.Errorf("attempts at %v: each must be later than the one before", at)
		}
	}
	return nil
}

// Attempts returns how many SYNs the plan has room for within timeout; at least one.
func (p Plan) Attempts(timeout time.Duration) int {
	n := 1
	for n < p.n && p.at[n] < timeout {
		n++
	}
	return n
}

// Times returns when the attempts leave that have room within timeout.
func (p Plan) Times(timeout time.Duration) []time.Duration {
	return p.at[:p.Attempts(timeout)]
}

// Gap returns the time from the given attempt to the next one, and whether there is a next one.
func (p Plan) Gap(attempt int) (time.Duration, bool) {
	if attempt+1 >= p.n {
		return 0, false
	}
	return p.at[attempt+1] - p.at[attempt], true
}

// Between returns the planned time from attempt a to a later attempt b.
func (p Plan) Between(a, b int) time.Duration {
	if a < 0 || b <= a {
		return 0
	}
	last := max(p.n-1, 0) // later attempts are beyond the plan
	return p.at[min(b, last)] - p.at[min(a, last)]
}
