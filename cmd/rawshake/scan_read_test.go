//go:build linux && !android

package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket/pcapgo"
	"github.com/klauspost/compress/zstd"
	"github.com/lair-framework/go-nmap"
	"github.com/rawshake/rawshake/internal/lab"
)

// runRecord is the record that ends an output.
type runRecord struct {
	Targets, Open, Closed, Unreachable, Filtered, Unsent uint64
	ProbesSent                                           uint64  `json:"probes_sent"`
	SendSeconds                                          float64 `json:"send_seconds"`
	Rate                                                 float64 `json:"rate_pps"`
	Duplicates, Ignored                                  uint64
	RSTSent                                              uint64 `json:"rst_sent"`
	RingDrops                                            uint64 `json:"ring_drops"`
	Seed                                                 uint64
	Shard                                                string
	Complete                                             bool
	Reasons                                              map[string]map[string]uint64
}

// expectReasons fails unless the reasons of a run add up to its unreachable and unsent targets, and name those of all records at hand.
func (s scanned) expectReasons(t *testing.T) {
	t.Helper()
	sums := map[string]uint64{}
	for state, reasons := range s.run.Reasons {
		for _, n := range reasons {
			sums[state] += n
		}
	}
	if sums["unreachable"] != s.run.Unreachable || sums["unsent"] != s.run.Unsent {
		t.Errorf("the reasons do not add up: %+v", s.run)
	}
	for _, r := range s.records {
		if (r.State == "unreachable" || r.State == "unsent") && s.run.Reasons[r.State][r.Reason] == 0 {
			t.Errorf("no reason counts %+v: %v", r, s.run.Reasons)
		}
	}
}

// runKeys are the keys of the record of a run, those of its envelope aside.
var runKeys = strings.Fields("targets probes_sent send_seconds rate_pps open closed unreachable filtered unsent duplicates ignored ring_drops " +
	"send_errors rst_sent seed shard complete")

// scanLine is what tests look at in a line of any type.
type scanLine struct {
	Type, Target, State, Reason, Label, Src string
	Addr                                    netip.Addr
	Port                                    uint16
	Attempt                                 int
}

// scanned is what a JSON output holds: the records by target, each once, and the record of the run.
type scanned struct {
	records map[netip.AddrPort]scanLine
	run     runRecord
}

// readScan reads a JSON output and fails when a target is there twice, or the record of the run is not the last line.
func readScan(t *testing.T, text string) scanned {
	t.Helper()
	s := scanned{records: map[netip.AddrPort]scanLine{}}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, text := range lines {
		var l scanLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("line %d: %q: %v", i+1, text, err)
		}
		if last := i == len(lines)-1; last != (l.Type == "run") {
			t.Fatalf("line %d of %d is of type %q", i+1, len(lines), l.Type)
		} else if last {
			break
		}
		at := netip.AddrPortFrom(l.Addr, l.Port)
		if _, twice := s.records[at]; twice {
			t.Errorf("%v is there twice", at)
		}
		s.records[at] = l
	}
	last := lines[len(lines)-1]
	var keys map[string]any
	if err := json.Unmarshal([]byte(last), &keys); err != nil {
		t.Fatal(err)
	}
	for _, key := range runKeys {
		if _, ok := keys[key]; !ok {
			t.Errorf("the run has no %s: %s", key, last)
		}
	}
	delete(keys, "reasons")          // where there are any
	if len(keys) != len(runKeys)+3 { // v, type, ts
		t.Errorf("the run has other keys, too: %s", last)
	}
	if err := json.Unmarshal([]byte(last), &s.run); err != nil {
		t.Fatal(err)
	}
	s.expectReasons(t)
	return s
}

