package main

import "fmt"

// scanners are those of which there are cost curves.
var scanners = []string{"rawshake", "zmap", "rawshake-v6"}

// step is a place on the horizontal axis: what stands there, and how benchmarks name it.
type step struct{ title, name string }

type sweep struct {
	title string
	steps []step
}

var sweeps = map[string]sweep{
	"ScanTargets": {"targets", []step{{"2^16", "65536"}, {"2^20", "1048576"}, {"2^24", "16777216"}}},
	"ScanRate":    {"SYNs/s asked for", []step{{"10k", "10000"}, {"100k", "100000"}, {"200k", "200000"}, {"400k", "400000"}, {"max", "0"}}},
}

// charts returns the charts by the names of their files.
func (r *results) charts() map[string]chart {
	return map[string]chart{
		"targets": r.sweepChart("ScanTargets"),
		"rate":    r.sweepChart("ScanRate"),
		"checks":  r.checksChart(),
	}
}

func (r *results) sweepChart(benchmark string) chart {
	s := sweeps[benchmark]
	c := chart{axis: s.title, steps: titles(s.steps), legend: scanners}
	for _, p := range []column{
		{"probes/s, thousands", "sending-probes/s", "", 1e-3},
		{"answers recorded, %", "recall%", "", 1},
		{"CPU µs a probe, the machine's", "net-cpu-ns/probe", "", 1e-3},
		{"CPU µs a probe, the scanner's own", "own-cpu-ns/probe", "", 1e-3},
		{"memory (RSS), MB", "rss-MB", "", 1},
	} {
		c.panels = append(c.panels, r.panel(p, scanners, s.steps, func(who string, s step) string {
			return benchmark + "/" + who + "/" + s.name
		}))
	}
	return c
}

func (r *results) checksChart() chart {
	who := []string{"rawshake", "rawshake-eth", "net.Dial"}
	steps := []step{{"1", "1"}, {"64", "64"}, {"1024", "1024"}}
	c := chart{axis: "callers", steps: titles(steps), legend: who}
	for _, p := range []column{
		{"checks/s, thousands", "checks/s", "", 1e-3},
		{"CPU µs a check, the machine's", "net-cpu-ns/check", "", 1e-3},
		{"CPU µs a check, the prober's own", "own-cpu-ns/check", "", 1e-3},
	} {
		c.panels = append(c.panels, r.panel(p, who, steps, func(who string, s step) string { return checks(who, "v4", s.name) }))
	}
	return c
}

func (r *results) panel(c column, who []string, steps []step, name func(string, step) string) panel {
	p := panel{title: c.title}
	for _, w := range who {
		var line []point
		for i, s := range steps {
			if v, ok := r.get(name(w, s), c.unit); ok {
				line = append(line, point{i, v * c.scale})
			}
		}
		p.lines = append(p.lines, line)
	}
	return p
}

func titles(steps []step) (all []string) {
	for _, s := range steps {
		all = append(all, s.title)
	}
	return all
}

// label is a figure of three digits.
func label(v float64) string {
	switch {
	case v >= 100 || v == float64(int(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
