//go:build linux && !android

package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/lab"
)

// TestLabScanWriteErrors: a disk that is full or a reader that has gone is a clear error, and what was found stays.
func TestLabScanWriteErrors(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		for _, output := range []string{"/dev/full", "/dev/full.zst"} {
			dir := t.TempDir()
			path := filepath.Join(dir, filepath.Base(output))
			if err := os.Symlink("/dev/full", path); err != nil {
				t.Fatal(err)
			}
			o := scanIn(t, dir, "10.128.0.0/22", "-p", "80", "--rate", "max", "-o", "jsonl:"+path, "-o", "y.jsonl", "--show", "all")
			o.want(t, 4)
			contains(t, o.stderr, "output "+path+": no space left on device: free some space", "to go on: rawshake scan --resume ")
			readScan(t, readFile(t, dir, "y.jsonl")) // is whole
		}

		dir := t.TempDir()
		o := scanIn(t, dir, "10.128.0.0/22", "-p", "80", "--rate", "max", "-o", "jsonl:/dev/full")
		o.want(t, 4)
		contains(t, o.stderr, "to go on: rawshake scan --resume rawshake.checkpoint\n")
		if _, err := os.Stat("/dev/full.checkpoint"); err == nil || entries(t, dir) != "rawshake.checkpoint" {
			t.Errorf("there are %s, and beside the device: %v", entries(t, dir), err)
		}

		dir = t.TempDir()
		o = scanIn(t, dir, "10.128.0.0/22", "-p", "80", "-o", "csv:/dev/full") // the head does not fit: there is nothing to go on from
		o.want(t, 4)
		contains(t, o.stderr, "output /dev/full: no space left on device: free some space")
		if strings.Contains(o.stderr, "--resume") || entries(t, dir) != "" {
			t.Errorf("there are %q, and it says\n%s", entries(t, dir), o.stderr)
		}

		dir = t.TempDir()
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd, _, stderr := command(t, nil, "scan", "10.128.0.0/16", "-p", "80", "--rate", "20k", "--progress", "off")
		cmd.Dir, cmd.Stdout = dir, w
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if _, err := r.Read(make([]byte, 100)); err != nil {
			t.Error(err)
		}
		r.Close()
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 4 {
			t.Errorf("exit code %d", code)
		}
		contains(t, stderr.String(), "output standard output: broken pipe: the program that read it has gone", "to go on: rawshake scan --resume rawshake.checkpoint")
	})
}

// TestLabScanCheckpointFails: a checkpoint that cannot be written any more is told, and the scan goes on; at the end it is an error only
// where it was needed.
func TestLabScanCheckpointFails(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		for _, interrupt := range []bool{false, true} {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "ck"), 0o755); err != nil {
				t.Fatal(err)
			}
			scan := begin(t, dir, "10.128.0.0/24", "-p", "80", "--rate", "800", "-o", "x.jsonl", "--checkpoint", "ck/x", "--checkpoint-every", "10ms")
			grown(t, dir, "x.jsonl", 1000)
			if err := os.Chmod(filepath.Join(dir, "ck"), 0o500); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
			want := 4 // a checkpoint that cannot be removed
			if interrupt {
				scan.Process.Signal(syscall.SIGINT)
			}
			if code := scan.code(); code != want {
				t.Errorf("exit code %d, want %d\n%s", code, want, scan.stderr)
			}
			text := scan.stderr.String()
			contains(t, text, "checkpoint ck/x: permission denied; the one before stays, and the next is tried\n")
			if n := strings.Count(text, "the next is tried"); n != 1 {
				t.Errorf("told %d times", n)
			}
			if s := readScan(t, readFile(t, dir, "x.jsonl")); interrupt == s.run.Complete {
				t.Errorf("%+v", s.run)
			}
			os.Chmod(filepath.Join(dir, "ck"), 0o700)
		}
	})
}

