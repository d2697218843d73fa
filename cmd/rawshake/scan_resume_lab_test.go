//go:build linux && !android

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/lab"
)

// begun is a scan that was started and can be stopped.
type begun struct {
	*exec.Cmd
	stdout, stderr *bytes.Buffer
}

// begin starts a scan in a directory.
func begin(t *testing.T, dir string, args ...string) begun {
	t.Helper()
	cmd, stdout, stderr := command(t, nil, append([]string{"scan", "--progress", "off"}, args...)...)
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return begun{cmd, stdout, stderr}
}

// stop sends a signal and returns the exit code, or minus the signal that has ended the program.
func (b begun) stop(t *testing.T, s syscall.Signal) int {
	t.Helper()
	if err := b.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	return b.code()
}

func (b begun) code() int {
	b.Wait()
	if status := b.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return -int(status.Signal())
	}
	return b.ProcessState.ExitCode()
}

// grown waits until a file has so many bytes.
func grown(t *testing.T, dir, name string, bytes int64) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Size() >= bytes {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not grow to %d bytes", name, bytes)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestLabScanInterrupt stops a scan by each signal in turn, and goes on: at the end every target is in every output once, and
// the counts are those of one scan.
func TestLabScanInterrupt(t *testing.T) {
	for _, prefix := range families {
		t.Run(prefix, func(t *testing.T) {
			lab.Test(t, wide, func(t *testing.T, n *lab.Net) { interrupt(t, n, prefix) })
		})
	}
}

// families are a thousand addresses of each.
var families = []string{"10.128.0.0/22", "fd80::/118"}

func interrupt(t *testing.T, n *lab.Net, prefix string) {
	peer := n.Host("peer").Respond(t, lab.Responder{Mixed: true})
	dir := t.TempDir()
	scan := begin(t, dir, prefix, "-p", "80,443", "--rate", "2k", "-t", "500ms", "--show", "all", "-o", "x.jsonl", "-o", "x.csv", "--seed", "5")
	size := int64(0)
	for _, test := range []struct {
		signal syscall.Signal
		code   int
	}{{syscall.SIGINT, 130}, {syscall.SIGTERM, 143}, {syscall.SIGHUP, 129}} {
		grown(t, dir, "x.jsonl", size+40_000)
		if code := scan.stop(t, test.signal); code != test.code {
			t.Fatalf("%v: exit code %d\n%s", test.signal, code, scan.stderr)
		}
		contains(t, scan.stderr.String(), "INCOMPLETE: ", " of 2048 targets: ", "to go on: rawshake scan --resume x.jsonl.checkpoint\n")
		if s := readScan(t, readFile(t, dir, "x.jsonl")); s.run.Complete || s.run.Targets != 2048 || len(s.records) == 0 || len(s.records) >= 2048 {
			t.Errorf("%d records, %+v", len(s.records), s.run)
		}
		size = int64(len(readFile(t, dir, "x.jsonl")))
		scan = begin(t, dir, "--resume", "x.jsonl.checkpoint")
	}
	if code := scan.code(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, scan.stderr)
	}
	s := readScan(t, readFile(t, dir, "x.jsonl"))
	expectMixed(t, s, prefix, 80, 443)
	expectCSV(t, readFile(t, dir, "x.csv"), s)
	c := peer.Counters(t)
	if c.SYN != s.run.ProbesSent || c.RST != s.run.RSTSent {
		t.Errorf("the responder got %+v, the run says %+v", c, s.run)
	}
	if s.run.SendSeconds < 2048/2000. || s.run.Seed != 5 {
		t.Errorf("%+v", s.run)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.checkpoint*")); left != nil {
		t.Errorf("%q is left", left)
	}
}

// TestLabScanKill kills a scan at different moments of its checkpoints and goes on each time, with shards and attempts: no target is
// lost, and none is in the outputs twice.
func TestLabScanKill(t *testing.T) {
	for _, prefix := range families {
		t.Run(prefix, func(t *testing.T) {
			lab.Test(t, wide, func(t *testing.T, n *lab.Net) { killShards(t, n, prefix) })
		})
	}
}

