package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/loopback"
)

// The tests of this file probe by connect, which needs no privilege; those with raw packets are in the lab.

// closedPort returns a port of 127.0.0.1 on which nobody listens.
func closedPort(t *testing.T) uint16 {
	t.Helper()
	return portOf(loopback.Closed(t, "127.0.0.1:0"))
}

func at(port uint16) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func connect(t *testing.T, args ...string) outcome {
	t.Helper()
	return tool(t, append([]string{"check", "--method", "connect"}, args...)...)
}

func TestCheckExitCodes(t *testing.T) {
	open, closed := listen(t, "127.0.0.1"), closedPort(t)
	for _, test := range []struct {
		args []string
		want int
	}{
		{[]string{at(open)}, 0},
		{[]string{at(open), at(open)}, 0},
		{[]string{at(closed)}, 1},
		{[]string{at(open), at(closed)}, 1},
		{[]string{"-c", "2", "--period", "1ms", at(open)}, 0},
		{[]string{"no-such-name.onion:80"}, 2}, // RFC 7686: resolvers do not look these up
		{[]string{at(open), at(closed), "no-such-name.onion:80"}, 2},
		{[]string{"-p", fmt.Sprint(open), "127.0.0.1"}, 0},
		{[]string{"-p", fmt.Sprint(closed), at(open)}, 0}, // a port of its own counts
	} {
		o := connect(t, test.args...)
		if o.code != test.want {
			t.Errorf("%q: exit code %d, want %d\n%s%s", test.args, o.code, test.want, o.stdout, o.stderr)
		}
		q := connect(t, append([]string{"-q"}, test.args...)...)
		if q.code != test.want || q.stdout != "" {
			t.Errorf("-q %q: exit code %d, want %d; stdout %q", test.args, q.code, test.want, q.stdout)
		}
	}
}

func TestCheckText(t *testing.T) {
	open, closed := listen(t, "127.0.0.1"), closedPort(t)
	ports := map[string]uint16{"OPEN": open, "CLOSED": closed}
	o := connect(t, "--parallel", "1", at(open))
	o.want(t, 0)
	golden(t, "stdout", masked(o.stdout, ports), "127.0.0.1:OPEN        open         syn-ack  N ms  by connect\n")
	golden(t, "stderr", o.stderr, "")

	o = connect(t, at(closed), "no-such-name.onion:80", "no-such-name.onion:81")
	o.want(t, 2)
	contains(t, masked(o.stdout, ports),
		"127.0.0.1:CLOSED                             closed       rst  N ms  by connect\n",
		"no-such-name.onion:80                       unsent       name-unresolved  error: address no-such-name.onion: no suitable address found\n",
		"no-such-name.onion:81                       unsent       name-unresolved  error: address no-such-name.onion: no suitable address found\n")
	golden(t, "stderr", o.stderr, "1 probe: 1 closed, 2 targets not resolved\n")
}

// TestCheckCount: verdicts on stdout, figures on stderr.
func TestCheckCount(t *testing.T) {
	open, closed := listen(t, "127.0.0.1"), closedPort(t)
	ports := map[string]uint16{"OPEN": open, "CLOSED": closed}
	start := time.Now()
	o := connect(t, "-c", "3", "--period", "50ms", at(open))
	took := time.Since(start)
	o.want(t, 0)
	golden(t, "stdout", masked(o.stdout, ports), ""+
		"[0]  127.0.0.1:OPEN        open         syn-ack  N ms  by connect\n"+
		"[1]  127.0.0.1:OPEN        open         syn-ack  N ms  by connect\n"+
		"[2]  127.0.0.1:OPEN        open         syn-ack  N ms  by connect\n")
	golden(t, "stderr", masked(o.stderr, ports), "127.0.0.1:OPEN : sent 3, answered 3, loss 0.0% (3 open), min/avg/max/mdev = N/N/N/N ms\n")
	if took < 100*time.Millisecond {
		t.Errorf("three probes 50 ms apart took %v", took)
	}

	o = connect(t, "-q", "-c", "2", "--period", "1ms", at(open), at(closed))
	o.want(t, 1)
	golden(t, "stdout", o.stdout, "")
	golden(t, "stderr", masked(o.stderr, ports), ""+
		"127.0.0.1:OPEN : sent 2, answered 2, loss 0.0% (2 open), min/avg/max/mdev = N/N/N/N ms\n"+
		"127.0.0.1:CLOSED : sent 2, answered 2, loss 0.0% (2 closed), min/avg/max/mdev = N/N/N/N ms\n")
}

