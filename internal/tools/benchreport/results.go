package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// counted is how many rounds of a benchmark make its median: where there are more, those in which other processes used least. A
// busy machine wants more rounds; which of them count does not depend on what they measured.
const counted = 3

// results are what benchmarks reported.
type results struct {
	About  map[string]string   // "date", "cores", "cpu" …
	Failed []string            // runs without a result
	runs   map[string][]values // of each benchmark, one for each round
}

// values are those of one run by their units.
type values map[string]float64

var (
	aboutLine = regexp.MustCompile(`^([a-z]+): +(.+)$`)
	procs     = regexp.MustCompile(`-\d+$`) // that go test appends to names
)

// parse reads Go's benchmark format: "key: value" lines, and results of a name, iterations, and pairs of value and unit. The name
// stands on a line of its own where the benchmark printed something.
func parse(in io.Reader) (*results, error) {
	r := &results{About: map[string]string{}, runs: map[string][]values{}}
	name := ""
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if m := aboutLine.FindStringSubmatch(line); m != nil {
			r.About[m[1]] = m[2]
		}
		if failed, ok := strings.CutPrefix(line, "--- FAIL: Benchmark"); ok && strings.Contains(failed, "/") { // else it is what holds them
			r.Failed = append(r.Failed, fmt.Sprintf("%s in round %s", failed, r.About["round"]))
		}
		fields := strings.Fields(line)
		if len(fields) > 0 && strings.HasPrefix(fields[0], "Benchmark") {
			name, fields = procs.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), ""), fields[1:]
		}
		if len(fields) < 3 || fields[2] != "ns/op" {
			continue
		}
		if err := r.add(name, fields[1:]); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if len(r.runs) == 0 {
		return nil, errors.Join(lines.Err(), errors.New("no results of benchmarks"))
	}
	return r, lines.Err()
}

func (r *results) add(name string, pairs []string) error {
	run := values{}
	for pair := range slices.Chunk(pairs, 2) {
		v, err := strconv.ParseFloat(pair[0], 64)
		if err != nil || len(pair) != 2 {
			return fmt.Errorf("%s: %q is no value and unit", name, pair)
		}
		run[pair[1]] = v
	}
	run.derive(r.cores())
	r.runs[name] = append(r.runs[name], run)
	return nil
}

const noise = "others%"

// derive adds what follows from what was reported.
func (v values) derive(cores float64) {
	if missing, ok := v["missing"]; ok { // exact, where a printed share would be rounded
		v["recall%"] = 100 * (1 - missing/v["targets"])
	}
	others := v[noise] / 100 * cores * 1e9 // ns a second
	if rate := v["checks/s"]; rate > 0 {
		v["net-cpu-ns/check"] = v["cpu-ns/check"] - others/rate
	}
	if probes := v["probes"]; probes > 0 {
		v["net-cpu-ns/probe"] = v["cpu-ns/probe"] - others*v["seconds"]/probes
	}
}

// cores is 0 if it is not known.
func (r *results) cores() float64 {
	n, _ := strconv.ParseFloat(r.About["cores"], 64)
	return n
}

// quietest returns the runs of a benchmark that count.
func (r *results) quietest(name string) []values {
	runs := slices.Clone(r.runs[name])
	slices.SortStableFunc(runs, func(a, b values) int { return cmp.Compare(a[noise], b[noise]) })
	return runs[:min(counted, len(runs))]
}

// get returns the median of the runs that count; false if it was not measured.
func (r *results) get(name, unit string) (float64, bool) {
	var all []float64
	for _, run := range r.quietest(name) {
		if v, ok := run[unit]; ok {
			all = append(all, v)
		}
	}
	return median(all)
}

func median(all []float64) (float64, bool) {
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	middle := len(all) / 2
	if len(all)%2 == 0 {
		return (all[middle-1] + all[middle]) / 2, true
	}
	return all[middle], true
}

// Rounds says how often benchmarks were run.
func (r *results) Rounds() string {
	least, most := 0, 0
	for _, runs := range r.runs {
		if n := len(runs); least == 0 || n < least {
			least = n
		}
		most = max(most, len(runs))
	}
	if least == most {
		return fmt.Sprint(most)
	}
	return fmt.Sprintf("%d to %d", least, most)
}

// Noise is the median share of the machine that other processes used in the runs that count, in per cent.
func (r *results) Noise() string {
	var all []float64
	for name := range r.runs {
		for _, run := range r.quietest(name) {
			all = append(all, run[noise])
		}
	}
	v, _ := median(all)
	return fmt.Sprintf("%.1f", v)
}
