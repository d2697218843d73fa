//go:build linux && !android

package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rawshake/rawshake/internal/lab"
)

// wide is a peer with many addresses.
var wide = lab.Topology{Prefixes: map[string][]netip.Prefix{"peer": {netip.MustParsePrefix("10.128.0.0/9"), netip.MustParsePrefix("fd80::/16")}}}

// scanIn runs the command in a directory, without progress.
func scanIn(t *testing.T, dir string, args ...string) outcome {
	t.Helper()
	cmd, stdout, stderr := command(t, nil, append([]string{"scan", "--progress", "off"}, args...)...)
	cmd.Dir = dir
	cmd.Run()
	o := outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	if strings.Contains(o.stderr, "panic:") || strings.Contains(o.stderr, "DATA RACE") {
		t.Errorf("rawshake scan %q:\n%s", args, o.stderr)
	}
	return o
}

// TestLabScan asks a few thousand targets, a third of them open, a third closed, a third silent, in both families, and holds every
// output to what the responder did.
func TestLabScan(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		for _, prefix := range []string{"10.128.0.0/23", "fd80::/119"} {
			t.Run(prefix, func(t *testing.T) {
				peer := n.Host("peer").Respond(t, lab.Responder{Mixed: true})
				dir := t.TempDir()
				o := scanIn(t, dir, prefix, "-p", "80,443", "--rate", "50k", "-t", "400ms", "--show", "all", "--seed", "77",
					"-o", "all.jsonl", "-o", "all.csv", "-o", "all.xml", "-o", "all.gnmap", "-o", "all.jsonl.zst", "-o", "-")
				o.want(t, 0)
				s := readScan(t, readFile(t, dir, "all.jsonl"))
				expectMixed(t, s, prefix, 80, 443)
				c := peer.Counters(t)
				if s.run.ProbesSent != c.SYN || c.SYN != 1024+s.run.Filtered || s.run.RSTSent != s.run.Open || c.RST != s.run.Open {
					t.Errorf("the responder got %+v, the run says %+v", c, s.run)
				}
				if s.run.Seed != 77 || s.run.Shard != "1/1" || s.run.SendSeconds <= 0 {
					t.Errorf("%+v", s.run)
				}
				if inflated := readZstd(t, dir, "all.jsonl.zst"); inflated != readFile(t, dir, "all.jsonl") {
					t.Error("the compressed output is another")
				}
				expectCSV(t, readFile(t, dir, "all.csv"), s)
				expectXML(t, readFile(t, dir, "all.xml"), s)
				if got := strings.Count(readFile(t, dir, "all.gnmap"), "/open/tcp/"); got != int(s.run.Open) {
					t.Errorf("grepable: %d open", got)
				}
				if lines := strings.Split(o.stdout, "\n"); len(lines) != 1024+2+1 || strings.Count(o.stdout, " filtered     timeout") != int(s.run.Filtered) {
					t.Errorf("text: %d lines", len(lines))
				}
				contains(t, o.stderr, fmt.Sprintf("1024 of 1024 targets: %d open, %d closed, 0 unreachable, %d filtered, 0 unsent\n", s.run.Open, s.run.Closed, s.run.Filtered),
					"seed 77, shard 1/1")
				if left, _ := filepath.Glob(filepath.Join(dir, "*.checkpoint*")); left != nil {
					t.Errorf("%q is left", left)
				}
			})
		}
	})
}

// TestLabScanShown: which records are written, and with which fields; the counts are of all.
func TestLabScanShown(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{Mixed: true})
		base := []string{"10.128.0.0/27", "fd80::/123", "-p", "80-83", "-t", "200ms", "--seed", "3", "--rate", "max"}
		count := map[string]int{"closed": 0}
		for _, test := range []struct {
			args string
			want string
		}{
			{"", "open"},
			{"--show closed,filtered", "closed filtered"},
			{"--filter !(state=open)", "closed filtered"},
			{"--filter state=closed||state=filtered --show open,filtered", "filtered"},
			{"--filter port=80&&rtt_us>0", "80open 80closed"},
			{"--filter state=unsent", ""},
		} {
			o := scanIn(t, t.TempDir(), slices.Concat(base, strings.Fields(test.args), []string{"-o", "jsonl:-"})...)
			o.want(t, 0)
			s := readScan(t, o.stdout)
			if r := s.run; r.Targets != 256 || r.Open+r.Closed+r.Filtered != 256 {
				t.Errorf("%s: %+v", test.args, r)
			}
			want := uint64(0)
			for _, word := range strings.Fields(test.want) {
				want += map[string]uint64{"open": s.run.Open, "closed": s.run.Closed, "filtered": s.run.Filtered}[word]
			}
			for at, r := range s.records {
				count[r.State]++
				if !strings.Contains(test.want, r.State) || strings.Contains(test.want, "80") && at.Port() != 80 {
					t.Errorf("%s: %+v", test.args, r)
				}
			}
			if !strings.Contains(test.want, "80") && uint64(len(s.records)) != want {
				t.Errorf("%s: %d records, want %d", test.args, len(s.records), want)
			}
		}
		if len(count) != 3 || count["closed"] == 0 {
			t.Errorf("%v", count)
		}
	})
}

