//go:build linux && !android

package main

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/lab"
)

// interrupted begins a scan, waits until a file has so many bytes, and ends it with SIGINT.
func interrupted(t *testing.T, dir, name string, bytes int64, args ...string) begun {
	t.Helper()
	scan := begin(t, dir, args...)
	grown(t, dir, name, bytes)
	if code := scan.stop(t, syscall.SIGINT); code != 130 {
		t.Fatalf("exit code %d\n%s", code, scan.stderr)
	}
	return scan
}

// replaced waits until another file than before is at path.
func replaced(t *testing.T, path string, was os.FileInfo) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		if now, err := os.Stat(path); err == nil && !os.SameFile(was, now) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s stays the same", path)
		}
		time.Sleep(time.Millisecond)
	}
}

// entries returns what is in a directory.
func entries(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range list {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// TestLabScanAgain: the same command again overwrites its outputs, whatever their format; also where they are links, which stay.
func TestLabScanAgain(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{Mixed: true})
		dir := t.TempDir()
		kept := filepath.Join(dir, "kept")
		if err := os.Mkdir(kept, 0o755); err != nil {
			t.Fatal(err)
		}
		args := []string{"-p", "80,443", "-t", "300ms", "--show", "all", "--rate", "max"}
		for _, name := range []string{"x.jsonl", "x.csv", "x.xml", "x.gnmap", "x.txt", "x.jsonl.zst"} {
			if err := errors.Join(os.WriteFile(filepath.Join(kept, name), nil, 0o640), os.Symlink("kept/"+name, filepath.Join(dir, name))); err != nil {
				t.Fatal(err)
			}
			args = append(args, "-o", name)
		}
		for _, prefix := range []string{"10.128.0.0/24", "fd80::/120", "10.128.0.0/26"} {
			o := scanIn(t, dir, append([]string{prefix}, args...)...)
			o.want(t, 0)
			s := readScan(t, readFile(t, dir, "x.jsonl"))
			expectMixed(t, s, prefix, 80, 443)
			expectCSV(t, readFile(t, dir, "x.csv"), s)
			expectXML(t, readFile(t, dir, "x.xml"), s)
			if readZstd(t, dir, "x.jsonl.zst") != readFile(t, dir, "x.jsonl") {
				t.Error("the compressed output is another")
			}
			if got := strings.Count(readFile(t, dir, "x.gnmap"), "/tcp/"); got != len(s.records) {
				t.Errorf("grepable: %d records of %d", got, len(s.records))
			}
			if got := strings.Count(readFile(t, dir, "x.txt"), "\n"); got != len(s.records)+2 {
				t.Errorf("text: %d lines for %d records", got, len(s.records))
			}
			if strings.Contains(o.stderr, "host element") {
				t.Errorf("the XML is grouped:\n%s", o.stderr)
			}
		}
		if got := entries(t, dir) + " " + entries(t, kept); got != "kept x.csv x.gnmap x.jsonl x.jsonl.zst x.txt x.xml x.csv x.gnmap x.jsonl x.jsonl.zst x.txt x.xml" {
			t.Errorf("there are %s", got)
		}
		list, _ := os.ReadDir(kept)
		for _, e := range list {
			if info, err := e.Info(); err != nil || info.Mode() != 0o640 {
				t.Errorf("%s has mode %v, %v", e.Name(), info.Mode(), err)
			}
		}
	})
}

// TestLabScanUngrouped: who gets XML with an element for each port is told, where that makes a difference.
func TestLabScanUngrouped(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		const says = ": each port has a host element of its own"
		for _, test := range []struct{ args, says string }{
			{"-p 80,443 -o xml:-", "standard output" + says},
			{"-p 80,443 -o x.xml.zst", "x.xml.zst" + says},
			{"-p 80,443 -o x.xml", ""},
			{"-p 80 -o xml:-", ""},
		} {
			o := scanIn(t, t.TempDir(), append([]string{"10.128.0.0/30"}, strings.Fields(test.args)...)...)
			o.want(t, 0)
			if got := strings.Contains(o.stderr, says); got != (test.says != "") || !strings.Contains(o.stderr, test.says) {
				t.Errorf("%s:\n%s", test.args, o.stderr)
			}
		}
	})
}