func killShards(t *testing.T, n *lab.Net, prefix string) {
	n.Host("peer").Respond(t, lab.Responder{Mixed: true})
	dir := t.TempDir()
	all := scanned{records: map[netip.AddrPort]scanLine{}}
	for _, shard := range []string{"1/2", "2/2"} {
		kill(t, dir, prefix, shard)
		s := readScan(t, readFile(t, dir, "x.jsonl"))
		if s.run.Shard != shard || !s.run.Complete || s.run.Targets != uint64(len(s.records)) {
			t.Errorf("%d records, %+v", len(s.records), s.run)
		}
		expectCSV(t, readFile(t, dir, "x.csv"), s)
		for at, r := range s.records {
			if _, twice := all.records[at]; twice {
				t.Errorf("%v is in both shards", at)
			}
			all.records[at] = r
		}
		all.run.Targets += s.run.Targets
		all.run.Open += s.run.Open
		all.run.Closed += s.run.Closed
		all.run.Filtered += s.run.Filtered
	}
	all.run.Complete = true
	expectMixed(t, all, prefix, 80, 443)
}

// kill scans a shard and kills it three times.
func kill(t *testing.T, dir, prefix, shard string) {
	t.Helper()
	os.Remove(filepath.Join(dir, "x.jsonl"))
	scan := begin(t, dir, prefix, "-p", "80,443", "--rate", "4k", "-t", "200ms", "--attempts", "3", "--show", "all", "-o", "x.jsonl", "-o", "x.csv",
		"--seed", "5", "--shard", shard, "--checkpoint-every", "20ms")
	beyond := int64(0)
	for i := range int64(3) {
		grown(t, dir, "x.jsonl", 20_000*(i+1))
		time.Sleep(time.Duration(7*i) * time.Millisecond)
		if code := scan.stop(t, syscall.SIGKILL); code != -9 {
			t.Fatalf("exit code %d\n%s", code, scan.stderr)
		}
		beyond += beyondCheckpoint(t, dir)
		scan = begin(t, dir, "--resume", "x.jsonl.checkpoint", "--checkpoint-every", "20ms")
	}
	if code := scan.code(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, scan.stderr)
	}
	t.Logf("%d bytes were beyond checkpoints", beyond)
}

// beyondCheckpoint returns how many bytes of the JSON output a resume will cut.
func beyondCheckpoint(t *testing.T, dir string) int64 {
	t.Helper()
	var saved struct {
		Checkpoint struct {
			Outputs []struct {
				Path  string
				Bytes int64
			}
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, dir, "x.jsonl.checkpoint")), &saved); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, saved.Checkpoint.Outputs[0].Path))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size() - saved.Checkpoint.Outputs[0].Bytes
}

// TestLabScanResumeRefused: what goes on is the same scan, or nothing.
func TestLabScanResumeRefused(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		dir := t.TempDir()
		write := func(name, content string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		const list, scope = "10.128.0.0/24\n", "10.128.0.0/16\n"
		write("list", list)
		write("scope", scope)
		scan := begin(t, dir, "-f", "list", "10.129.0.0/28", "-p", "80", "--scope", "scope", "--rate", "200", "-o", "x.jsonl", "--show", "all")
		grown(t, dir, "x.jsonl", 5000)
		if code := scan.stop(t, syscall.SIGINT); code != 130 {
			t.Fatalf("exit code %d\n%s", code, scan.stderr)
		}
		before := readFile(t, dir, "x.jsonl")
		for _, test := range []struct{ args, list, scope, says string }{
			{"--resume x.jsonl.checkpoint -t 9s", list, scope, "--timeout is not given in the checkpoint and \"9s\" here: a resumed scan keeps its options"},
			{"--resume x.jsonl.checkpoint -t 9s", list, scope, "Others may be given only to --rate, --per-host-rate, --per-net-rate, --max-inflight, --outage-wait, --checkpoint-every, --fail-on\n"},
			{"--resume x.jsonl.checkpoint -o y.jsonl", list, scope, "--output is"},
			{"--resume x.jsonl.checkpoint 10.130.0.0/28", list, scope, "a resumed scan keeps its targets"},
			{"--resume x.jsonl.checkpoint", list + "10.128.1.1\n", scope, "a target, exclude or scope file may have changed"},
			{"--resume x.jsonl.checkpoint", list, "10.128.0.0/17\n", "a target, exclude or scope file may have changed"},
			{"-f list -p 80 -o x.jsonl", list, scope, "it belongs to another scan, which was interrupted after "},
		} {
			write("list", test.list)
			write("scope", test.scope)
			o := scanIn(t, dir, strings.Fields(test.args)...)
			o.want(t, 3)
			contains(t, o.stderr, test.says)
			if readFile(t, dir, "x.jsonl") != before {
				t.Fatalf("%s changes the output", test.args)
			}
		}
		write("list", "# written anew\n10.128.0.128/25\n10.128.0.0/25\n") // the same targets
		write("scope", scope)
		scanIn(t, dir, "--resume", "x.jsonl.checkpoint", "-p", "80", "--rate", "200").want(t, 0)
		if s := readScan(t, readFile(t, dir, "x.jsonl")); s.run.Open != 256 || s.run.Unsent != 16 || len(s.records) != 272 {
			t.Errorf("%+v", s.run)
		}
	})
}