func TestCheckJSON(t *testing.T) {
	open, closed := listen(t, "127.0.0.1"), closedPort(t)
	ports := map[string]uint16{"OPEN": open, "CLOSED": closed}
	o := connect(t, "-J", "-c", "1", at(open))
	o.want(t, 0)
	golden(t, "stdout", masked(o.stdout, ports), `{"v":1,"type":"result","ts":"TIME","target":"127.0.0.1:OPEN","addr":"127.0.0.1","port":OPEN,`+
		`"state":"open","reason":"syn-ack","rtt_us":N,"attempt":0,"src":"127.0.0.1:PORT","method":"connect"}`+"\n")
	golden(t, "stderr", o.stderr, "")

	o = connect(t, "-J", "-c", "2", "--period", "1ms", at(closed), "no-such-name.onion:80")
	o.want(t, 2)
	kinds, seqs := map[string]int{}, map[string]int{}
	for line := range strings.Lines(o.stdout) {
		var r struct {
			V           int
			Type, State string
			Sent        uint64
			Port        uint16
			Seq         *int
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.V != 1 {
			t.Errorf("%q: %v", line, err)
		}
		kinds[r.Type+r.State]++
		if r.Type == "result" {
			seqs[fmt.Sprint(r.State, *r.Seq)]++
		} else if r.Port != closed {
			t.Errorf("%s has no port", line)
		}
	}
	if kinds["resultclosed"] != 2 || kinds["resultunsent"] != 1 || kinds["summary"] != 1 || len(kinds) != 3 {
		t.Errorf("records: %v\n%s", kinds, o.stdout)
	}
	if seqs["closed0"] != 1 || seqs["closed1"] != 1 || seqs["unsent0"] != 1 {
		t.Errorf("probes: %v\n%s", seqs, o.stdout)
	}
	golden(t, "stderr", o.stderr, "")
}

func TestCheckColor(t *testing.T) {
	open := at(listen(t, "127.0.0.1"))
	const green = "\x1b[32mopen\x1b[0m"
	for _, test := range []struct {
		env  []string
		args []string
		want bool
	}{
		{nil, []string{open}, false}, // a pipe
		{nil, []string{"--color=always", open}, true},
		{[]string{"NO_COLOR=1"}, []string{"--color=always", open}, true}, // a flag outranks a habit
		{[]string{"CLICOLOR_FORCE=1"}, []string{open}, true},
		{[]string{"CLICOLOR_FORCE=1", "NO_COLOR=1"}, []string{open}, false},
		{[]string{"CLICOLOR_FORCE=1", "TERM=dumb"}, []string{open}, false},
		{[]string{"CLICOLOR_FORCE=1"}, []string{"--color=never", open}, false},
		{nil, []string{"-J", "--color=always", open}, false}, // JSON has no colours
	} {
		o := toolIn(t, test.env, append([]string{"check", "--method=connect"}, test.args...)...)
		if got := strings.Contains(o.stdout, green); got != test.want || strings.Contains(o.stdout, "\x1b") != test.want {
			t.Errorf("%v %v: %q", test.env, test.args, o.stdout)
		}
	}
}

// firstWrite tells when something was written.
type firstWrite struct {
	w       *bytes.Buffer
	written chan struct{}
	told    bool
}

func (f *firstWrite) Write(b []byte) (int, error) {
	if !f.told {
		f.told = true
		close(f.written)
	}
	return f.w.Write(b)
}

// TestCheckFiles: targets come from files and standard input, a line each, with labels; what is broken is said with its place.
func TestCheckFiles(t *testing.T) {
	open, closed := at(listen(t, "127.0.0.1")), at(closedPort(t))
	hosts := file(t, "hosts", "# ours\n"+open+" front door\n\n"+closed+"\n")
	for _, test := range []struct {
		args []string
		want int
	}{{[]string{"-f", hosts}, 2}, {[]string{"-f", "-"}, 2}, {[]string{"-"}, 2}, {[]string{"-f", hosts, open}, 3}} {
		o := fed(t, open+",front door\n"+closed+"\n", append([]string{"check", "--method=connect", "-J"}, test.args...)...)
		o.want(t, 1)
		if n := strings.Count(o.stdout, "\n"); n != test.want {
			t.Errorf("%q: %d records\n%s", test.args, n, o.stdout)
		}
		contains(t, o.stdout, `"label":"front door"`, closed)
	}
	broken := file(t, "broken", "127.0.0.1:80\n127.0.0.300:80\n")
	o := connect(t, "-f", broken)
	o.want(t, 3)
	contains(t, o.stderr, `rawshake check: `+broken+`:2: "127.0.0.300:80": "127.0.0.300" is not an address`)
	o = fed(t, "# nothing\n", "check", "-")
	o.want(t, 3)
	contains(t, o.stderr, "no TARGET is given", "-f FILE")
	o = connect(t, "-f", filepath.Join(t.TempDir(), "none"))
	o.want(t, 3)
	contains(t, o.stderr, "rawshake check: -f: open ", "no such file or directory")
}

func TestCheckNames(t *testing.T) {
	open := listen(t, "localhost")
	o := connect(t, "-4", fmt.Sprintf("localhost:%d", open))
	o.want(t, 0)
	golden(t, "stdout", masked(o.stdout, map[string]uint16{"OPEN": open}), "localhost:OPEN (127.0.0.1:OPEN)  open         syn-ack  N ms  by connect\n")
}

func TestCheckWriteErrors(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /dev/full")
	}
	open := at(listen(t, "127.0.0.1"))
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	cmd, _, stderr := command(t, nil, "check", "--method=connect", open)
	cmd.Stdout = full
	cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != 4 {
		t.Errorf("exit code %d", code)
	}
	contains(t, stderr.String(), "rawshake check: writing results: ", "no space left on device")

	o := tool(t, "check", "--method", "auto", "--pcap", filepath.Join(t.TempDir(), "none", "x.pcapng"), open)
	o.want(t, 4)
	contains(t, o.stderr, "--pcap: open ", "no such file or directory")
}
