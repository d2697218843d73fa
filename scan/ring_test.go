//go:build linux && !android

package scan

import "testing"

// Lanes share the answers, so many lanes need no more room than two.
func TestRingFrames(t *testing.T) {
	for lanes, want := range map[int]int{1: 16384, 2: 16384, 4: 8192, 8: 4096, 32: 4096} {
		if n := (Config{}).ringFrames(lanes); n != want {
			t.Errorf("%d lanes: rings of %d packets, want %d", lanes, n, want)
		}
	}
	if n := (Config{RingFrames: 100}).ringFrames(8); n != 100 {
		t.Errorf("%d packets, want 100", n)
	}
}