// TestLabScanTwoInDirectory: scans that write to stdout in one directory leave each other's checkpoint alone.
func TestLabScanTwoInDirectory(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		dir := t.TempDir()
		slow := []string{"10.128.0.0/24", "-p", "80", "--rate", "60", "--checkpoint-every", "20ms"}
		first := begin(t, dir, slow...)
		grown(t, dir, "rawshake.checkpoint", 1)
		second := begin(t, dir, slow...) // side by side
		grown(t, dir, "rawshake-2.checkpoint", 1)
		scanIn(t, dir, "10.128.1.0/24", "-p", "80", "--rate", "max").want(t, 0)
		time.Sleep(200 * time.Millisecond) // more than one checkpoint
		for _, scan := range []begun{first, second} {
			if code := scan.stop(t, syscall.SIGINT); code != 130 {
				t.Fatalf("exit code %d\n%s", code, scan.stderr)
			}
		}
		contains(t, first.stderr.String(), "to go on: rawshake scan --resume rawshake.checkpoint\n")
		contains(t, second.stderr.String(), "rawshake.checkpoint: it belongs to another scan, which is using it now; the one of this scan is rawshake-2.checkpoint\n",
			"to go on: rawshake scan --resume rawshake-2.checkpoint\n")
		o := scanIn(t, dir, "10.128.1.0/24", "-p", "80", "--rate", "max") // after both
		o.want(t, 0)
		contains(t, o.stderr, "it belongs to another scan, which was interrupted after ", "; the one of this scan is rawshake-3.checkpoint\n")
		if got := entries(t, dir); got != "rawshake-2.checkpoint rawshake.checkpoint" {
			t.Errorf("there are %s", got)
		}
		o = scanIn(t, dir, "10.128.1.0/24", "-p", "80", "--checkpoint", "rawshake.checkpoint") // by name
		o.want(t, 3)
		contains(t, o.stderr, "do so with `rawshake scan --resume rawshake.checkpoint`, or delete it to start anew, or name other files")

		was, err := os.Stat(filepath.Join(dir, "rawshake.checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		goingOn := begin(t, dir, "--resume", "rawshake.checkpoint")
		replaced(t, filepath.Join(dir, "rawshake.checkpoint"), was)
		goingOn.Process.Signal(syscall.SIGSTOP)
		o = scanIn(t, dir, "--resume", "rawshake.checkpoint")
		o.want(t, 3)
		contains(t, o.stderr, "--resume: checkpoint rawshake.checkpoint: it belongs to another scan, which is using it now: wait for its end")
		goingOn.Process.Signal(syscall.SIGCONT)
		if code := goingOn.code(); code != 0 {
			t.Errorf("exit code %d\n%s", code, goingOn.stderr)
		}
		lines := strings.Count(first.stdout.String()+goingOn.stdout.String(), " open ")
		if lines != 256 || entries(t, dir) != "rawshake-2.checkpoint" {
			t.Errorf("%d records, there are %s", lines, entries(t, dir))
		}
	})
}

// TestLabScanElsewhere: a scan goes on from wherever its checkpoint is named, with its own files, also after all was moved.
func TestLabScanElsewhere(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		top := t.TempDir()
		dir, other, moved := filepath.Join(top, "run"), filepath.Join(top, "other"), filepath.Join(top, "moved")
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "out"), 0o755), os.Mkdir(other, 0o755),
			os.WriteFile(filepath.Join(dir, "list"), []byte("10.128.0.0/24\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
		interrupted(t, dir, "out/x.jsonl", 5000, "-f", "list", "--scope", "list", "-p", "80", "--rate", "100", "-o", "out/x.jsonl", "-o", "x.csv",
			"--pcap", "x.pcapng", "--show", "all")
		size := len(readFile(t, dir, "out/x.jsonl"))
		scan := interrupted(t, dir, "out/x.jsonl", int64(size+3000), "--resume", "out/x.jsonl.checkpoint")
		if strings.Contains(scan.stderr.String(), "going on in") {
			t.Errorf("it has not moved:\n%s", scan.stderr)
		}
		size = len(readFile(t, dir, "out/x.jsonl"))
		scan = begin(t, other, "--resume", "../run/out/x.jsonl.checkpoint")
		grown(t, dir, "out/x.jsonl", int64(size+3000))
		if code := scan.stop(t, syscall.SIGTERM); code != 143 {
			t.Fatalf("exit code %d\n%s", code, scan.stderr)
		}
		contains(t, scan.stderr.String(), "going on in ../run, where the names of the scan's files start\n",
			"to go on: rawshake scan --resume "+filepath.Join(dir, "out/x.jsonl.checkpoint")+"\n")
		if err := os.Rename(dir, moved); err != nil {
			t.Fatal(err)
		}

		hidden := filepath.Join(top, "hidden.csv")
		if err := os.Rename(filepath.Join(moved, "x.csv"), hidden); err != nil {
			t.Fatal(err)
		}
		before := readFile(t, moved, "out/x.jsonl")
		o := scanIn(t, other, "--resume", "../moved/out/x.jsonl.checkpoint")
		o.want(t, 4)
		contains(t, o.stderr, "going on in ../moved, ", "output x.csv: it is not there, and the scan that goes on has records in it: put it back")
		if entries(t, other) != "" || entries(t, moved) != "list out x.pcapng" || readFile(t, moved, "out/x.jsonl") != before {
			t.Errorf("it left %s, %s", entries(t, other), entries(t, moved))
		}
		if err := os.Rename(hidden, filepath.Join(moved, "x.csv")); err != nil {
			t.Fatal(err)
		}
		scanIn(t, other, "--resume", "../moved/out/x.jsonl.checkpoint").want(t, 0)
		s := readScan(t, readFile(t, moved, "out/x.jsonl"))
		if len(s.records) != 256 || s.run.Open != 256 || !s.run.Complete {
			t.Errorf("%d records, %+v", len(s.records), s.run)
		}
		expectCSV(t, readFile(t, moved, "x.csv"), s)
		if entries(t, other) != "" || entries(t, moved) != "list out x.csv x.pcapng" || entries(t, filepath.Join(moved, "out")) != "x.jsonl" {
			t.Errorf("there are %s, %s, %s", entries(t, other), entries(t, moved), entries(t, filepath.Join(moved, "out")))
		}
	})
}

