//go:build linux && !android

package pass

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"sync"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/term"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/pace"
	"github.com/rawshake/rawshake/scan/progress"
	"golang.org/x/sys/unix"
)

func (r *run) newReporter() *progress.Reporter {
	r.Progress = r.Progress.Resolve(term.IsTerminal(r.Stderr), os.Getenv)
	color, _ := term.Color("auto", r.Stderr, os.Getenv) // "auto" is never refused
	return progress.NewReporter(progress.Config{
		Out: r.Stderr, Snapshot: r.snapshot, Mode: r.Progress, Color: color, Width: func() int { return width(r.Stderr) },
	})
}

// width returns the columns of a terminal, 0 if they are unknown.
func width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// typed reports whether what comes from r is typed on a terminal; /dev/null is none.
func typed(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// stdout is where records go. On the terminal that has the bar, the bar makes room for them.
func (r *run) stdout() io.Writer {
	if r.Progress == progress.ModeBar && term.IsTerminal(r.Stdout) {
		return r.reporter.Above(r.Stdout)
	}
	return r.Stdout
}

func (r *run) snapshot() progress.Snapshot {
	t := r.scan.Totals()
	note := r.slowed()
	if what := r.scan.Outage(); what != nil {
		note = "waits: " + what.Error()
	}
	t.Verdicts[match.Unsent] += r.unresolved.count
	return progress.Snapshot{
		Total: r.scan.Targets() + r.unresolved.count, Verdicts: t.Verdicts, Sent: t.SYNSent, InFlight: uint64(r.scan.InFlight()), Timeout: r.Timeout,
		RingDrops: t.RingDrops, SendErrors: t.SendErrors, Note: note,
	}
}

// slowed says that the scan is slower than it was asked to be.
func (r *run) slowed() string {
	now := r.scan.Rate()
	if now >= r.plan.rate || math.IsInf(now, 1) {
		return ""
	}
	return fmt.Sprintf("slowed to %s packets/s: this machine loses packets", pace.FormatRate(math.Round(now)))
}

// around starts what goes on beside the scan until ctx ends.
func (r *run) around(ctx context.Context, requests <-chan struct{}) *sync.WaitGroup {
	var ended sync.WaitGroup
	ended.Go(func() { r.reporter.Run(ctx) })
	ended.Go(func() {
		for {
			select {
			case <-requests:
				r.reporter.Now()
			case <-ctx.Done():
				return
			}
		}
	})
	return &ended
}