// TestLabScanTargets: labels, names, files and fields get where they belong.
func TestLabScanTargets(t *testing.T) {
	top := lab.Topology{Files: map[string]string{
		"/etc/hosts":       "10.77.1.2 two.example\nfd77:0:0:1::2 two.example\n",
		"/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", // where nobody listens
	}}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		list := file(t, "list", "10.77.1.2:80 front, \"door\"\n[fd77:0:0:1::2]:80,six\n10.77.1.2:81\n")
		o := scanIn(t, t.TempDir(), "-f", list, "--show", "all", "-o", "csv:-", "--fields", "addr,port,state,label")
		o.want(t, 0)
		rows := strings.Split(strings.TrimSpace(o.stdout), "\n")
		slices.Sort(rows[1:])
		golden(t, "stdout", strings.Join(rows, "\n"), "addr,port,state,label\n10.77.1.2,80,open,\"front, \"\"door\"\"\"\n10.77.1.2,81,closed,\nfd77:0:0:1::2,80,open,six")

		o = scanIn(t, t.TempDir(), "--all-addresses", "two.example:80", "gone.example:80-82", "gone.example:81-83", "-o", "jsonl:-", "--show", "open,unsent", "--filter", "!(port = 81)")
		o.want(t, 2)
		contains(t, o.stderr, `"gone.example": does not resolve: `, "6 of 6 targets: 2 open, 0 closed, 0 unreachable, 0 filtered, 4 unsent\n4 unsent: 4 name-unresolved\n")
		s := readUnresolved(t, o.stdout, "gone.example:80", "gone.example:82", "gone.example:83")
		for _, a := range []netip.Addr{peer.V4, peer.V6} {
			if r := s.records[netip.AddrPortFrom(a, 80)]; r.Target != "two.example:80" || r.State != "open" {
				t.Errorf("%v: %+v", a, r)
			}
		}
		if s.run.Targets != 6 || s.run.Unsent != 4 || !s.run.Complete {
			t.Errorf("%+v", s.run)
		}

		o = scanIn(t, t.TempDir(), "two.example:80", "-6", "10.77.1.2:80")
		o.want(t, 0)
		contains(t, o.stdout, "two.example:80 ([fd77:0:0:1::2]:80)  open")
		contains(t, o.stderr, "1 target excluded\n", "1 of 1 target: 1 open")
	})
}

// TestLabScanExitCodes: what was found is a code only when it was asked for.
func TestLabScanExitCodes(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		at := peer.V4.String()
		for args, want := range map[string]int{
			at + ":80-81":                              0,
			at + ":80-81 --fail-on closed":             1,
			at + ":80 --fail-on closed,filtered":       0,
			at + ":80 --fail-on open":                  1,
			at + ":80 --fail-on all":                   1,
			at + ":81 no-such-name.onion:80":           2, // RFC 7686: resolvers do not look these up
			"no-such-name.onion:80":                    2,
			at + ":80 -S 10.77.1.77":                   3,
			at + ":80 -o none/x.csv":                   4,
			at + ":80 --checkpoint none/x":             4,
			at + ":80 --pcap none/x.pcapng":            4,
			at + ":80 --checkpoint off":                0,
			at + ":80 -o x.csv --checkpoint /dev/full": 4,
		} {
			o := scanIn(t, t.TempDir(), strings.Fields(args)...)
			if o.code != want {
				t.Errorf("%s: exit code %d, want %d\n%s", args, o.code, want, o.stderr)
			}
		}
		o := as(t, n, lab.Nobody, "scan", "--checkpoint", "off", at+":80")
		o.want(t, 4)
		contains(t, o.stderr, "rawshake scan: no permission to open raw sockets: ", "setcap cap_net_raw")
	})
}

// TestLabScanShards: the shards of a seed together ask every target, and none twice.
func TestLabScanShards(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		all := map[netip.AddrPort]scanLine{}
		for _, shard := range []string{"1/3", "2/3", "3/3"} {
			o := scanIn(t, t.TempDir(), "10.128.0.0/24", "fd80::/126", "-p", "80,443", "--seed", "9", "--shard", shard, "--rate", "max", "-J")
			o.want(t, 0)
			s := readScan(t, o.stdout)
			if s.run.Shard != shard || s.run.Targets < 173 || s.run.Targets > 174 || s.run.Open != s.run.Targets {
				t.Errorf("%+v", s.run)
			}
			for at, r := range s.records {
				if _, twice := all[at]; twice {
					t.Errorf("%v is in two shards", at)
				}
				all[at] = r
			}
		}
		if len(all) != 520 {
			t.Errorf("%d targets", len(all))
		}
	})
}

// TestLabScanProgress: SIGUSR1 prints the progress at once.
func TestLabScanProgress(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		dir := t.TempDir()
		cmd, _, stderr := command(t, nil, "scan", "10.128.0.0/24", "-p", "80", "--rate", "400", "-o", "x.jsonl", "--seed", "8")
		cmd.Dir = dir
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		grown(t, dir, "x.jsonl", 1000)
		if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		contains(t, stderr.String(), "scanning 256 targets at 400 packets/s: ", "; seed 8\n", "progress: ", " of 256 targets done, ", "; ring drops 0, ",
			"256 of 256 targets: 256 open, ")
	})
}
