//go:build unix

package main

import (
	"bytes"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/loopback"
)

// TestCheckInterrupt: the signal stops at once, also when it comes twice, as from timeout(1); every target has its figures, with what
// is pending, and the code says it.
func TestCheckInterrupt(t *testing.T) {
	open, silent := at(listen(t, "127.0.0.1")), loopback.Silent(t, "127.0.0.1:0")
	for _, test := range []struct {
		signal syscall.Signal
		args   []string
		want   int
		says   []string
	}{
		{syscall.SIGINT, []string{"-c", "0", "--period", "20ms"}, 130,
			[]string{open + " : sent ", "loss 0.0% (", "min/avg/max/mdev", silent + " : sent ", ", answered 0, pending "}},
		{syscall.SIGTERM, []string{"-c", "0"}, 143, []string{silent + " : sent 1, answered 0, pending 1\n"}},
		{syscall.SIGHUP, []string{"-c", "3", "--period", "1h"}, 129, []string{silent + " : sent 1, answered 0, pending 1\n"}},
		{syscall.SIGINT, []string{"-c", "5", "--period", "1h", "-J"}, 130,
			[]string{`"sent":1,"received":1,"loss":0,"open":1`, `"sent":1,"received":0,"pending":1,"open":0`}},
		{syscall.SIGINT, nil, 130, []string{silent + " : sent 1, answered 0, pending 1\n", "interrupted after 2 probes: 1 open, 1 pending\n"}},
		{syscall.SIGINT, []string{"-J"}, 130, []string{`"type":"summary"`, `"sent":1,"received":0,"pending":1`}},
	} {
		cmd, _, _ := command(t, nil, append([]string{"check", "--method=connect", "-t", "1h", open, silent}, test.args...)...)
		var out lockedBuffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out.await(t, "open", nil)
		out.await(t, "pending", func() { cmd.Process.Signal(syscall.SIGUSR1) }) // both are asked
		start := time.Now()
		cmd.Process.Signal(test.signal)
		cmd.Process.Signal(test.signal)
		cmd.Wait()
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%v: it took %v to stop", test.args, took)
		}
		if code := cmd.ProcessState.ExitCode(); code != test.want {
			t.Errorf("%v: exit code %d, want %d", test.args, code, test.want)
		}
		contains(t, out.String(), append(test.says, "interrupted after ")...)
	}
}

// lockedBuffer keeps what a command writes while a test looks.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// await waits for text, and calls ask, if there is one, now and then.
func (l *lockedBuffer) await(t *testing.T, text string, ask func()) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !strings.Contains(l.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q does not come:\n%s", text, l)
		}
		if ask != nil {
			ask()
		}
	}
}

// TestCheckFigures: SIGUSR1 and SIGQUIT print the figures so far, and the check goes on.
func TestCheckFigures(t *testing.T) {
	open := at(listen(t, "127.0.0.1"))
	for _, signal := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGQUIT} {
		cmd, _, _ := command(t, nil, "check", "--method=connect", "-J", "-c", "2", "--period", "1h", open)
		var stdout, stderr lockedBuffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stdout.await(t, "open", nil)
		cmd.Process.Signal(signal)
		stderr.await(t, "\n", nil)
		golden(t, "stderr", masked(stderr.String(), nil), open+" : sent 1, answered 1, loss 0.0% (1 open), min/avg/max/mdev = N/N/N/N ms\n")
		if strings.Contains(stdout.String(), "summary") {
			t.Errorf("records: %s", &stdout)
		}
		cmd.Process.Signal(syscall.SIGTERM)
		if cmd.Wait(); cmd.ProcessState.ExitCode() != 143 {
			t.Errorf("%v: %v\n%s", signal, cmd.ProcessState, &stderr)
		}
	}
}