// readUnresolved is readScan of an output with the records of targets whose names have no address, which it takes out. They must be
// these, each once.
func readUnresolved(t *testing.T, text string, want ...string) scanned {
	t.Helper()
	var kept strings.Builder
	var got []string
	for line := range strings.Lines(text) {
		var l struct{ Addr, Target, State, Error string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if l.Addr != "" || l.Target == "" {
			kept.WriteString(line)
			continue
		}
		if got = append(got, l.Target); l.State != "unsent" || l.Error == "" {
			t.Errorf("%s", line)
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("without an address: %q, want %q", got, want)
	}
	return readScan(t, kept.String())
}

// readFile returns what a file of a directory holds.
func readFile(t *testing.T, dir, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// pcapPackets reads a pcapng file.
func pcapPackets(t *testing.T, r io.Reader) (packets [][]byte) {
	t.Helper()
	ng, err := pcapgo.NewNgReader(r, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, _, err := ng.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return packets
		}
		if err != nil {
			t.Fatalf("after %d packets: %v", len(packets), err)
		}
		packets = append(packets, data)
	}
}

func readPcap(t *testing.T, path string) map[string]int {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	packets := map[string]int{}
	for _, data := range pcapPackets(t, bytes.NewReader(content)) {
		packets[string(data)]++
	}
	return packets
}

// expectPcap holds a pcapng file to a capture, in whatever order: lanes write side by side.
func expectPcap(t *testing.T, path string, wire []lab.Packet) {
	t.Helper()
	if sections := strings.Count(readFile(t, filepath.Dir(path), filepath.Base(path)), "\x0a\x0d\x0d\x0a"); sections != 1 { // libpcap reads one
		t.Errorf("%d sections", sections)
	}
	got := readPcap(t, path)
	want := map[string]int{}
	for _, p := range wire {
		want[string(p.Data)]++
	}
	for data, n := range got {
		if want[data] != n {
			t.Errorf("% x is there %d times, was on the wire %d times", data, n, want[data])
		}
	}
	if len(got) != len(want) || len(got) == 0 {
		t.Errorf("%d packets, %d on the wire", len(got), len(want))
	}
}

// answeredOnly leaves out answers that were on the wire and not in the file: they came when nobody listened any more.
func answeredOnly(wire []lab.Packet, file map[string]int) []lab.Packet {
	return slices.DeleteFunc(wire, func(p lab.Packet) bool { return p.Out && file[string(p.Data)] == 0 })
}

func readZstd(t *testing.T, dir, name string) string {
	t.Helper()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	content, err := d.DecodeAll([]byte(readFile(t, dir, name)), nil)
	if err != nil {
		t.Error(err)
	}
	return string(content)
}

// expectCSV holds a CSV output to the JSON lines.
func expectCSV(t *testing.T, text string, s scanned) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	addr, port, state := slices.Index(rows[0], "addr"), slices.Index(rows[0], "port"), slices.Index(rows[0], "state")
	for _, row := range rows[1:] {
		at, err := netip.ParseAddrPort("[" + row[addr] + "]:" + row[port])
		if err != nil {
			at = netip.MustParseAddrPort(row[addr] + ":" + row[port])
		}
		if s.records[at].State != row[state] {
			t.Errorf("CSV: %v is %s", at, row[state])
		}
	}
	if len(rows) != len(s.records)+1 {
		t.Errorf("CSV: %d rows", len(rows))
	}
}

// expectXML has a reader of nmap's XML read the output.
func expectXML(t *testing.T, text string, s scanned) {
	t.Helper()
	doc, err := nmap.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, h := range doc.Hosts {
		for _, p := range h.Ports {
			at := netip.AddrPortFrom(netip.MustParseAddr(h.Addresses[0].Addr), uint16(p.PortId))
			if s.records[at].State != p.State.State {
				t.Errorf("XML: %v is %s", at, p.State.State)
			}
			n++
		}
	}
	if n != len(s.records) || len(doc.Hosts) != n/2 || !strings.HasPrefix(doc.Args, "/") || doc.ScanInfo.Services != "80,443" {
		t.Errorf("XML: %d ports of %d hosts, args %q, services %q", n, len(doc.Hosts), doc.Args, doc.ScanInfo.Services)
	}
}

// fates are the states of a mixed responder.
var fates = map[lab.Fate]string{lab.Open: "open", lab.Closed: "closed", lab.Silent: "filtered"}

// expectMixed fails unless the records are exactly the targets of a prefix and ports, each with its fate, and the counts add up.
func expectMixed(t *testing.T, s scanned, prefix string, ports ...uint16) {
	t.Helper()
	counts := map[string]uint64{}
	n, p := 0, netip.MustParsePrefix(prefix)
	for a := p.Addr(); p.Contains(a); a = a.Next() {
		for _, port := range ports {
			at := netip.AddrPortFrom(a, port)
			want := fates[lab.MixedFate(at)]
			if got := s.records[at].State; got != want {
				t.Errorf("%v is %q, want %q", at, got, want)
			}
			counts[want]++
			n++
		}
	}
	if len(s.records) != n {
		t.Errorf("%d records, want %d", len(s.records), n)
	}
	r := s.run
	if r.Targets != uint64(n) || r.Open != counts["open"] || r.Closed != counts["closed"] || r.Filtered != counts["filtered"] || r.Unreachable+r.Unsent != 0 ||
		!r.Complete {
		t.Errorf("%+v, want %v", r, counts)
	}
}
