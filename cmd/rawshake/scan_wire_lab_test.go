//go:build linux && !android

package main

import (
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

	"github.com/rawshake/rawshake/internal/lab"
)

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

// TestLabScanPcapGoesOn: the packets of all parts of a scan are in one file, and a block that a kill has torn is cut off.
func TestLabScanPcapGoesOn(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Respond(t, lab.Responder{})
		wire := peer.Capture(t)
		dir := t.TempDir()
		scan := begin(t, dir, "10.128.0.0/25", "fd80::/121", "-p", "80", "--rate", "1k", "--pcap", "x.pcapng", "-o", "x.csv")
		grown(t, dir, "x.pcapng", 10_000)
		if code := scan.stop(t, syscall.SIGINT); code != 130 {
			t.Fatalf("exit code %d\n%s", code, scan.stderr)
		}
		content := readFile(t, dir, "x.pcapng")
		torn := content[len(content)-40:]
		if err := os.WriteFile(filepath.Join(dir, "x.pcapng"), []byte(content+torn[:12]), 0o644); err != nil {
			t.Fatal(err)
		}
		scanIn(t, dir, "--resume", "x.csv.checkpoint").want(t, 0)
		if !strings.HasPrefix(readFile(t, dir, "x.pcapng"), content) {
			t.Error("the first part was changed")
		}
		expectPcap(t, filepath.Join(dir, "x.pcapng"), answeredOnly(wire.Packets(t), readPcap(t, filepath.Join(dir, "x.pcapng"))))
	})
}

// TestLabScanRate: SYNs leave at the rate that was asked for, by the times of the capture and by the record. Where other programs leave
// this one no processor in any of some runs, only the upper bound can be held.
func TestLabScanRate(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{Fate: lab.Closed})
		for name, targets := range map[string][]string{"v4": {"10.128.0.0/22", "10.129.0.0/24"}, "v6": {"fd80::/118", "fd80:1::/120"}} {
			t.Run(name, func(t *testing.T) { holdRate(t, n, targets) })
		}
	})
}

func holdRate(t *testing.T, n *lab.Net, targets []string) {
	const rate = 1000
	var wire, record, busy float64
	for range 4 {
		start, before := time.Now(), busyTime(t)
		wire, record = measureRate(t, n, targets)
		busy = float64(busyTime(t)-before) / float64(time.Since(start)) / float64(runtime.NumCPU())
		if wire > 0.99*rate && wire < 1.01*rate && record > 0.99*rate && record < 1.01*rate {
			return
		}
	}
	if busy < 0.8 || wire > 1.01*rate || record > 1.01*rate {
		t.Errorf("%.1f packets/s on the wire, %.1f by the record, %.0f %% of the machine busy", wire, record, 100*busy)
	}
}

func busyTime(t *testing.T) time.Duration {
	t.Helper()
	d, err := lab.BusyTime()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func measureRate(t *testing.T, n *lab.Net, targets []string) (wire, record float64) {
	t.Helper()
	capture := n.Host("peer").Capture(t)
	defer capture.Close()
	o := scanIn(t, t.TempDir(), append(targets, "-p", "80", "--rate", "1k", "-o", "jsonl:-")...)
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

// TestLabScanGatewayDown: a next hop that is dead says nothing about the targets behind it, and so the scan is incomplete.
func TestLabScanGatewayDown(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Listen(t, 80)
		n.Prober().AddRoute(t, lab.Route{To: netip.MustParsePrefix("198.51.100.0/24"), Via: netip.MustParseAddr("10.77.1.99")})
		n.Prober().AddRoute(t, lab.Route{To: netip.MustParsePrefix("2001:db8:1::/64"), Via: netip.MustParseAddr("fd77:0:0:1::99")})
		o := scanIn(t, t.TempDir(), "198.51.100.0/29", "10.77.1.98", "203.0.113.1", "10.77.1.2", "2001:db8:1::/125", "fd77:0:0:1::98", "2001:db8:2::1",
			"fd77:0:0:1::2", "-p", "80", "--show", "all", "-o", "jsonl:-", "-t", "4s")
		o.want(t, 5)
		s := readScan(t, o.stdout)
		for at, r := range s.records {
			want := "unsent gateway-down"
			switch at.Addr().String() {
			case "10.77.1.2", "fd77:0:0:1::2":
				want = "open syn-ack"
			case "10.77.1.98", "fd77:0:0:1::98":
				want = "unreachable no-neighbour"
			case "203.0.113.1", "2001:db8:2::1":
				want = "unreachable no-route"
			}
			if got := r.State + " " + r.Reason; got != want {
				t.Errorf("%v is %s, want %s", at, got, want)
			}
		}
		expectUntried(t, o.stdout)
		if r := s.run; r.Targets != 22 || r.Unsent != 16 || r.Unreachable != 4 || r.Open != 2 || r.Complete {
			t.Errorf("%+v", r)
		}
	})
}

// TestLabScanPolite: SYNs to one host keep their distance, whichever lane they leave from, and use the rate that the host is given.
func TestLabScanPolite(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Respond(t, lab.Responder{Fate: lab.Closed})
		wire := peer.Capture(t)
		scanIn(t, t.TempDir(), "10.128.0.1", "10.128.7.1", "fd80::1", "fd80:0:0:7::1", "-p", "1-30", "--rate", "max", "--per-host-rate", "20").want(t, 0)
		first, last := map[netip.Addr]time.Time{}, map[netip.Addr]time.Time{}
		for _, p := range wire.Packets(t) {
			if p.Out {
				continue
			}
			a := p.Dst.Addr()
			if d := p.Time.Sub(last[a]); d < 40*time.Millisecond {
				t.Errorf("%v has two SYNs within %v", a, d)
			}
			if last[a] = p.Time; first[a].IsZero() {
				first[a] = p.Time
			}
		}
		for a := range last {
			rate := 29 / last[a].Sub(first[a]).Seconds()
			if t.Logf("%v: %.2f SYNs a second", a, rate); rate > 20.2 || rate < 15 { // a busy machine comes late
				t.Errorf("%v: %.2f SYNs a second, want 20", a, rate)
			}
		}
		if len(last) != 4 {
			t.Errorf("%v", last)
		}
	})
}

// TestLabScanMemory: a million silent targets in flight, and checkpoints of them, stay under 100 MB.
func TestLabScanMemory(t *testing.T) {
	for _, targets := range []string{"10.128.0.0/9", "fd80::/104"} {
		t.Run(targets, func(t *testing.T) {
			lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
				n.Host("peer").Respond(t, lab.Responder{Fate: lab.Silent})
				scan := begin(t, t.TempDir(), targets, "-p", "80", "--rate", "max", "-t", "1h", "--attempts", "1", "-o", "x.jsonl", "--checkpoint-every", "1s")
				time.Sleep(5 * time.Second) // more than one checkpoint
				if code := scan.stop(t, syscall.SIGINT); code != 130 {
					t.Fatalf("exit code %d\n%s", code, scan.stderr)
				}
				most := scan.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
				t.Logf("%d kB\n%s", most, scan.stderr)
				if underRace() { // which takes time and memory of its own
					return
				}
				contains(t, scan.stderr.String(), "1048576 SYNs in")
				if most > 100_000 {
					t.Errorf("%d kB resident", most)
				}
			})
		})
	}
}

func underRace() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}
