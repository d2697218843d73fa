package main

import (
	"fmt"
	"testing"
	"time"
)

// TestSchedule: attempts leave a second apart where the timeout has room for that, and else evenly over it.
func TestSchedule(t *testing.T) {
	for _, test := range []struct {
		timeout  time.Duration
		attempts int
		want     string
	}{
		{4 * time.Second, 0, "[]"}, {900 * time.Millisecond, 0, "[]"}, {900 * time.Millisecond, 1, "[]"},
		{2100 * time.Millisecond, 3, "[]"}, {2 * time.Second, 3, "[0s 666.666666ms 1.333333332s]"},
		{900 * time.Millisecond, 3, "[0s 300ms 600ms]"}, {2, 4, "[0s 1ns 2ns 3ns]"},
	} {
		f := checkFlags{timeout: positive(test.timeout), attempts: atLeast{value: test.attempts}}
		if got := fmt.Sprint(f.schedule()); got != test.want {
			t.Errorf("%d in %v: %s, want %s", test.attempts, test.timeout, got, test.want)
		}
	}
}
