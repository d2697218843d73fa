package main

import (
	"fmt"
	"strings"
)

// column is a unit of a benchmark, shown times a scale.
type column struct {
	title, unit, format string
	scale               float64 // if zero, 1
}

const none = "—" // was not measured

func (r *results) cell(name string, c column) string {
	v, ok := r.get(name, c.unit)
	if !ok {
		return none
	}
	if c.scale != 0 {
		v *= c.scale
	}
	return fmt.Sprintf(c.format, v)
}

// row is a benchmark under the words of its first cell.
type row struct{ title, name string }

func (r *results) table(first string, rows []row, columns []column) string {
	var b strings.Builder
	titles, line := first, "|---|"
	for _, c := range columns {
		titles += " | " + c.title
		line += "--:|"
	}
	fmt.Fprintf(&b, "| %s |\n%s\n", titles, line)
	for _, row := range rows {
		b.WriteString("| " + row.title)
		for _, c := range columns {
			b.WriteString(" | " + r.cell(row.name, c))
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

var others = column{"others, %", noise, "%.1f", 0}

// Checks is the table of single checks.
func (r *results) Checks() string {
	var rows []row
	for _, family := range []string{"v4", "v6"} {
		for _, callers := range []string{"1", "64", "1024"} {
			for _, who := range []string{"rawshake", "rawshake-eth", "net.Dial"} {
				rows = append(rows, row{fmt.Sprintf("%s, IP%s, %s", who, family, callers), checks(who, family, callers)})
			}
		}
	}
	return r.table("who, family, callers", rows, []column{
		{"checks/s", "checks/s", "%.0f", 0}, {"µs between checks", "ns/op", "%.2f", 1e-3},
		{"CPU µs, machine", "cpu-ns/check", "%.2f", 1e-3}, {"less others", "net-cpu-ns/check", "%.2f", 1e-3}, {"own", "own-cpu-ns/check", "%.2f", 1e-3},
		{"allocations", "allocs/op", "%.0f", 0}, others,
	})
}

func checks(who, family, callers string) string {
	return "Checks/" + who + "/" + family + "/callers=" + callers
}

var scanColumns = []column{
	{"probes/s", "probes/s", "%.0f", 0}, {"probes/s while sending", "sending-probes/s", "%.0f", 0}, {"recall, %", "recall%", "%.4f", 0},
	{"CPU µs a probe, machine", "cpu-ns/probe", "%.2f", 1e-3}, {"less others", "net-cpu-ns/probe", "%.2f", 1e-3}, {"own", "own-cpu-ns/probe", "%.2f", 1e-3},
	{"RSTs an open target", "rst/open", "%.3f", 0}, {"RSS, MB", "rss-MB", "%.0f", 0}, others,
}

// Scan is the table of scanners side by side.
func (r *results) Scan() string {
	return r.table("scanner", []row{
		{"rawshake scan", "Scan/v4/rawshake"}, {"zmap", "Scan/v4/zmap"}, {"masscan", "Scan/v4/masscan"},
		{"rawshake scan, JSON lines", "Scan/v4/rawshake-json"},
		{"rawshake scan, IPv6", "Scan/v6/rawshake"}, {"rawshake scan, IPv6, JSON lines", "Scan/v6/rawshake-json"},
	}, scanColumns)
}

// Sweep is the table of one cost curve.
func (r *results) Sweep(benchmark string) string {
	var rows []row
	for _, s := range sweeps[benchmark].steps {
		for _, who := range scanners {
			rows = append(rows, row{who + ", " + s.title, benchmark + "/" + who + "/" + s.name})
		}
	}
	return r.table("scanner", rows, scanColumns)
}

// Hard is the table of the cases with answers that differ or are lost.
func (r *results) Hard() string {
	return r.table("case", []row{
		{"mixed, IPv4", "ScanMixed/v4"}, {"mixed, IPv6", "ScanMixed/v6"}, {"5 % loss each way, IPv4", "ScanLoss/v4"},
		{"5 % loss each way, IPv6", "ScanLoss/v6"},
	}, []column{
		{"recall, %", "recall%", "%.4f", 0}, {"wrong verdicts", "wrong", "%.0f", 0}, {"SYNs", "probes", "%.0f", 0},
		{"RSTs an open target", "rst/open", "%.3f", 0}, {"RSS, MB", "rss-MB", "%.0f", 0}, {"s", "seconds", "%.1f", 0}, others,
	})
}

// Silent is the table of silent targets.
func (r *results) Silent() string {
	return r.table("case", []row{{"2^24 silent targets, IPv4", "ScanSilent/v4"}, {"2^24 silent targets, IPv6", "ScanSilent/v6"}}, []column{
		{"SYNs", "probes", "%.0f", 0}, {"SYNs/s", "probes/s", "%.0f", 0}, {"CPU µs a SYN, machine", "cpu-ns/probe", "%.2f", 1e-3}, {"less others", "net-cpu-ns/probe", "%.2f", 1e-3},
		{"RSS, MB", "rss-MB", "%.0f", 0}, {"wrong verdicts", "wrong", "%.0f", 0}, {"s", "seconds", "%.1f", 0}, others,
	})
}
