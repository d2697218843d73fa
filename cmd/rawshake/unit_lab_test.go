//go:build linux && !android

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/lab"
)

// unitScript is what the systemd unit has a shell do, for an instance whose targets are in list.
func unitScript(t *testing.T, list string) string {
	t.Helper()
	unit := readFile(t, filepath.Join("..", "..", "contrib", "systemd"), "rawshake-scan@.service")
	_, script, found := strings.Cut(unit, "\nExecStart=/bin/sh -c '")
	script, _, ended := strings.Cut(script, "'\n")
	if !found || !ended {
		t.Fatalf("no script in\n%s", unit)
	}
	return strings.NewReplacer("\\\n", " ", "$$", "$", "%%", "%", "/etc/rawshake/%i.targets", list, "/usr/local/bin/rawshake", fmt.Sprintf("/proc/%d/exe", os.Getpid())).Replace(script) // see self
}

// TestLabUnit: a start of the unit goes on with the scan that the one before has left, or begins another where that is refused.
func TestLabUnit(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		dir, list := t.TempDir(), file(t, "list", "10.128.0.0/22:80\n")
		start := func() (cmd *exec.Cmd, stderr *bytes.Buffer) {
			cmd, _, stderr = command(t, []string{"STATE_DIRECTORY=" + dir})
			cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", unitScript(t, list)}
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return cmd, stderr
		}
		stopped := func() { // as systemd does it: a signal for everything that the unit has started
			t.Helper()
			cmd, stderr := start()
			deadline := time.Now().Add(10 * time.Second)
			for !begunResult(dir) && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond)
			}
			syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
			cmd.Wait()
			contains(t, stderr.String(), "INCOMPLETE: ")
		}
		whole := func(says string) {
			t.Helper()
			cmd, stderr := start()
			if cmd.Wait(); cmd.ProcessState.ExitCode() != 0 {
				t.Errorf("%v\n%s", cmd.ProcessState, stderr)
			}
			contains(t, stderr.String(), says)
		}
		stopped()
		first := strings.Split(entries(t, dir), " ")
		whole("going on after ")
		if got := entries(t, dir); len(first) != 2 || got != first[0] || first[1] != first[0]+".checkpoint" {
			t.Fatalf("there are %s, were %q", got, first)
		}
		if s := readScan(t, readFile(t, dir, first[0])); !s.run.Complete || len(s.records) != 1024 {
			t.Errorf("%+v", s.run)
		}

		os.Remove(filepath.Join(dir, first[0]))
		stopped()
		left := strings.Split(entries(t, dir), " ")[0]
		if err := os.WriteFile(list, []byte("10.128.0.0/24:80\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // results have names of whole seconds
		whole("the targets or options are not those that the scan began with")
		got := strings.Split(entries(t, dir), " ")
		if len(got) != 3 || got[0] != left || got[1] != left+".checkpoint.refused" {
			t.Fatalf("there are %q", got)
		}
		if s := readScan(t, readFile(t, dir, got[2])); !s.run.Complete || len(s.records) != 256 {
			t.Errorf("%+v", s.run)
		}
	})
}

// begunResult reports whether a result in dir has records.
func begunResult(dir string) bool {
	results, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	for _, r := range results {
		if info, err := os.Stat(r); err == nil && info.Size() > 1000 {
			return true
		}
	}
	return false
}