// TestLabScanPcapFails: who asked for the packets gets all of them, or a scan that stops at once and can go on.
func TestLabScanPcapFails(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		dir := t.TempDir()
		o := scanIn(t, dir, "10.128.0.0/24", "-p", "80", "--pcap", "/dev/full", "-o", "x.jsonl")
		o.want(t, 4)
		contains(t, o.stderr, "--pcap: output /dev/full: no space left on device: free some space")

		fifo := filepath.Join(dir, "packets")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		scan := begin(t, dir, "10.128.0.0/22", "-p", "80", "--rate", "1k", "--pcap", "packets", "-o", "x.jsonl", "--checkpoint-every", "50ms")
		reader, err := os.Open(fifo) // waits for the writer
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, reader, 30_000); err != nil { // of 1024 targets more than 140 000 bytes come
			t.Error(err)
		}
		reader.Close()
		if code := scan.code(); code != 4 {
			t.Errorf("exit code %d", code)
		}
		text := scan.stderr.String()
		contains(t, text, "INCOMPLETE: ", "--pcap: output packets: broken pipe: the program that read it has gone",
			"to go on: rawshake scan --resume x.jsonl.checkpoint")
		if strings.Count(text, "broken pipe") != 1 {
			t.Errorf("it is told more than once:\n%s", text)
		}
		s := readScan(t, readFile(t, dir, "x.jsonl"))
		if s.run.Complete || s.run.ProbesSent == 0 || s.run.ProbesSent > 900 {
			t.Errorf("the scan did not stop at once: %+v", s.run)
		}
		if err := os.Remove(fifo); err != nil {
			t.Fatal(err)
		}
		before := entries(t, dir)
		o = scanIn(t, dir, "--resume", "x.jsonl.checkpoint") // as with an output
		o.want(t, 4)
		contains(t, o.stderr, "--pcap: output packets: it is not there, and the scan that goes on has packets in it: put it back, or an empty file in its place")
		if got := entries(t, dir); got != before {
			t.Errorf("there are %s, and were %s", got, before)
		}
		if err := os.WriteFile(fifo, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		scanIn(t, dir, "--resume", "x.jsonl.checkpoint").want(t, 0)
		if s := readScan(t, readFile(t, dir, "x.jsonl")); len(s.records) != 1024 || s.run.Open != 1024 || !s.run.Complete {
			t.Errorf("%d records, %+v", len(s.records), s.run)
		}
		if len(readPcap(t, fifo)) == 0 {
			t.Error("no packets after the resume")
		}
	})
}

// TestLabScanOwnLoss: while the program is stopped, more arrives than its ring holds, and again during the extra attempt that it makes
// for such a loss. Now it cannot know whether the targets have answered, and says so in the record of the run and by the exit code.
func TestLabScanOwnLoss(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		for _, v6 := range []bool{false, true} {
			t.Run(family(v6), func(t *testing.T) { loseAnswers(t, n.Host("peer"), v6) })
		}
	})
}

func loseAnswers(t *testing.T, peer *lab.Host, v6 bool) {
	asked := make(chan lab.Packet, 64)
	script := peer.Script(t, func(p lab.Packet) []lab.Answer {
		asked <- p
		return nil
	})
	dir := t.TempDir()
	// At the default rate there is one lane, and so one ring.
	scan := begin(t, dir, peer.Addr(v6).String(), "-p", "80-82", "--attempts", "1", "-t", "500ms", "--show", "all", "-o", "x.jsonl")
	for _, pause := range []time.Duration{600 * time.Millisecond, 1200 * time.Millisecond} {
		var wrong lab.Segment
		for range 3 { // attempts, the first ones and then the extra ones
			select {
			case p := <-asked:
				wrong = p.PeerRST()
			case <-time.After(5 * time.Second):
				t.Fatalf("nothing is asked any more\n%s", scan.stderr)
			}
		}
		wrong.Ack += 1000 // it answers nothing of ours, and the filter lets it in
		flood := wrong.Bytes()
		scan.Process.Signal(syscall.SIGSTOP)
		for range 60_000 { // the ring has 4 MB, and each takes about 100 bytes
			script.Send(flood)
		}
		time.Sleep(pause) // until the time of the probes is over
		scan.Process.Signal(syscall.SIGCONT)
	}
	if code := scan.code(); code != 5 {
		t.Errorf("exit code %d\n%s", code, scan.stderr)
	}
	contains(t, scan.stderr.String(), "INCOMPLETE: 3 of 3 targets: 0 open, 0 closed, 0 unreachable, 0 filtered, 3 unsent\n",
		"slowed down ", " times because this machine lost packets: to ", " packets/s at the lowest, for ",
		"3 targets asked once more because packets were lost on our side",
		"3 targets unsent because this host could not ask, or lost what they answered", "a lower --rate may help")
	s := readScan(t, readFile(t, dir, "x.jsonl"))
	if s.run.Complete || s.run.Unsent != 3 || s.run.RingDrops == 0 || s.run.ProbesSent != 6 {
		t.Errorf("%+v", s.run)
	}
	for at, r := range s.records {
		if r.State != "unsent" || r.Reason != "own-loss" {
			t.Errorf("%v: %+v", at, r)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.checkpoint*")); left != nil {
		t.Errorf("%q is left, and nothing can be resumed", left)
	}
}
