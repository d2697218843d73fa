//go:build linux && !android

package main

import (
	"fmt"
	"math/bits"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/lab"
)

// builtVariable names a built rawshake and asks for the measurements in full. Without it the benchmarks are a quick trial of this test
// binary with few targets.
const builtVariable = "RAWSHAKE_BENCH"

func full() bool { return os.Getenv(builtVariable) != "" }

// space is a set of targets with one port that every scanner can be told.
type space struct {
	prefixes []string
	exclude  string // may be empty
	size     int
}

// spaces are the sizes for the cost curve. The largest is all of 10/8 but for the subnets of the lab, made whole again.
var spaces = []space{
	{[]string{"10.128.0.0/16"}, "", 1 << 16},
	{[]string{"10.128.0.0/12"}, "", 1 << 20},
	{[]string{"10.0.0.0/8", "172.16.0.0/16"}, "10.77.0.0/16", 1 << 24},
}

// block is a space of 2^n targets.
func block(v6 bool, n int) space {
	if v6 {
		return space{[]string{fmt.Sprintf("fd80::/%d", 128-n)}, "", 1 << n}
	}
	return space{[]string{fmt.Sprintf("10.128.0.0/%d", 32-n)}, "", 1 << n}
}

// six is an IPv6 space of the same size.
func (s space) six() space { return block(true, bits.Len(uint(s.size))-1) }

// trial makes a space small where only a trial is wanted.
func (s space) trial() space {
	if full() {
		return s
	}
	return block(strings.Contains(s.prefixes[0], ":"), 10)
}

// scanRun is one scan that is measured.
type scanRun struct {
	tool      tooling
	space     space
	rate      int // SYNs a second; if zero, as fast as it goes
	attempts  int // if zero, 1
	responder lab.Responder
	loss      lab.Loss
}

// BenchmarkScan compares scanners side by side: each has 2^20 targets that all answer, and goes as fast as it can.
func BenchmarkScan(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		for _, t := range tools {
			if !v6 || t.v6 {
				bench(b, family(v6)+"/"+t.name, scanRun{tool: t, space: block(v6, 20)})
			}
		}
	}
}

// BenchmarkScanTargets has more and more targets.
func BenchmarkScanTargets(b *testing.B) {
	for _, s := range spaces {
		for _, t := range tools[:2] {
			bench(b, fmt.Sprintf("%s/%d", t.name, s.size), scanRun{tool: t, space: s})
		}
		bench(b, fmt.Sprintf("rawshake-v6/%d", s.size), scanRun{tool: tools[0], space: s.six()})
	}
}

// BenchmarkScanRate asks for more and more SYNs a second, for some three seconds each.
func BenchmarkScanRate(b *testing.B) {
	for _, c := range []struct{ rate, bits int }{{10_000, 15}, {100_000, 18}, {200_000, 19}, {400_000, 20}, {0, 20}} {
		for _, t := range tools[:2] {
			bench(b, fmt.Sprintf("%s/%d", t.name, c.rate), scanRun{tool: t, space: block(false, c.bits), rate: c.rate})
		}
		bench(b, fmt.Sprintf("rawshake-v6/%d", c.rate), scanRun{tool: tools[0], space: block(true, c.bits), rate: c.rate})
	}
}

// BenchmarkScanMixed asks targets of which a third is open, a third closed and a third silent.
func BenchmarkScanMixed(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		bench(b, family(v6), scanRun{tool: everything, space: block(v6, 20), attempts: 2, responder: lab.Responder{Mixed: true}})
	}
}

// BenchmarkScanLoss loses a twentieth of the packets each way.
func BenchmarkScanLoss(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		bench(b, family(v6), scanRun{tool: everything, space: block(v6, 20), attempts: 3, loss: lab.Loss{In: 5, Out: 5, Seed: 1}})
	}
}

// BenchmarkScanSilent asks 2^24 targets that stay silent: what waits is bounded, not what is asked.
func BenchmarkScanSilent(b *testing.B) {
	bench(b, "v4", scanRun{tool: tools[0], space: spaces[2], responder: lab.Responder{Fate: lab.Silent}})
	bench(b, "v6", scanRun{tool: tools[0], space: spaces[2].six(), responder: lab.Responder{Fate: lab.Silent}})
}

func family(v6 bool) string {
	if v6 {
		return "v6"
	}
	return "v4"
}

// bench makes one run a benchmark. All scanners run as root, since others than rawshake need it.
func bench(b *testing.B, name string, r scanRun) {
	r.space = r.space.trial()
	b.Run(name, func(b *testing.B) {
		if _, err := exec.LookPath(r.tool.path); err != nil {
			b.Skipf("%s is not installed (`make bench` installs it from Debian)", r.tool.path)
		}
		lab.Benchmark(b, lab.Topology{As: lab.Root}, func(b *testing.B, n *lab.Net) {
			for _, to := range []string{"10.0.0.0/8", "172.16.0.0/16"} {
				n.Prober().AddRoute(b, lab.Route{To: netip.MustParsePrefix(to), Via: n.Host("peer").V4})
			}
			n.Prober().AddRoute(b, lab.Route{To: netip.MustParsePrefix("fd80::/16"), Via: n.Host("peer").V6})
			peer := n.Host("peer").Respond(b, r.responder)
			if r.loss != (lab.Loss{}) {
				n.Host("peer").Lose(b, r.loss)
			}
			for range b.N {
				r.measure(b, n.Host("peer"), peer)
			}
		})
	})
}

// limit ends a scanner that hangs.
func (r scanRun) limit() time.Duration {
	return 40*time.Second + time.Duration(r.space.size)*5*time.Microsecond
}

// contains tells targets from other addresses.
func (s space) contains(a netip.Addr) bool {
	for _, p := range s.prefixes {
		if netip.MustParsePrefix(p).Contains(a) {
			return s.exclude == "" || !netip.MustParsePrefix(s.exclude).Contains(a)
		}
	}
	return false
}
