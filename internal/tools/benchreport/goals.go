package main

import (
	"fmt"
	"strings"
)

// goal is a figure that the project set itself.
type goal struct {
	title       string
	name, over  string // benchmarks; if over is not empty, the figure is the ratio of their medians
	unit        string
	atLeast     float64
	atMost      float64 // where atLeast is 0
	form, wants string
}

// goals are those that were written down before anything was measured here.
func goals() []goal {
	const times, share = "%.2f times", "%.3f times"
	var all []goal
	for _, f := range []string{"v4", "v6"} {
		raw, eth, dial := checks("rawshake", f, "1024"), checks("rawshake-eth", f, "1024"), checks("net.Dial", f, "1024")
		all = append(all,
			goal{"checks/s beside net.Dial, 1024 callers, IP" + f, raw, dial, "checks/s", 6, 0, times, "at least 6 times"},
			goal{"CPU of a check beside net.Dial, 1024 callers, IP" + f, raw, dial, "net-cpu-ns/check", 0, 1. / 6, share, "at most a sixth (0.167)"},
			goal{"the same checks/s with LayerEthernet, IP" + f, eth, dial, "checks/s", 6, 0, times, "at least 6 times"},
			goal{"the same CPU with LayerEthernet, IP" + f, eth, dial, "net-cpu-ns/check", 0, 1. / 6, share, "at most a sixth (0.167)"},
			goal{"time of a check beside net.Dial, 1 caller, IP" + f, checks("rawshake", f, "1"), checks("net.Dial", f, "1"), "ns/op", 0, 0.5, share,
				"at most half"})
	}
	all = append(all,
		goal{"probes/s beside zmap", "Scan/v4/rawshake", "Scan/v4/zmap", "probes/s", 2, 0, times, "at least 2 times"},
		goal{"CPU of a probe beside zmap", "Scan/v4/rawshake", "Scan/v4/zmap", "net-cpu-ns/probe", 0, 0.5, share, "at most half"})
	for _, f := range []string{"v4", "v6"} {
		all = append(all,
			goal{"answers recorded, full speed, IP" + f, "Scan/" + f + "/rawshake", "", "recall%", 100, 0, "%.4f %%", "100 %"},
			goal{"RSTs an open target, full speed, IP" + f, "Scan/" + f + "/rawshake", "", "rst/open", 1, 0, "%.3f", "1"},
			goal{"recall, mixed, IP" + f, "ScanMixed/" + f, "", "recall%", 100, 0, "%.4f %%", "100 %"},
			goal{"wrong verdicts, mixed, IP" + f, "ScanMixed/" + f, "", "wrong", 0, 0, "%.0f", "0"},
			goal{"recall, 5 % loss each way, 3 attempts, IP" + f, "ScanLoss/" + f, "", "recall%", 99.85, 0, "%.4f %%", "at least 99.85 %"})
	}
	for _, f := range []string{"v4", "v6"} {
		all = append(all, goal{"RSS, 2^24 silent targets, IP" + f, "ScanSilent/" + f, "", "rss-MB", 0, 100, "%.0f MB", "at most 100 MB"})
	}
	return all
}

// figure is what was measured; false if something is missing.
func (r *results) figure(g goal) (float64, bool) {
	v, ok := r.get(g.name, g.unit)
	if g.over == "" || !ok {
		return v, ok
	}
	base, ok := r.get(g.over, g.unit)
	return v / base, ok && base != 0
}

// noisy is the noise in per cent above which a figure says little.
const noisy = 5

// noiseOf is the noise in a figure: the greater one of the two in a ratio.
func (r *results) noiseOf(g goal) float64 {
	a, _ := r.get(g.name, noise)
	b, _ := r.get(g.over, noise)
	return max(a, b)
}

func (g goal) reached(v float64) bool {
	if g.atLeast > 0 {
		return v >= g.atLeast
	}
	return v <= g.atMost
}

// Goals is the table of goals and what became of them.
func (r *results) Goals() string {
	var b strings.Builder
	b.WriteString("| figure | goal | measured | reached | others, % |\n|---|---|--:|---|--:|\n")
	for _, g := range goals() {
		v, ok := r.figure(g)
		measured, reached, disturbed := none, "not measured", none
		if ok {
			measured, reached, disturbed = fmt.Sprintf(g.form, v), "**no**", fmt.Sprintf("%.1f", r.noiseOf(g))
			if g.reached(v) {
				reached = "yes"
			}
			if r.noiseOf(g) > noisy {
				reached += ", but disturbed"
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", g.title, g.wants, measured, reached, disturbed)
	}
	return b.String()
}
