//go:build linux && !android

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
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
		{"-p 80 127.0.0.1 --max-inflight 4194305", []string{"--max-inflight", "to 4194304"}}, // what one lane holds
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
		{"-p 80 127.0.0.1 --filter port=x", []string{"rawshake scan: --filter: column 6: port is a number", "^"}},
		{"-p 80 127.0.0.1 -o result", []string{"-o result", "does not tell the format"}},
		{"-p 80 127.0.0.1 -o x.csv --fields addr,frob", []string{"frob"}},
		{"-p 80 127.0.0.1 --fields addr", []string{"no output is CSV"}},
		{"-p 80 127.0.0.1 -o x.csv -o x.csv", []string{"named twice"}},
		{"-p 80 127.0.0.1 -J -o -", []string{"-o jsonl:-: - is named twice"}},
		{"-p 80 127.0.0.1 -o x.csv --checkpoint ./x.csv", []string{"--checkpoint ./x.csv: -o writes to the same file"}},
		{"-p 80 127.0.0.1 --pcap -", []string{"--pcap -: want the name of a file", "/dev/stdout"}},
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

// TestScanSpares: what is read is not written to, and nothing is written to twice, by whatever name; before a file is made or changed.
func TestScanSpares(t *testing.T) {
	dir := t.TempDir()
	const list = "127.0.0.1\n"
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.WriteFile(in("list.txt"), []byte(list), 0o644), os.Symlink("list.txt", in("link.txt")), os.Link(in("list.txt"), in("hard.csv")),
		os.Symlink(".", in("here")),
	); err != nil {
		t.Fatal(err)
	}
	for args, says := range map[string]string{
		"-f list.txt -o list.txt":                                "-o list.txt would overwrite what -f reads: give it a name of its own",
		"-f list.txt -o ./link.txt":                              "-o ./link.txt would overwrite what -f reads",
		"-f link.txt -o x.csv -o hard.csv":                       "-o hard.csv would overwrite what -f reads",
		"127.0.0.2 --exclude-file list.txt -o here/list.txt":     "-o here/list.txt would overwrite what --exclude-file reads",
		"127.0.0.1 --scope list.txt -o hard.csv":                 "-o hard.csv would overwrite what --scope reads",
		"-f list.txt --pcap hard.csv":                            "--pcap hard.csv would overwrite what -f reads",
		"-f list.txt --checkpoint link.txt":                      "--checkpoint link.txt would overwrite what -f reads",
		"- -o list.txt":                                          "-o list.txt would overwrite what standard input reads",
		"127.0.0.1 -o new.csv -o here/new.csv":                   "-o here/new.csv: -o writes to the same file: give it a name of its own",
		"127.0.0.1 -o new.csv --pcap here/new.csv":               "--pcap here/new.csv: -o writes to the same file",
		"127.0.0.1 -o new.csv --pcap here/new.csv.checkpoint":    "--pcap here/new.csv.checkpoint: --checkpoint writes to the same file",
		"127.0.0.1 --pcap rawshake.checkpoint":                   "--pcap rawshake.checkpoint: --checkpoint writes to the same file",
		"127.0.0.1 -o csv:hard.csv --checkpoint here/./list.txt": "--checkpoint here/./list.txt: -o writes to the same file",
	} {
		cmd, _, stderr := command(t, nil, append([]string{"scan", "-p", "80"}, strings.Fields(args)...)...)
		cmd.Dir = dir
		stdin, err := os.Open(in("list.txt"))
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin = stdin
		cmd.Run()
		stdin.Close()
		if code := cmd.ProcessState.ExitCode(); code != 3 {
			t.Errorf("%s: exit code %d", args, code)
		}
		contains(t, stderr.String(), says)
	}
	if content, err := os.ReadFile(in("list.txt")); err != nil || string(content) != list {
		t.Errorf("the list holds %q, %v", content, err)
	}
	if all, _ := filepath.Glob(in("*")); len(all) != 4 {
		t.Errorf("there are %q", all)
	}
	o := tool(t, "scan", "--dry-run", "-p", "80", "127.0.0.1", "-f", os.DevNull, "-o", "csv:"+os.DevNull, "-o", "jsonl:/proc/self/fd/1", "--pcap", os.DevNull)
	o.want(t, 0) // what is no file may be named twice
}

// TestScanManyLines: of a million and more lines each counts, and the one that is broken near the end is named.
func TestScanManyLines(t *testing.T) {
	const lines = 1_200_000
	text := make([]byte, 0, 20*lines)
	for i := range lines {
		if i == lines-10 {
			text = append(text, "10.0.0.300\n"...)
			continue
		}
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		text = append(a.AppendTo(text), '\n')
	}
	o := tool(t, "scan", "-f", file(t, "broken", string(text)), "-p", "80", "--dry-run")
	o.want(t, 3)
	contains(t, o.stderr, fmt.Sprintf(":%d: ", lines-9), "10.0.0.300")
	good := strings.Replace(string(text), "10.0.0.300", "10.0.0.3", 1) // which is there already
	o = tool(t, "scan", "-f", file(t, "good", good), "-p", "80", "--dry-run")
	o.want(t, 0)
	contains(t, o.stdout, fmt.Sprintf("targets     %d at %[1]d addresses, IPv4\n", lines-1), "1 target named more than once: merged")
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
time        2.0s if everything answers, 11.0s if nothing does
routes      lo from 127.0.0.1, on the link: 130 targets
            outside the scope, nothing is sent: 126 targets
output      none/x.zst (csv, zstd)
checkpoint  none/y
`) {
		contains(t, o.stdout, line)
	}
}

// TestScanDryRunRoutes: every way that targets take is there, also those of few among many.
func TestScanDryRunRoutes(t *testing.T) {
	o := tool(t, "scan", "127.0.0.0/8", "[::1]:443", "-p", "80", "--dry-run")
	o.want(t, 0)
	contains(t, o.stdout, "\nroutes      lo from 127.0.0.1, on the link: more than 99.9 % of the targets\n            lo from ::1, on the link: less than 0.1 % of the targets\n"+
		"            (by a sample of 16384 targets, and the first of each range)\n")
}

// TestScanHelp: no line of help is wider than a terminal.
func TestScanHelp(t *testing.T) {
	for _, args := range []string{"scan", "targets", "targets expand", "targets count", "targets lint"} {
		o := tool(t, append(strings.Fields(args), "--help")...)
		o.want(t, 0)
		for line := range strings.Lines(o.stdout) {
			if n := len(strings.TrimSuffix(line, "\n")); n > helpWidth {
				t.Errorf("%s: %d columns: %s", args, n, line)
			}
		}
	}
}

// TestScanOutside: where nothing may be sent, there is no scan.
func TestScanOutside(t *testing.T) {
	scope := file(t, "scope", "127.1.0.0/16\n")
	for _, flag := range []string{"--dry-run", "--yes"} {
		dir := t.TempDir()
		o := tool(t, "scan", "127.0.0.0/24", "-p", "80", "--scope", scope, "-o", filepath.Join(dir, "x.csv"), flag)
		o.want(t, 3)
		contains(t, o.stderr, "there is nothing to scan: 256 targets outside the scope, the first is 127.0.0.0:80: nothing is sent to them\n")
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("%v, %v", entries, err)
		}
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
