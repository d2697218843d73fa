//go:build linux && !android

package pass

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan"
	"github.com/rawshake/rawshake/scan/output"
	"github.com/rawshake/rawshake/scan/progress"
)

// run is one pass on its way.
type run struct {
	Options
	set      *targets.Set
	plan     plan
	started  time.Time // when the scan began, if need be before a resume
	scan     *scan.Scan
	packets  *packets // nil: none
	outputs  *output.Set
	saver    *saver // nil: none
	clock    sendClock
	reporter *progress.Reporter
}

// Run scans until every target has its verdict or ctx ends. The error carries the exit code; one without text means that the
// output has said everything.
func Run(ctx context.Context, o Options) error {
	requests := acceptSignals()
	set, err := o.Targets.Load(ctx)
	if err != nil {
		return err
	}
	p, err := newPlan(&o, set)
	if err != nil {
		return err
	}
	if o.DryRun {
		return p.show(o.Stdout)
	}
	if err := p.consent(); err != nil {
		return err
	}
	boundMemory()
	r := &run{Options: o, set: set, plan: p, started: time.Now()}
	r.reporter = r.newReporter()
	if err := r.open(); err != nil {
		return err
	}
	failed, err := r.pass(ctx, requests)
	return r.finish(ctx, failed, err)
}

// boundMemory keeps the memory of a scan near what it needs: its tables, which are made once and hold no pointers, so that collecting
// garbage early costs next to nothing. What reading the targets left behind goes back to the system.
func boundMemory() {
	debug.SetGCPercent(10)
	debug.FreeOSMemory()
}

// open opens everything: sockets first, so that a missing privilege leaves files as they are, and the checkpoint last, before any
// packet leaves.
func (r *run) open() (err error) {
	if r.Resume != nil {
		r.started, r.clock.before = r.Resume.Started, r.Resume.Run.SendTime
	} else if err := r.sparesUnfinished(); err != nil {
		return err
	}
	if r.scan, err = scan.New(r.config()); err != nil {
		return r.openError(err)
	}
	if err := r.openOutputs(); err != nil {
		return exit.With(exit.System, err)
	}
	if r.Pcap != "" {
		if r.packets, err = openPackets(r.Pcap, r.Resume != nil); err != nil {
			return exit.With(exit.System, err)
		}
	}
	if r.Checkpoint == "" {
		return nil
	}
	r.saver = newSaver(r)
	return exit.With(exit.System, r.saver.begin())
}

func (r *run) openOutputs() (err error) {
	meta := output.Meta{
		Version: r.Version, Args: r.CommandLine, Start: r.started, Method: "raw",
		Services: r.Targets.Ports.String(), Ports: r.Targets.Ports.Len(), Color: r.Color, Stdout: r.stdout(),
	}
	if r.Resume == nil {
		r.outputs, err = output.Open(r.Outputs, meta)
	} else {
		r.outputs, err = output.Resume(r.Outputs, meta, r.Resume.Outputs)
	}
	return err
}

// config is what the package scan is told.
func (r *run) config() scan.Config {
	show := r.Show & r.Filter.States()
	c := scan.Config{
		Targets: r.set.Space, Seed: r.Order.Seed, Shard: r.Order.Shard,
		Rate: r.plan.rate, HostRate: r.plan.hostRate, NetRate: r.plan.netRate, MaxInFlight: r.MaxInFlight,
		Timeout: r.Timeout, Attempts: r.Attempts,
		Source: r.Source, Interface: r.Interface, SourcePorts: r.SourcePorts, TTL: r.TTL, TOS: r.TOS, Mark: r.Mark, Options: r.Style,
		Keep:   func(s match.State) bool { return show.Has(s) },
		Logger: slog.New(slog.NewTextHandler(r.reporter, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Resume: stateOf(r.Resume),
	}
	if math.IsInf(c.Rate, 1) {
		c.Rate = -1
	}
	if r.set.Scope != nil {
		c.Scope = r.set.Scope.Contains
	}
	if r.Pcap != "" {
		c.Trace = func(p rawshake.TracePacket) { r.packets.add(p) }
	}
	return c
}

// openError words why there is no scan.
func (r *run) openError(err error) error {
	if r.Source.IsValid() && errors.Is(err, syscall.EADDRNOTAVAIL) {
		return exit.Usagef("-S %v is not an address of this host: `ip addr` lists those that are", r.Source)
	}
	return exit.With(exit.System, err)
}

// pass runs the scan, with everything around it. The second error is that of the last checkpoint.
func (r *run) pass(ctx context.Context, requests <-chan struct{}) (failed, unsaved error) {
	around, stop := context.WithCancel(context.Background())
	r.clock.start(r.scan.Totals().SYNSent)
	ended := r.around(around, requests)
	r.announce()
	failed = r.scan.Run(ctx, newSink(r))
	if r.saver != nil {
		unsaved = r.saver.end()
	}
	stop()
	ended.Wait()
	if r.packets != nil {
		unwritten := r.packets.close()
		if failed == nil {
			failed = unwritten
		}
	}
	return failed, unsaved
}
