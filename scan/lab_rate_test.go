//go:build linux && !android && !race

package scan

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/target"
)

// The rate is right to 1 %, and packets come in bursts of at most 64, fewer at low rates: by the times at which the kernel of the
// other side saw them.
func TestLabRate(t *testing.T) {
	for _, c := range []struct {
		rate  float64
		bits  int
		burst float64 // a millisecond's worth
	}{{1, 2, 1}, {100, 7, 1}, {10_000, 14, 10}, {200_000, 16, 64}} {
		t.Run(fmt.Sprint(c.rate), func(t *testing.T) {
			if c.rate < 1000 {
				t.Parallel()
			}
			lab.Test(t, million, func(t *testing.T, n *lab.Net) {
				n.Host("peer").Drop(t, 80)
				for name, prefix := range prefixes(c.bits) {
					t.Run(name, func(t *testing.T) { testRate(t, n.Host("peer"), prefix, c.rate, c.burst) })
				}
			})
		})
	}
}

func testRate(t *testing.T, peer *lab.Host, prefix string, rate, burst float64) {
	for range 8 { // the machine has other things to do, too
		wire := peer.Capture(t)
		scanAll(t, Config{Targets: space(t, "80", prefix), Rate: rate, Attempts: 1, Timeout: 100 * ms}, nil)
		off, early := measured(wire.Packets(t), rate, burst)
		wire.Close()
		t.Logf("%v packets a second: off by %.3f %%, %.2f %% of them in bursts of more than %v", rate, 100*off, 100*early, burst)
		if math.Abs(off) <= 0.01 && early <= 0.01 {
			return
		}
	}
	if busy := load(t); busy > float64(runtime.NumCPU()) {
		t.Logf("not judged: %.1f processes want to run on %d processors, and no time is exact", busy, runtime.NumCPU())
		return
	}
	t.Errorf("the rate is off, or the bursts are long")
}

// measured returns by how much the rate of packets is off, and the share of packets that left in longer bursts: more in some span
// of time than the burst and twice the rate, at which lost time is made up for.
func measured(packets []lab.Packet, rate, burst float64) (off, early float64) {
	if len(packets) < 2 {
		return math.Inf(1), 1
	}
	first, low := packets[0].Time, math.Inf(1)
	for i, p := range packets {
		ahead := float64(i) - 2*rate*p.Time.Sub(first).Seconds()
		low = min(low, ahead)
		if ahead-low+1 > burst+0.5 {
			early++
			low++ // each is counted once
		}
	}
	took := packets[len(packets)-1].Time.Sub(first).Seconds()
	return float64(len(packets)-1)/took/rate - 1, early / float64(len(packets))
}

// load returns how many processes wanted to run, on the average of the last minute.
func load(t *testing.T) (n float64) {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		_, err = fmt.Sscan(string(text), &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Memory grows with the targets in flight, which are bounded, and not with their number: a scan of silent targets at full speed
// stays under 100 MB. Set RAWSHAKE_SLASH8 to ask all of a /8, and as many of IPv6, instead of 2^22.
func TestLabMemory(t *testing.T) {
	prefixes := []string{"10.128.0.0/10", "fd80::/106"}
	if os.Getenv("RAWSHAKE_SLASH8") != "" {
		prefixes = []string{"11.0.0.0/8", "fd80::/104"}
	}
	for _, prefix := range prefixes {
		t.Run(prefix, func(t *testing.T) {
			top := lab.Topology{Prefixes: map[string][]netip.Prefix{"peer": {netip.MustParsePrefix(prefix)}}}
			lab.Test(t, top, func(t *testing.T, n *lab.Net) {
				n.Host("peer").Respond(t, lab.Responder{Fate: lab.Silent})
				testMemory(t, space(t, "80", prefix))
			})
		})
	}
}

func testMemory(t *testing.T, all *target.Space) {
	s, err := New(Config{Targets: all, Rate: -1, Attempts: 1, Timeout: time.Second, Keep: func(s match.State) bool { return s != match.Filtered }})
	if err != nil {
		t.Fatal(err)
	}
	most, half := 0, 0
	done := make(chan error)
	go func() { done <- s.Run(t.Context(), &log{}) }()
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		case <-time.After(20 * ms):
			most = max(most, s.InFlight())
		}
		if half == 0 && s.Totals().Done() > all.Size()/2 {
			half = peakMemory(t)
		}
	}
	end := peakMemory(t)
	t.Logf("%d targets, at most %d in flight: %d kB after half of them, %d kB at the end; %+v", all.Size(), most, half, end, s.Totals())
	if end > half+half/10 || end > 100_000 && !race { // the race detector has memory of its own
		t.Errorf("%d kB after half, %d kB at the end, want less than 100 MB and no growth", half, end)
	}
	if got := s.Totals().Verdicts[match.Filtered]; got != all.Size() {
		t.Errorf("%d of %d targets are filtered: %+v", got, all.Size(), s.Totals())
	}
}

// peakMemory returns the most kB of memory that this process has held.
func peakMemory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := bytes.Cut(status, []byte("VmHWM:"))
	kB, err := strconv.Atoi(string(bytes.Fields(after)[0]))
	if err != nil {
		t.Fatal(err)
	}
	return kB
}
