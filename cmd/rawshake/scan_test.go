//go:build linux && !android

package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/gopacket/pcapgo"
)

// The tests of this file send nothing; those that do are in the lab.

func TestScanUsageErrors(t *testing.T) {
	broken := file(t, "broken", "10.0.0.1\n10.0.0.300\n")
	junk := file(t, "junk", "{}")
	for _, test := range []struct {
		args string
		says []string
	}{
		{"", []string{"no TARGET is given"}},
		{"127.0.0.1", []string{`"127.0.0.1"`, "names no port", "-p 80,443"}},
		{"127.0.0.1:80 127.0.0.2", []string{`"127.0.0.2"`, "names no port"}},
		{"-p 80 -f " + broken, []string{broken + ":2: ", "10.0.0.300"}},
		{"-p 80 127.0.0.1 --exclude 127.0.0.0/8", []string{"nothing to scan", "1 target excluded"}},
		{"-p 80 127.0.0.1 --rate 10x", []string{"--rate", `"x" is not a unit`, "100Mbit"}},
		{"-p 80 127.0.0.1 --rate 0", []string{"--rate", "rate of zero"}},
		{"-p 80 127.0.0.1 --per-host-rate 10m", []string{"--per-host-rate", "capital M"}},
		{"-p 80 127.0.0.1 --attempts 17", []string{"--attempts", "from 1 to 15"}},
		{"-p 80 127.0.0.1 --max-inflight 0", []string{"--max-inflight", "from 1"}},
		{"-p 80 127.0.0.1 -t 3", []string{"--timeout", "unit"}},
		{"-p 80 127.0.0.1 --ttl 0", []string{"--ttl", "from 1 to 255"}},
		{"-p 80 127.0.0.1 --tos 256", []string{"--tos", "from 0 to 255"}},
		{"-p 80 127.0.0.1 --mark -1", []string{"--mark", "from 0"}},
		{"-p 80 127.0.0.1 --source-ports 9-8", []string{"--source-ports", "40000-40100"}},
		{"-p 80 127.0.0.1 -S here", []string{"--source", "IP address"}},
		{"-p 80 127.0.0.1 -I nonesuch9", []string{"--interface", "ip link"}},
		{"-p 80 127.0.0.1 --syn-options minix", []string{"--syn-options", `"minix"`, "linux, windows"}},
		{"-p 80 127.0.0.1 --show up", []string{"--show", `"up"`, "open"}},
		{"-p 80 127.0.0.1 --fail-on down", []string{"--fail-on: no state", `"down"`}},
		{"-p 80 127.0.0.1 --filter port=x", []string{"--filter", "port is a number", "^"}},
		{"-p 80 127.0.0.1 -o result", []string{"-o result", "does not tell the format"}},
		{"-p 80 127.0.0.1 -o x.csv --fields addr,frob", []string{"frob"}},
		{"-p 80 127.0.0.1 --fields addr", []string{"no output is CSV"}},
		{"-p 80 127.0.0.1 -o x.csv -o x.csv", []string{"named twice"}},
		{"-p 80 127.0.0.1 -o x.csv --checkpoint ./x.csv", []string{"--checkpoint ./x.csv: -o writes to the same file"}},
		{"-p 80 127.0.0.1 -o x.csv --pcap x.csv", []string{"--pcap x.csv: -o writes to the same file"}},
		{"-p 80 127.0.0.1 --progress loud", []string{"--progress", "auto, bar, log, off"}},
		{"-p 80 127.0.0.1 --color blue", []string{`"blue"`}},
		{"-p 80 127.0.0.1 --shard 1/2", []string{"--shard 1/2 goes with --seed"}},
		{"-p 80 127.0.0.1 -4 -6", []string{"-4 and -6"}},
		{"--resume /none/such", []string{"--resume: checkpoint /none/such: no such file"}},
		{"--resume " + junk, []string{"--resume: checkpoint " + junk, "version"}},
	} {
		t.Run(test.args, func(t *testing.T) {
			o := tool(t, append([]string{"scan"}, strings.Fields(test.args)...)...)
			o.want(t, 3)
			contains(t, o.stderr, append(test.says, "--help` shows examples.")...)
			golden(t, "stdout", o.stdout, "")
		})
	}
	for _, name := range []string{"x.csv", "rawshake.checkpoint"} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s was made", name)
		}
	}
}

// TestScanDryRun: what would happen, without a privilege, and without a file or a packet.
func TestScanDryRun(t *testing.T) {
	scope := file(t, "scope", "127.0.0.0/25\n")
	o := tool(t, "scan", "127.0.0.0/24", "127.0.0.7", "-p", "80,443", "--seed", "5", "--rate", "100", "--dry-run",
		"--scope", scope, "--shard", "1/2", "--attempts", "3", "--per-host-rate", "0.5", "-o", "csv:none/x.zst", "--checkpoint", "none/y")
	o.want(t, 0)
	golden(t, "stderr", o.stderr, "")
	for line := range strings.Lines(`targets     512 at 256 addresses, IPv4
            2 targets named more than once: merged
            256 targets outside the scope, the first is 127.0.0.128:80: nothing is sent to them
order       seed 5, shard 1/2: 256 targets
rate        100 packets/s, 0.5 a host
attempts    3 within 3s, at most 1048576 targets in flight
time        1.3s if everything answers, 6.8s if nothing does
routes      lo from 127.0.0.1, on the link: 130 targets
            outside the scope, nothing is sent: 126 targets
output      none/x.zst (csv, zstd)
checkpoint  none/y
`) {
		contains(t, o.stdout, line)
	}
}

// TestScanRates: bits become packets by the size of a SYN.
func TestScanRates(t *testing.T) {
	for args, want := range map[string]string{
		"127.0.0.1:80 --rate 672kbit":                            "1k packets/s",
		"127.0.0.1:80 --rate 784kbit --syn-options linux":        "1k packets/s",
		"[::1]:80 127.0.0.1:80 --rate 816kbit":                   "1k packets/s",
		"127.0.0.1:80 --rate max":                                "full speed",
		"127.0.0.1:80":                                           "10k packets/s",
		"127.0.0.1:80 --per-host-rate max --per-net-rate 2.5k/s": "10k packets/s, 2.5k a network (/24, /64)",
	} {
		o := tool(t, append([]string{"scan", "--dry-run"}, strings.Fields(args)...)...)
		contains(t, o.stdout, "\nrate        "+want+"\n")
	}
}

// runRecord is the record that ends an output.
type runRecord struct {
	Targets, Open, Closed, Unreachable, Filtered, Unsent uint64
	ProbesSent                                           uint64  `json:"probes_sent"`
	SendSeconds                                          float64 `json:"send_seconds"`
	Rate                                                 float64 `json:"rate_pps"`
	Duplicates, Ignored                                  uint64
	RSTSent                                              uint64 `json:"rst_sent"`
	Seed                                                 uint64
	Shard                                                string
	Complete                                             bool
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
	if len(keys) != len(runKeys)+3 { // v, type, ts
		t.Errorf("the run has other keys, too: %s", last)
	}
	if err := json.Unmarshal([]byte(last), &s.run); err != nil {
		t.Fatal(err)
	}
	return s
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
	ng, err := pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: false})
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
