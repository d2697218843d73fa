//go:build linux && !android

package main

import (
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
			contains(t, o.stderr, "output "+path+": no space left on device: free some space, then go on with --resume", "to go on: rawshake scan --resume ")
			readScan(t, readFile(t, dir, "y.jsonl")) // is whole
		}

		dir := t.TempDir()
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