// TestLabScanStdin: a scan of what comes by standard input goes on when the same comes again, and says so when it does not.
func TestLabScanStdin(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{Mixed: true})
		dir := t.TempDir()
		const list = "10.128.0.0/25 one\nfd80::/121 # two\n"
		start := func(stdin string, args ...string) begun {
			t.Helper()
			cmd, stdout, stderr := command(t, nil, append([]string{"scan", "--progress", "off"}, args...)...)
			cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return begun{cmd, stdout, stderr}
		}
		scan := start(list, "-f", "-", "-p", "80", "--rate", "150", "-t", "500ms", "--show", "all", "-o", "x.jsonl")
		grown(t, dir, "x.jsonl", 5000)
		if code := scan.stop(t, syscall.SIGINT); code != 130 {
			t.Fatalf("exit code %d\n%s", code, scan.stderr)
		}
		before := readFile(t, dir, "x.jsonl")
		for stdin, says := range map[string]string{
			"":                "nothing came by standard input, and the targets of this scan did: pipe them in again, as in `rawshake scan --resume x.jsonl.checkpoint < FILE`",
			"10.128.0.0/25\n": "or what comes by standard input",
		} {
			scan := start(stdin, "--resume", "x.jsonl.checkpoint")
			if code := scan.code(); code != 3 {
				t.Errorf("exit code %d", code)
			}
			contains(t, scan.stderr.String(), says)
		}
		if readFile(t, dir, "x.jsonl") != before {
			t.Error("the output was changed")
		}
		if code := start(list, "--resume", "x.jsonl.checkpoint").code(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		s := readScan(t, readFile(t, dir, "x.jsonl"))
		if len(s.records) != 256 || s.run.Targets != 256 || !s.run.Complete {
			t.Errorf("%d records, %+v", len(s.records), s.run)
		}
		if r := s.records[netip.MustParseAddrPort("10.128.0.1:80")]; r.Label != "one" {
			t.Errorf("%+v", r)
		}
	})
}

// TestLabScanStdinTerminal: who is to type the targets again is told.
func TestLabScanStdinTerminal(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		dir := t.TempDir()
		cmd, _, _ := command(t, nil, "scan", "-", "-p", "80", "--rate", "100", "-o", "x.jsonl")
		cmd.Dir, cmd.Stdin = dir, strings.NewReader("10.128.0.0/24\n")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		grown(t, dir, "x.jsonl", 1000)
		cmd.Process.Signal(syscall.SIGINT)
		cmd.Wait()

		tty, shown := terminal(t)
		cmd, _, _ = command(t, nil, "scan", "--resume", "x.jsonl.checkpoint")
		cmd.Dir, cmd.Stdin = dir, tty
		cmd.Stderr = nil // a pipe instead
		said, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		const want = "the targets of this scan came by standard input: type them again and then Ctrl-D, or pipe them in\n"
		text := make([]byte, len(want))
		if _, err := said.Read(text); err != nil || string(text) != want {
			t.Errorf("%q %v", text, err)
		}
		cmd.Process.Signal(syscall.SIGINT)
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 130 {
			t.Errorf("exit code %d", code)
		}
		shown()
	})
}