// TestLabScanResumeFaster: what changes neither what is asked nor what is recorded may be another when the scan goes on, and stays so.
func TestLabScanResumeFaster(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		dir := t.TempDir()
		interrupted(t, dir, "x.jsonl", 3000, "10.128.0.0/24", "-p", "80", "--rate", "50", "--per-net-rate", "40", "-o", "x.jsonl",
			"--checkpoint-every", "70ms", "--outage-wait", "0s")
		interrupted(t, dir, "x.jsonl", 20_000, "--resume", "x.jsonl.checkpoint", "--rate", "200", "--per-net-rate", "max", "--per-host-rate", "9",
			"--max-inflight", "77", "--fail-on", "open")
		contains(t, readFile(t, dir, "x.jsonl.checkpoint"), `"rate":["200"]`, `"per-net-rate":["max"]`, `"per-host-rate":["9"]`, `"max-inflight":["77"]`,
			`"checkpoint-every":["70ms"]`, `"outage-wait":["0s"]`)
		scanIn(t, dir, "--resume", "x.jsonl.checkpoint").want(t, 1)
		if s := readScan(t, readFile(t, dir, "x.jsonl")); s.run.Open != 256 || len(s.records) != 256 || !s.run.Complete {
			t.Errorf("%d records, %+v", len(s.records), s.run)
		}
	})
}

// TestLabScanPinned: what names meant when the scan began, they mean until its end.
func TestLabScanPinned(t *testing.T) {
	hosts := ""
	for i := range 100 {
		hosts += fmt.Sprintf("%v name%d.example\n", nthPinned(i), i)
	}
	top := wide
	top.Files = map[string]string{"/etc/hosts": hosts, "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		dir := t.TempDir()
		var list strings.Builder
		for i := range 100 {
			fmt.Fprintf(&list, "name%d.example:80\n", i)
		}
		list.WriteString("gone.example:80\n")
		if err := os.WriteFile(filepath.Join(dir, "list"), []byte(list.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		scan := begin(t, dir, "-f", "list", "--rate", "100", "-o", "x.jsonl", "--show", "open,unsent")
		grown(t, dir, "x.jsonl", 2000)
		if code := scan.stop(t, syscall.SIGINT); code != 130 {
			t.Fatalf("exit code %d\n%s", code, scan.stderr)
		}
		o := scanIn(t, dir, "--resume", "x.jsonl.checkpoint")
		o.want(t, 2)
		contains(t, o.stderr, `"gone.example": does not resolve: it did not when the scan began`)
		s := readUnresolved(t, readFile(t, dir, "x.jsonl"), "gone.example:80")
		if s.run.Targets != 101 || s.run.Open != 100 || s.run.Unsent != 1 || !s.run.Complete {
			t.Errorf("%+v", s.run)
		}
		for i := range 100 {
			at := netip.AddrPortFrom(nthPinned(i), 80)
			if got, want := s.records[at].Target, fmt.Sprintf("name%d.example:80", i); got != want {
				t.Errorf("%v is %q, want %q", at, got, want)
			}
		}
	})
}

// nthPinned is the address of a name, every other one of IPv6.
func nthPinned(i int) netip.Addr {
	if i%2 == 0 {
		return netip.AddrFrom4([4]byte{10, 128, 0, byte(i)})
	}
	return netip.AddrFrom16([16]byte{0xfd, 0x80, 15: byte(i)})
}

// TestLabScanSecondSignal: who is in a hurry is let go.
func TestLabScanSecondSignal(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		fifo := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		reader, err := os.OpenFile(fifo, os.O_RDWR, 0) // who never reads
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		scan := begin(t, t.TempDir(), "10.128.0.0/16", "-p", "80", "--rate", "max", "-o", "jsonl:"+fifo)
		time.Sleep(500 * time.Millisecond) // the pipe is full by now, and the scan waits
		ended := make(chan int, 1)
		go func() { ended <- scan.code() }()
		for {
			scan.Process.Signal(syscall.SIGINT) // those of the first second are one
			select {
			case code := <-ended:
				if code != 130 {
					t.Errorf("exit code %d\n%s", code, scan.stderr)
				}
				return
			case <-time.After(300 * time.Millisecond):
			}
		}
	})
}
