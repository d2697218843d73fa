//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
)

// The files lab_*_test.go hold the raw prober to its promises on real packets, as user 65534 with CAP_NET_RAW as the only
// capability. quick is a configuration whose silence is short.
var quick = rawshake.Config{
	Timeout:  400 * time.Millisecond,
	Schedule: []time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond},
}

// newProber opens a Prober until the end of t.
func newProber(t testing.TB, c rawshake.Config) *rawshake.Prober {
	t.Helper()
	p, err := rawshake.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil && err != rawshake.ErrClosed { // by the test itself
			t.Error(err)
		}
	})
	return p
}

func probe(t testing.TB, p *rawshake.Prober, target netip.AddrPort) rawshake.Result {
	t.Helper()
	r, err := p.Probe(t.Context(), target)
	if err != nil {
		t.Fatalf("%v: %v", target, err)
	}
	if r.Target != target || r.Method != rawshake.MethodRaw {
		t.Errorf("probe of %v gives a result for %v by %v", target, r.Target, r.Method)
	}
	return r
}

// probeAll probes targets at once and returns the results by target. Every target comes out once.
func probeAll(t testing.TB, p *rawshake.Prober, targets ...netip.AddrPort) map[netip.AddrPort]rawshake.Result {
	t.Helper()
	results := map[netip.AddrPort]rawshake.Result{}
	for r, err := range p.ProbeAll(t.Context(), slices.Values(targets)) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := results[r.Target]; twice {
			t.Errorf("%v has two verdicts", r.Target)
		}
		results[r.Target] = r
	}
	if len(results) != len(targets) {
		t.Errorf("%d verdicts on %d targets", len(results), len(targets))
	}
	return results
}

// want fails unless a result has this state and reason; it returns the result.
func want(t testing.TB, r rawshake.Result, state rawshake.State, reason rawshake.Reason) rawshake.Result {
	t.Helper()
	if r.State != state || r.Reason != reason {
		t.Errorf("%v is %v, %v (attempt %d, %v), want %v, %v", r.Target, r.State, r.Reason, r.Attempt, r.Err, state, reason)
	}
	return r
}

// families runs a test for IPv4 and for IPv6.
func families(t *testing.T, test func(t *testing.T, v6 bool)) {
	for _, v6 := range []bool{false, true} {
		t.Run(map[bool]string{false: "v4", true: "v6"}[v6], func(t *testing.T) { test(t, v6) })
	}
}

// ttls runs a test with what hosts send from, and with the largest TTL, as some appliances send: half of the guard does not see that.
func ttls(t *testing.T, test func(t *testing.T, ttl uint8)) {
	for _, ttl := range []uint8{64, 255} {
		t.Run(fmt.Sprintf("TTL %d", ttl), func(t *testing.T) { test(t, ttl) })
	}
}

// setTTL has the kernels of hosts send with a TTL or hop limit until the end of t, to themselves too.
func setTTL(t *testing.T, ttl uint8, hosts ...*lab.Host) {
	for _, h := range hosts {
		h.SetTTL(t, ttl)
		h.Sysctl(t, "net/ipv6/conf/lo/hop_limit", fmt.Sprint(ttl))
	}
}

// block returns n targets on one port at consecutive addresses from the first of a prefix on.
func block(prefix string, n int, port uint16) []netip.AddrPort {
	targets := make([]netip.AddrPort, 0, n)
	for addr := netip.MustParsePrefix(prefix).Addr(); len(targets) < n; addr = addr.Next() {
		targets = append(targets, netip.AddrPortFrom(addr, port))
	}
	return targets
}

func at(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// isSYN reports whether a packet is a SYN.
func isSYN(p lab.Packet) bool { return p.Flags() == "S" }

// eventually waits for something that happens in the background.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("still not after 5 s: %s", what)
			return
		}
	}
}

// plausible reports whether an answer may have taken so long; 0: the machine was too busy to tell.
func plausible(rtt time.Duration) bool { return rtt >= 0 && rtt < time.Second }

// settled returns the counters when nothing is pending any more: they are shown a moment after the last verdict.
func settled(t testing.TB, p *rawshake.Prober) rawshake.Stats {
	t.Helper()
	eventually(t, "nothing pending", func() bool { return p.Stats().InFlight == 0 })
	return p.Stats()
}
