//go:build linux && !android

package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/lair-framework/go-nmap"
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
				if lines := strings.Split(o.stdout, "\n"); len(lines) != 1024+3+1 || strings.Count(o.stdout, " filtered     timeout") != int(s.run.Filtered) {
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

// TestLabScanShown: which records are written, and with which fields; the counts are of all.
func TestLabScanShown(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{Mixed: true})
		base := []string{"10.128.0.0/26", "-p", "80-83", "-t", "200ms", "--seed", "3", "--rate", "max"}
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

		o = scanIn(t, t.TempDir(), "--all-addresses", "two.example:80", "gone.example:80", "-o", "jsonl:-")
		o.want(t, 2)
		contains(t, o.stderr, `"gone.example": does not resolve: `)
		s := readScan(t, o.stdout)
		for _, a := range []netip.Addr{peer.V4, peer.V6} {
			if r := s.records[netip.AddrPortFrom(a, 80)]; r.Target != "two.example:80" || r.State != "open" {
				t.Errorf("%v: %+v", a, r)
			}
		}
		if s.run.Targets != 2 || !s.run.Complete {
			t.Errorf("%+v", s.run)
		}

		o = scanIn(t, t.TempDir(), "two.example:80", "-6", "10.77.1.2:80")
		o.want(t, 0)
		contains(t, o.stdout, "two.example:80 ([fd77:0:0:1::2]:80)  open")
		contains(t, o.stderr, "1 target excluded\n", "1 of 1 targets: 1 open")
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

// TestLabScanScope: the peer sees no packet to an address outside the scope, not even a reset, and such targets are counted.
func TestLabScanScope(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Respond(t, lab.Responder{})
		wire := peer.Capture(t)
		scope := file(t, "scope", "10.128.0.0/26 # ours\nfd80::/122\n")
		o := scanIn(t, t.TempDir(), "10.128.0.0/25", "fd80::/121", "-p", "80", "--scope", scope, "--show", "all", "-o", "jsonl:-", "--rate", "max")
		o.want(t, 0)
		s := readScan(t, o.stdout)
		if r := s.run; r.Targets != 256 || r.Open != 128 || r.Unsent != 128 || !r.Complete || r.RSTSent != 128 {
			t.Errorf("%+v", r)
		}
		contains(t, o.stderr, "128 targets outside the scope, the first is 10.128.0.64:80: nothing is sent to them")
		inside := []netip.Prefix{netip.MustParsePrefix("10.128.0.0/26"), netip.MustParsePrefix("fd80::/122")}
		packets := wire.Wait(t, time.Second, func(all []lab.Packet) bool { return len(all) >= 3*128 })
		for _, p := range packets {
			a := p.Dst.Addr()
			if !p.Out && !inside[0].Contains(a) && !inside[1].Contains(a) {
				t.Errorf("outside the scope: %v", p)
			}
		}
		if len(packets) != 3*128 {
			t.Errorf("%d packets", len(packets))
		}
		for at, r := range s.records {
			outside := !inside[0].Contains(at.Addr()) && !inside[1].Contains(at.Addr())
			if outside != (r.State == "unsent") || outside != (r.Reason == "out-of-scope") {
				t.Errorf("%v: %+v", at, r)
			}
		}
	})
}

// TestLabScanPcap: the file holds the packets of the wire, also when a scan went on.
func TestLabScanPcap(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Respond(t, lab.Responder{Mixed: true})
		wire := peer.Capture(t)
		dir := t.TempDir()
		scanIn(t, dir, "10.128.0.0/26", "fd80::/122", "-p", "80", "-t", "300ms", "--pcap", "x.pcapng", "-o", "x.csv").want(t, 0)
		expectPcap(t, filepath.Join(dir, "x.pcapng"), wire.Packets(t))
	})
}

// TestLabScanRate: SYNs leave at the rate that was asked for, by the times of the capture and by the record. Where other programs leave
// this one no processor in any of some runs, only the upper bound can be held.
func TestLabScanRate(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{Fate: lab.Closed})
		const rate = 1000
		var wire, record, busy float64
		for range 4 {
			start, before := time.Now(), busyTime(t)
			wire, record = measureRate(t, n)
			busy = float64(busyTime(t)-before) / float64(time.Since(start)) / float64(runtime.NumCPU())
			if wire > 0.99*rate && wire < 1.01*rate && record > 0.985*rate && record < 1.01*rate { // its time is exact to 10 ms
				return
			}
		}
		if busy < 0.8 || wire > 1.01*rate || record > 1.01*rate {
			t.Errorf("%.1f packets/s on the wire, %.1f by the record, %.0f %% of the machine busy", wire, record, 100*busy)
		}
	})
}

