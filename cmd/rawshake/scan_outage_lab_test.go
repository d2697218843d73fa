//go:build linux && !android

package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/rawshake/rawshake/internal/lab"
)

// TestLabScanOutage: a scan whose interface goes down waits, says so once, and goes on by itself. If it stays down, the scan stops, says
// what is missing and how to go on; who does so before it is back hears the same, and in the end every target is there once.
func TestLabScanOutage(t *testing.T) {
	for name, host := range map[string]string{"down": "prober", "no carrier": "peer"} {
		t.Run(name, func(t *testing.T) {
			lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
				n.Host("peer").Respond(t, lab.Responder{})
				dir := t.TempDir()
				// A gateway may miss the first question for its link address, and the second comes a second later.
				args := []string{"10.128.0.0/22", "fd80::/118", "-p", "80", "--rate", "1k", "-t", "3s", "--show", "all", "-o", "x.jsonl"}
				says := map[string]string{"down": "interface eth0 is down", "no carrier": "interface eth0 has no carrier"}[name]

				scan := begin(t, dir, append(args, "--outage-wait", "300ms")...)
				grown(t, dir, "x.jsonl", 30_000)
				up := n.Host(host).LinkDown(t, "eth0")
				if code := scan.code(); code != 5 {
					t.Errorf("exit code %d\n%s", code, scan.stderr)
				}
				contains(t, scan.stderr.String(), "the scan waits for our side of the network", "INCOMPLETE: ",
					"waited 300ms for our side of the network: "+says, "to go on: rawshake scan --resume x.jsonl.checkpoint")
				s := readScan(t, readFile(t, dir, "x.jsonl"))
				if done := len(s.records); s.run.Complete || done == 0 || done >= 2048 || s.run.Unsent+s.run.Unreachable+s.run.Filtered > 0 {
					t.Errorf("%d records, %+v", done, s.run)
				}
				again := scanIn(t, dir, "--resume", "x.jsonl.checkpoint")
				again.want(t, 5)
				contains(t, again.stderr, "waited 300ms for our side of the network: ")

				cmd, _, _ := command(t, nil, "scan", "--progress", "off", "--resume", "x.jsonl.checkpoint", "--outage-wait", "30s")
				stderr, err := os.Create(filepath.Join(dir, "stderr"))
				if err != nil {
					t.Fatal(err)
				}
				defer stderr.Close()
				cmd.Dir, cmd.Stderr = dir, stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				grown(t, dir, "stderr", 1) // it says that it waits
				up()
				if cmd.Wait(); cmd.ProcessState.ExitCode() != 0 {
					t.Errorf("exit code %d", cmd.ProcessState.ExitCode())
				}
				contains(t, readFile(t, dir, "stderr"), "the scan waits", "the scan goes on")
				if s := readScan(t, readFile(t, dir, "x.jsonl")); len(s.records) != 2048 || s.run.Open != 2048 || !s.run.Complete {
					t.Errorf("%d records, %+v", len(s.records), s.run)
				}
			})
		})
	}
}

// TestLabScanFull: a scan whose interface stays up and takes no packets any more waits, says so, and in the end stops like one whose
// interface is down. It goes on when there is room again.
func TestLabScanFull(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober := n.Prober()
		tap := prober.Tap(t, "tap0", func(p lab.Packet) []lab.Answer {
			if p.Flags() != "S" {
				return nil
			}
			return lab.Now(p.SYNACK())
		})
		for own, c := range map[string]struct{ gateway, to string }{"10.90.0.1/24": {"10.90.0.2", "10.91.0.0/21"}, "fd90::1/64": {"fd90::2", "fd91::/117"}} {
			gateway := netip.MustParseAddr(c.gateway)
			prober.AddAddress(t, tap.Name, netip.MustParsePrefix(own))
			prober.AddNeighbour(t, tap.Name, gateway, prober.Interfaces[0].NeighbourMAC)
			prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix(c.to), Via: gateway})
		}
		dir := t.TempDir()
		scan := begin(t, dir, "10.91.0.0/21", "fd91::/117", "-p", "80", "--rate", "5k", "--show", "all", "-o", "x.jsonl", "--outage-wait", "300ms")
		grown(t, dir, "x.jsonl", 30_000)
		release := tap.Hold()
		if code := scan.code(); code != 5 {
			t.Errorf("exit code %d\n%s", code, scan.stderr)
		}
		contains(t, scan.stderr.String(), "the scan waits for our side of the network", "INCOMPLETE: ", "slowed down ", " send errors",
			"waited 2s for our side of the network: interface tap0 is up, but takes no packets: its queue is full",
			"to go on: rawshake scan --resume x.jsonl.checkpoint")
		s := readScan(t, readFile(t, dir, "x.jsonl"))
		if done := len(s.records); s.run.Complete || done == 0 || done >= 4096 || s.run.Open != uint64(done) {
			t.Errorf("%d records, %+v", done, s.run)
		}
		release()
		scanIn(t, dir, "--resume", "x.jsonl.checkpoint").want(t, 0)
		if s := readScan(t, readFile(t, dir, "x.jsonl")); len(s.records) != 4096 || s.run.Open != 4096 || !s.run.Complete {
			t.Errorf("%d records, %+v", len(s.records), s.run)
		}
	})
}
