//go:build linux && !android

package pass

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan"
	"github.com/rawshake/rawshake/scan/filter"
	"github.com/rawshake/rawshake/scan/output"
	"github.com/rawshake/rawshake/scan/record"
	"github.com/rawshake/rawshake/scan/target"
)

// grabber keeps the verdicts of a scan.
type grabber []engine.Verdict

func (g *grabber) Results(v []engine.Verdict) error { *g = append(*g, v...); return nil }
func (g *grabber) Checkpoint(scan.State) error      { return nil }

// space compiles targets.
func space(tb testing.TB, targets ...string) *target.Space {
	tb.Helper()
	var spec target.Spec
	for _, text := range targets {
		if err := spec.Add(text); err != nil {
			tb.Fatal(err)
		}
	}
	s, err := spec.Compile(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// openVerdict is the verdict on a port of loopback that is open: that of a real SYN-ACK with its options.
func openVerdict(tb testing.TB) engine.Verdict {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	s, err := scan.New(scan.Config{Targets: space(tb, l.Addr().String())})
	if errors.Is(err, os.ErrPermission) {
		tb.Skip("needs CAP_NET_RAW")
	}
	if err != nil {
		tb.Fatal(err)
	}
	var g grabber
	if err := s.Run(context.Background(), &g); err != nil {
		tb.Fatal(err)
	}
	if len(g) != 1 || g[0].State != match.Open || len(g[0].Options()) == 0 {
		tb.Fatalf("%+v", g)
	}
	return g[0]
}

// testSink makes a sink that writes to a file, and verdicts for it.
func testSink(tb testing.TB, name, expr string) (*sink, []engine.Verdict) {
	tb.Helper()
	v := openVerdict(tb)
	path := filepath.Join(tb.TempDir(), name)
	if _, bench := tb.(*testing.B); bench { // the disk is another matter
		if err := os.Symlink(os.DevNull, path); err != nil {
			tb.Fatal(err)
		}
	}
	specs, err := output.ParseSpecs([]string{path}, "")
	if err != nil {
		tb.Fatal(err)
	}
	f, err := filter.Compile(expr)
	if err != nil {
		tb.Fatal(err)
	}
	outputs, err := output.Open(specs, output.Meta{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := outputs.Finish(&record.Run{}); err != nil {
			tb.Error(err)
		}
	})
	verdicts := make([]engine.Verdict, 500)
	for i := range verdicts {
		v.Target = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i % 7), byte(i >> 8), byte(i)}), 443)
		verdicts[i] = v
	}
	s := &sink{records: scan.Recorder{Space: space(tb, "10.0.0.0/8:443")}, filter: f, outputs: outputs}
	return s, verdicts
}

// TestSink: a verdict that passes is a record, and no other.
func TestSink(t *testing.T) {
	s, verdicts := testSink(t, "x.jsonl", "addr in 10.3.0.0/16")
	if err := s.Results(verdicts); err != nil {
		t.Fatal(err)
	}
	lengths, err := s.outputs.Mark().Wait()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(lengths[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(content), `"addr":"10.3.`); n != 71 || n != strings.Count(string(content), "\n") {
		t.Errorf("%d records pass:\n%s", n, content)
	}
}

func TestSinkAllocatesNothing(t *testing.T) {
	s, verdicts := testSink(t, "x.jsonl", "state = open && port in (443, 8000-8100)")
	s.Results(verdicts)
	if n := testing.AllocsPerRun(20, func() { s.Results(verdicts) }); n > 1 { // a buffer now and then, of the outputs
		t.Errorf("%v allocations for %d records", n, len(verdicts))
	}
}

// BenchmarkSink is what a verdict costs until its record is written.
func BenchmarkSink(b *testing.B) {
	for _, bench := range []struct{ name, file, filter string }{
		{"jsonl", "x.jsonl", ""}, {"jsonl+filter", "x.jsonl", "state = open && port = 443 && rtt_us > 0"}, {"csv", "x.csv", ""}, {"text", "x.txt", ""},
		{"dropped", "x.jsonl", "port = 80"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s, verdicts := testSink(b, bench.file, bench.filter)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if err := s.Results(verdicts); err != nil {
					b.Fatal(err)
				}
				n += len(verdicts)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
		})
	}
}
