package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const sample = `date: 2025-01-02
cores: 2
round: 1
cpu: Some Processor
BenchmarkScan/v4/rawshake-2   1  900 ns/op  600000 probes/s  3000 cpu-ns/probe  1000000 probes  1 seconds  1000000 targets  20 missing  1.5 others%
BenchmarkScan/v4/zmap-2
| it printed something
       1  900 ns/op  300000 probes/s  5000 cpu-ns/probe  98.5 recall%  1000000 probes  1 seconds  2.5 others%
BenchmarkScanRate/rawshake/10000-2  1 5 ns/op  9990 sending-probes/s
BenchmarkScanRate/rawshake/0-2  1 5 ns/op  700000 sending-probes/s
--- FAIL: BenchmarkScan/v4/masscan
    | --- FAIL: BenchmarkScan/v4/masscan
--- FAIL: BenchmarkScan
round: 2
BenchmarkScan/v4/rawshake-2   1  900 ns/op  900000 probes/s  2000 cpu-ns/probe  100.0 recall%  1000000 probes  1 seconds  0 others%
BenchmarkScan/v4/rawshake-2   1  900 ns/op  500000 probes/s  2400 cpu-ns/probe  100.0 recall%  1000000 probes  1 seconds  0 others%
`

func TestParse(t *testing.T) {
	r, err := parse(strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := r.get("Scan/v4/rawshake", "probes/s"); v != 600000 || !ok {
		t.Errorf("median of three is %v, %v", v, ok)
	}
	if v, ok := r.get("Scan/v4/zmap", "recall%"); v != 98.5 || !ok {
		t.Errorf("the name on its own line: %v, %v", v, ok)
	}
	if _, ok := r.get("Scan/v4/masscan", "probes/s"); ok {
		t.Error("masscan was not measured")
	}
	if !slices.Equal(r.Failed, []string{"Scan/v4/masscan in round 1"}) {
		t.Errorf("failed: %q", r.Failed)
	}
	if r.About["cpu"] != "Some Processor" || r.Rounds() != "1 to 3" || r.Noise() != "0.0" {
		t.Errorf("%v, %s rounds, noise %s", r.About, r.Rounds(), r.Noise())
	}
}

// TestQuietest: the rounds that count are chosen by what other processes used.
func TestQuietest(t *testing.T) {
	text := ""
	for i, others := range []int{50, 1, 60, 2, 70, 3} {
		text += fmt.Sprintf("BenchmarkX-2 1 5 ns/op %d probes/s %d others%%\n", 10*i, others)
	}
	r, err := parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := r.get("X", "probes/s"); v != 30 { // of 10, 30 and 50
		t.Errorf("median %v, want 30", v)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "no results",
		"BenchmarkX 1 x ns/op\n":   "line 1",
		"BenchmarkX 1 5 ns/op 7\n": "value and unit",
	} {
		if _, err := parse(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestGoals: what is reached, what is missed, and what nobody measured are told apart.
func TestGoals(t *testing.T) {
	r, _ := parse(strings.NewReader(sample))
	text := r.Goals()
	for _, want := range []string{
		"| probes/s beside zmap | at least 2 times | 2.00 times | yes | 2.5 |",
		"| CPU of a probe beside zmap | at most half | 0.485 times | yes | 2.5 |",
		"| recall, mixed, IPv4 | 100 % | — | not measured | — |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	loud, _ := parse(strings.NewReader(strings.ReplaceAll(sample, "2.5 others%", "25 others%")))
	if want := "| 2.00 times | yes, but disturbed | 25.0 |"; !strings.Contains(loud.Goals(), want) {
		t.Errorf("%q is missing in\n%s", want, loud.Goals())
	}
	slow, _ := parse(strings.NewReader(strings.ReplaceAll(sample, "600000 probes/s", "599000 probes/s")))
	if want := "| 2.00 times | **no** | 2.5 |"; !strings.Contains(slow.Goals(), want) {
		t.Errorf("%q is missing in\n%s", want, slow.Goals())
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "benchmarks"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "benchmarks", "results.txt"), []byte(sample), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "benchmarks.md"))
	if err != nil || !strings.Contains(string(page), "| zmap | 300000 | — | 98.5000 | 5.00 | 4.95 |") {
		t.Errorf("%v\n%s", err, page)
	}
	for _, name := range []string{"targets", "rate", "checks"} {
		wellFormed(t, filepath.Join(dir, "benchmarks", name+".svg"))
	}
}

func wellFormed(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for d := xml.NewDecoder(f); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
}

func TestCeiling(t *testing.T) {
	for value, want := range map[float64]float64{0: 1, 0.7: 0.8, 1: 1, 3.1: 4, 99: 100, 588: 600} {
		if got := (panel{lines: [][]point{{{0, value}}}}).ceiling(); got < want*0.999 || got > want*1.001 {
			t.Errorf("ceiling of %v is %v, want %v", value, got, want)
		}
	}
}
