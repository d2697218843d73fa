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

// file is a Handler that writes a line for each verdict.
type file struct {
	Recorder
	encode func([]byte, *record.Record) []byte
	w      *bufio.Writer
	buf    []byte
	count  int
}

func (f *file) Results(verdicts []engine.Verdict) error {
	var r record.Record
	for i := range verdicts {
		f.Fill(&r, &verdicts[i])
		f.buf = f.encode(f.buf[:0], &r)
		f.w.Write(f.buf)
		f.count++
	}
	return nil
}

func (f *file) Checkpoint(State) error { return nil }

func jsonLine(b []byte, r *record.Record) []byte { return append(r.AppendJSON(b), '\n') }

// addressLine is what zmap writes.
func addressLine(b []byte, r *record.Record) []byte {
	return r.AppendCSV(b, []record.Field{record.FieldAddr})
}

// BenchmarkScan asks 2^20 targets, all open, at full speed, and writes a line for each.
func BenchmarkScan(b *testing.B) {
	for _, c := range []struct {
		name, targets string
		encode        func([]byte, *record.Record) []byte
	}{
		{"v4/address", "10.128.0.0/12", addressLine},
		{"v4/json", "10.128.0.0/12", jsonLine},
		{"v6/address", "fd80::/108", addressLine},
	} {
		b.Run(c.name, func(b *testing.B) {
			lab.Benchmark(b, million, func(b *testing.B, n *lab.Net) {
				peer := n.Host("peer").Respond(b, lab.Responder{})
				all := space(b, "80", c.targets)
				for b.Loop() {
					fullSpeed(b, peer, all, c.encode)
				}
			})
		})
	}
}

func fullSpeed(b *testing.B, peer *lab.Responding, all *target.Space, encode func([]byte, *record.Record) []byte) {
	f, err := os.Create(b.TempDir() + "/result.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	h := &file{Recorder: Recorder{Space: all}, encode: encode, w: bufio.NewWriterSize(f, 1<<18)}
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