// TestLabScanAllUnresolved: names that all have no address are records and a run, like names some of which have one.
func TestLabScanAllUnresolved(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		dir := t.TempDir()
		o := scanIn(t, dir, "one.onion:80-81", "two.onion:80", "--show", "all", "-o", "x.jsonl", "-o", "x.csv", "-o", "x.xml")
		o.want(t, 2)
		contains(t, o.stderr, `"one.onion": does not resolve: `, "3 of 3 targets: 0 open, 0 closed, 0 unreachable, 0 filtered, 3 unsent\n3 unsent: 3 name-unresolved\n0 SYNs; 0 RSTs; seed ")
		text := readFile(t, dir, "x.jsonl")
		for _, name := range []string{"one.onion:80", "one.onion:81", "two.onion:80"} {
			contains(t, text, `"target":"`+name+`","port":`+name[len("one.onion:"):]+`,"state":"unsent","reason":"name-unresolved"`)
		}
		last := text[strings.LastIndex(strings.TrimSpace(text), "\n")+1:]
		contains(t, last, `"type":"run"`, `"targets":3,`, `"unsent":3,`, `"complete":true`)
		if rows := strings.Count(readFile(t, dir, "x.csv"), "\n"); rows != 4 {
			t.Errorf("%d rows", rows)
		}
		if entries(t, dir) != "x.csv x.jsonl x.xml" {
			t.Errorf("there are %s", entries(t, dir))
		}
		o = scanIn(t, dir, "one.onion:80", "--dry-run")
		o.want(t, 2)
		contains(t, o.stderr, "there is nothing to scan")
	})
}

// TestLabScanShardNames: who splits a scan of names is told that they may resolve to something else elsewhere.
func TestLabScanShardNames(t *testing.T) {
	top := wide
	top.Files = map[string]string{"/etc/hosts": "10.128.0.1 one.example\n"}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		const says = "names may resolve to other addresses for the other parts"
		for args, want := range map[string]bool{"one.example:80 --seed 1 --shard 1/2": true, "one.example:80": false, "10.128.0.1:80 --seed 1 --shard 1/2": false} {
			o := scanIn(t, t.TempDir(), strings.Fields(args)...)
			o.want(t, 0)
			if strings.Contains(o.stderr, says) != want {
				t.Errorf("%s:\n%s", args, o.stderr)
			}
		}
	})
}

// TestLabScanKillLanes: also with a lane for each CPU, whose parts of a checkpoint come from several threads, and with compressed frames, no target is
// lost or there twice after kills.
func TestLabScanKillLanes(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{Mixed: true})
		dir := t.TempDir()
		const targets = 1 << 17
		lanes := min(runtime.NumCPU(), 8) // from 100 000 packets a second on
		args := []string{"10.128.0.0/17", "fd80::/113", "-p", "80,443", "--rate", "101k", "-t", "500ms", "--show", "all", "-o", "x.jsonl.zst", "-o", "x.csv",
			"--fields", "addr,port,state", "--checkpoint-every", "50ms"}
		for i := range int64(3) {
			scan := begin(t, dir, args...)
			grown(t, dir, "x.csv", 700_000*(i+1))
			time.Sleep(time.Duration(13*i) * time.Millisecond)
			if code := scan.stop(t, syscall.SIGKILL); code != -9 {
				t.Fatalf("exit code %d\n%s", code, scan.stderr)
			}
			var saved struct {
				Checkpoint struct{ Lanes []json.RawMessage }
			}
			if err := json.Unmarshal([]byte(readFile(t, dir, "x.jsonl.zst.checkpoint")), &saved); err != nil || len(saved.Checkpoint.Lanes) != lanes {
				t.Fatalf("%d lanes, %v", len(saved.Checkpoint.Lanes), err)
			}
			args = []string{"--resume", "x.jsonl.zst.checkpoint", "--checkpoint-every", "50ms"}
		}
		o := scanIn(t, dir, args...)
		if o.code != 0 && o.code != 5 { // a busy machine may lose answers, and says so
			o.want(t, 0)
		}
		s := readScan(t, readZstd(t, dir, "x.jsonl.zst"))
		expectCSV(t, readFile(t, dir, "x.csv"), s)
		if len(s.records) != targets || s.run.Targets != targets {
			t.Errorf("%d records, %+v", len(s.records), s.run)
		}
		lost := uint64(0)
		for at, r := range s.records {
			switch want := fates[lab.MixedFate(at)]; {
			case r.State == "unsent" && r.Reason == "own-loss":
				lost++
			case r.State != want:
				t.Errorf("%v is %q, want %q", at, r.State, want)
			}
		}
		if lost != s.run.Unsent || s.run.Complete != (lost == 0) {
			t.Errorf("%d are lost, %+v", lost, s.run)
		}
		t.Logf("%d are lost", lost)
	})
}
