//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// TestLabRTT compares RTTs with what a capture on the prober's own interface saw: the kernel's stamps of the SYN as it left and
// of the SYN-ACK as it came.
func TestLabRTT(t *testing.T) {
	top := lab.Topology{Prefixes: map[string][]netip.Prefix{"peer": {netip.MustParsePrefix("10.128.0.0/16"), netip.MustParsePrefix("fd80::/64")}}}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		families(t, func(t *testing.T, v6 bool) {
			targets := block(map[bool]string{false: "10.128.0.0/16", true: "fd80::/64"}[v6], 300, 80)
			p, wire := newProber(t, rawshake.Config{}), n.Prober().Capture(t)
			var one []rawshake.Result
			for _, target := range targets[:100] {
				one = append(one, want(t, probe(t, p, target), rawshake.Open, match.SYNACK))
			}
			var batch []rawshake.Result
			for _, r := range probeAll(t, p, targets[100:]...) {
				batch = append(batch, want(t, r, rawshake.Open, match.SYNACK))
			}
			packets := wire.Wait(t, time.Second, func(p []lab.Packet) bool { return len(p) >= 3*len(targets) })
			seen := onWire(packets)
			checkErrors(t, "one by one", one, seen, 50*time.Microsecond)
			checkErrors(t, "in batches", batch, seen, 500*time.Microsecond)
		})
	})
}

// onWire returns the time between SYN and SYN-ACK of each target.
func onWire(packets []lab.Packet) map[netip.AddrPort]time.Duration {
	left, took := map[netip.AddrPort]time.Time{}, map[netip.AddrPort]time.Duration{}
	for _, p := range packets {
		switch p.Flags() {
		case "S":
			left[p.Dst] = p.Time
		case "S.":
			took[p.Src] = p.Time.Sub(left[p.Src])
		}
	}
	return took
}

// checkErrors holds the median of the RTTs' errors to a limit: the noise of the machine is not the prober's.
func checkErrors(t *testing.T, name string, results []rawshake.Result, seen map[netip.AddrPort]time.Duration, limit time.Duration) {
	t.Helper()
	var errs []time.Duration
	for _, r := range results {
		errs = append(errs, r.RTT-seen[r.Target])
	}
	slices.Sort(errs)
	low, median, high := errs[len(errs)/20], errs[len(errs)/2], errs[len(errs)*19/20]
	if median < -limit || median > limit {
		t.Errorf("%s: RTTs differ from the capture by %v in the median", name, median)
	}
	t.Logf("%s: RTT minus capture: 5th percentile %v, median %v, 95th %v", name, low, median, high)
}