func busyTime(t *testing.T) time.Duration {
	t.Helper()
	d, err := lab.BusyTime()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func measureRate(t *testing.T, n *lab.Net) (wire, record float64) {
	t.Helper()
	capture := n.Host("peer").Capture(t)
	defer capture.Close()
	o := scanIn(t, t.TempDir(), "10.128.0.0/22", "10.129.0.0/24", "-p", "80", "--rate", "1k", "-o", "jsonl:-")
	o.want(t, 0)
	var syns []lab.Packet
	for _, p := range capture.Packets(t) {
		if !p.Out {
			syns = append(syns, p)
		}
	}
	if len(syns) != 1280 {
		t.Fatalf("%d SYNs", len(syns))
	}
	took := syns[len(syns)-1].Time.Sub(syns[0].Time).Seconds()
	return float64(len(syns)-1) / took, readScan(t, o.stdout).run.Rate
}

// TestLabScanGatewayDown: a next hop that is dead says nothing about the targets behind it.
func TestLabScanGatewayDown(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Listen(t, 80)
		n.Prober().AddRoute(t, lab.Route{To: netip.MustParsePrefix("198.51.100.0/24"), Via: netip.MustParseAddr("10.77.1.99")})
		o := scanIn(t, t.TempDir(), "198.51.100.0/29", "10.77.1.98", "203.0.113.1", "10.77.1.2", "-p", "80", "--show", "all", "-o", "jsonl:-", "-t", "4s")
		o.want(t, 0)
		s := readScan(t, o.stdout)
		for at, r := range s.records {
			want := "unsent gateway-down"
			switch at.Addr().String() {
			case "10.77.1.2":
				want = "open syn-ack"
			case "10.77.1.98":
				want = "unreachable no-neighbour"
			case "203.0.113.1":
				want = "unreachable no-route"
			}
			if got := r.State + " " + r.Reason; got != want {
				t.Errorf("%v is %s, want %s", at, got, want)
			}
		}
		if r := s.run; r.Targets != 11 || r.Unsent != 8 || r.Unreachable != 2 || r.Open != 1 || !r.Complete {
			t.Errorf("%+v", r)
		}
	})
}

// TestLabScanShards: the shards of a seed together ask every target, and none twice.
func TestLabScanShards(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		all := map[netip.AddrPort]scanLine{}
		for _, shard := range []string{"1/3", "2/3", "3/3"} {
			o := scanIn(t, t.TempDir(), "10.128.0.0/24", "fd80::/126", "-p", "80,443", "--seed", "9", "--shard", shard, "--rate", "max", "-o", "jsonl:-")
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

// TestLabScanPolite: SYNs to one host keep their distance.
func TestLabScanPolite(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Respond(t, lab.Responder{Fate: lab.Closed})
		wire := peer.Capture(t)
		scanIn(t, t.TempDir(), "10.128.0.1", "10.128.7.1", "-p", "1-30", "--per-host-rate", "20").want(t, 0)
		last := map[netip.Addr]time.Time{}
		for _, p := range wire.Packets(t) {
			if p.Out {
				continue
			}
			a := p.Dst.Addr()
			if d := p.Time.Sub(last[a]); d < 40*time.Millisecond {
				t.Errorf("%v has two SYNs within %v", a, d)
			}
			last[a] = p.Time
		}
		if len(last) != 2 {
			t.Errorf("%v", last)
		}
	})
}

// TestLabScanMemory: a million silent targets in flight, and checkpoints of them, stay under 100 MB.
func TestLabScanMemory(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{Fate: lab.Silent})
		scan := begin(t, t.TempDir(), "10.128.0.0/9", "-p", "80", "--rate", "max", "-t", "1h", "--attempts", "1", "-o", "x.jsonl", "--checkpoint-every", "1s")
		time.Sleep(4 * time.Second)
		if code := scan.stop(t, syscall.SIGINT); code != 130 {
			t.Fatalf("exit code %d\n%s", code, scan.stderr)
		}
		most := scan.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
		t.Logf("%d kB\n%s", most, scan.stderr)
		if most > 100_000 && !underRace() { // which takes memory of its own
			t.Errorf("%d kB resident", most)
		}
	})
}

func underRace() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}

// expectPcap holds a pcapng file of one or more sections to a capture, in whatever order: lanes write side by side.
func expectPcap(t *testing.T, path string, wire []lab.Packet) {
	t.Helper()
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
