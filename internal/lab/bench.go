//go:build linux && !android

package lab

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Benchmark is [Test] for a benchmark: the body is run in the second process as often as the testing package wants, and what it measured
// there is reported here. The body must not call b.Run; call Benchmark inside a b.Run instead.
func Benchmark(b *testing.B, top Topology, body func(b *testing.B, n *Net)) {
	b.Helper()
	if os.Getenv(childVariable) != "" {
		benchBody(b, body)
		return
	}
	benchtime := flag.Lookup("test.benchtime").Value.String()
	if b.N == 1 && strings.HasSuffix(benchtime, "x") && benchtime != "1x" {
		return // the testing package only warms up; the second process does so too
	}
	s := newServer(b, top)
	var results []byte
	output := &childOutput{to: b.Output(), skip: func(line []byte) bool {
		results = append(results, line...)
		return heading.Match(line)
	}}
	s.runChild(b, b.Name(), output, "-test.run=^$", "-test.bench="+exactly(b.Name()), "-test.benchtime="+benchtime)
	n, metrics, err := parseBenchmark(results)
	if err != nil {
		b.Fatalf("lab: %v", err)
	}
	//lint:ignore SA3001 the loop ran in the second process, and this is how often
	b.N = n
	for unit, value := range metrics {
		b.ReportMetric(value, unit)
	}
}

// heading is what go test prints around the results.
var heading = regexp.MustCompile(`^(goos|goarch|pkg|cpu): |^Benchmark`)

func benchBody(b *testing.B, body func(*testing.B, *Net)) {
	n, err := openNet()
	if err != nil {
		b.Fatal(err)
	}
	if _, _, err := n.client.call("end", "", outcome{Ended: true}, nil); err != nil {
		b.Fatal(err)
	}
	body(b, n)
}

// parseBenchmark finds the one line of results: a name, the iterations, and pairs of a value and a unit. The name may stand on
// a line of its own, when the benchmark printed something.
func parseBenchmark(output []byte) (n int, metrics map[string]float64, err error) {
	for line := range bytes.Lines(output) {
		fields := bytes.Fields(line)
		if len(fields) > 0 && bytes.HasPrefix(fields[0], []byte("Benchmark")) {
			fields = fields[1:]
		}
		if len(fields) < 3 || len(fields)%2 == 0 || string(fields[2]) != "ns/op" {
			continue
		}
		if n, err = strconv.Atoi(string(fields[0])); err != nil {
			continue
		}
		metrics = map[string]float64{}
		for i := 1; i < len(fields); i += 2 {
			if metrics[string(fields[i+1])], err = strconv.ParseFloat(string(fields[i]), 64); err != nil {
				return 0, nil, fmt.Errorf("result %q: %w", line, err)
			}
		}
		return n, metrics, nil
	}
	return 0, nil, fmt.Errorf("no result of the benchmark in %q", output)
}

// BusyTime returns how long all processors of the machine together have been busy since it started, to a hundredth of a second: user,
// nice, system, irq and softirq of /proc/stat. The difference of two calls over a number of probes is the whole cost of a
// probe, the kernel's receive path and the peer included.
func BusyTime() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	fields := bytes.Fields(line) // "cpu" user nice system idle iowait irq softirq steal …
	if len(fields) < 8 || string(fields[0]) != "cpu" {
		return 0, fmt.Errorf("lab: /proc/stat begins with %q", line)
	}
	var ticks int64
	for _, i := range []int{1, 2, 3, 6, 7} {
		n, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("lab: /proc/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil // USER_HZ is 100 on every architecture that Go runs on
}
