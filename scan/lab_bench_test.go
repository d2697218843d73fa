//go:build linux && !android

package scan

import (
	"bufio"
	"context"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/record"
	"github.com/rawshake/rawshake/scan/target"
)

// space compiles targets.
func space(t testing.TB, ports string, targets ...string) *target.Space {
	t.Helper()
	p, err := target.ParsePorts(ports)
	if err != nil {
		t.Fatal(err)
	}
	spec := target.Spec{Ports: p}
	for _, text := range targets {
		if err := spec.Add(text); err != nil {
			t.Fatal(err)
		}
	}
	s, err := spec.Compile(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var million = lab.Topology{Prefixes: map[string][]netip.Prefix{"peer": {
	netip.MustParsePrefix("10.128.0.0/9"), netip.MustParsePrefix("fd80::/16"),
}}}

// jsonFile is a Handler that writes JSON lines.
type jsonFile struct {
	Recorder
	w     *bufio.Writer
	buf   []byte
	count int
}

func (j *jsonFile) Results(verdicts []engine.Verdict) error {
	var r record.Record
	for i := range verdicts {
		j.Fill(&r, &verdicts[i])
		j.buf = append(r.AppendJSON(j.buf[:0]), '\n')
		j.w.Write(j.buf)
		j.count++
	}
	return nil
}

func (j *jsonFile) Checkpoint(State) error { return nil }

// BenchmarkScan asks 2^20 targets, all open, at full speed, and writes a JSON line for each.
func BenchmarkScan(b *testing.B) {
	for name, targets := range map[string]string{"v4": "10.128.0.0/12", "v6": "fd80::/108"} {
		b.Run(name, func(b *testing.B) {
			lab.Benchmark(b, million, func(b *testing.B, n *lab.Net) {
				peer := n.Host("peer").Respond(b, lab.Responder{})
				all := space(b, "80", targets)
				for b.Loop() {
					fullSpeed(b, peer, all)
				}
			})
		})
	}
}

func fullSpeed(b *testing.B, peer *lab.Responding, all *target.Space) {
	f, err := os.Create(b.TempDir() + "/result.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	h := &jsonFile{Recorder: Recorder{Space: all}, w: bufio.NewWriterSize(f, 1<<20)}
	s, err := New(Config{Targets: all, Rate: -1, Keep: func(s match.State) bool { return s == match.Open }})
	if err != nil {
		b.Fatal(err)
	}
	before := peer.Counters(b)
	busy, _ := lab.BusyTime()
	own := ownTime(b)
	start := time.Now()
	if err := s.Run(context.Background(), h); err != nil {
		b.Fatal(err)
	}
	h.w.Flush()
	took := time.Since(start)
	used, _ := lab.BusyTime()
	after := peer.Counters(b)
	probes := float64(after.SYN - before.SYN)
	b.ReportMetric(probes/took.Seconds(), "probes/s")
	b.ReportMetric(float64(used-busy)/probes, "cpu-ns/probe")
	b.ReportMetric(float64(ownTime(b)-own)/probes, "own-cpu-ns/probe")
	b.ReportMetric(100*float64(h.count)/float64(all.Size()), "recall%")
	b.ReportMetric(float64(after.RST-before.RST)/float64(all.Size()), "rst/target")
	t := s.Totals()
	b.ReportMetric(float64(t.RingDrops), "drops")
	if t.Done() != all.Size() {
		b.Errorf("%d verdicts for %d targets: %+v", t.Done(), all.Size(), t)
	}
}

func ownTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

