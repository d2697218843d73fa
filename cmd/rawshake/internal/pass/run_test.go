//go:build linux && !android

package pass

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
	"github.com/rawshake/rawshake/raw"
	"github.com/rawshake/rawshake/scan/filter"
	"github.com/rawshake/rawshake/scan/output"
	"github.com/rawshake/rawshake/scan/progress"
)

// loopbackOptions ask one port of loopback that is closed.
func loopbackOptions(t *testing.T) Options {
	t.Helper()
	if err := raw.CheckPrivilege(); err != nil {
		t.Skip(err)
	}
	outputs, err := output.ParseSpecs([]string{filepath.Join(t.TempDir(), "x.jsonl")}, "")
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Targets: targets.Input{Args: []string{"127.0.0.1:9"}}, Rate: "10k", MaxInFlight: 100, Timeout: time.Second, Attempts: 1,
		Show: filter.All, Outputs: outputs, SaveEvery: time.Second, Progress: progress.ModeOff, Stdout: io.Discard, Stderr: io.Discard,
	}
}

// openFiles returns what this process has open, sockets included.
func openFiles(t *testing.T) map[string]bool {
	t.Helper()
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			all[to] = true
		}
	}
	return all
}

// TestNothingStaysOpen: a pass that does not begin leaves no socket and no file open, like one that has gone through.
func TestNothingStaysOpen(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none", "x")
	for name, c := range map[string]struct {
		change func(*Options)
		want   exit.Code
	}{
		"goes through":  {func(*Options) {}, exit.OK},
		"no outputs":    {func(o *Options) { o.Outputs[0].Path = missing }, exit.System},
		"no packets":    {func(o *Options) { o.Pcap = missing }, exit.System},
		"full packets":  {func(o *Options) { o.Pcap = "/dev/full" }, exit.System},
		"no checkpoint": {func(o *Options) { o.Pcap, o.Checkpoint = filepath.Join(t.TempDir(), "x.pcapng"), missing }, exit.System},
	} {
		o := loopbackOptions(t)
		c.change(&o)
		var stderr bytes.Buffer
		o.Stderr = &stderr
		before := openFiles(t)
		if err := Run(t.Context(), o); exit.Of(err) != c.want {
			t.Errorf("%s: %v\n%s", name, err, &stderr)
		}
		after := openFiles(t)
		maps.DeleteFunc(after, func(to string, _ bool) bool { return before[to] })
		if len(after) > 0 {
			t.Errorf("%s: these stay open: %v", name, after)
		}
	}
}
