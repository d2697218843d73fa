//go:build linux && !android

package main

import (
	"os"
	"strings"
	"testing"
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
