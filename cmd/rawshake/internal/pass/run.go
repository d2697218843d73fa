//go:build linux && !android

package pass

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	"github.com/rawshake/rawshake/scan/checkpoint"
	"github.com/rawshake/rawshake/scan/output"
	"github.com/rawshake/rawshake/scan/progress"
)

// run is one pass on its way.
type run struct {
	Options
	set        *targets.Set
	unresolved unresolved
	plan       plan
	started    time.Time   // when the scan began, if need be before a resume
	fail       func(error) // ends the scan
	scan       *scan.Scan
	packets    *packets // nil: none
	outputs    *output.Set
	held       []*checkpoint.File // that no other program may use meanwhile
	saver      *saver             // nil: none
	reporter   *progress.Reporter
}

// Run scans until every target has its verdict or ctx ends. The error carries the exit code; one without text means that the
// output has said everything.
func Run(ctx context.Context, o Options) error {
	requests := acceptSignals()
	if o.Resume != nil && o.Targets.ReadsStdin() && typed(o.Targets.Stdin) {
		fmt.Fprintln(o.Stderr, "the targets of this scan came by standard input: type them again and then Ctrl-D, or pipe them in")
	}
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
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r := &run{Options: o, set: set, unresolved: newUnresolved(set.Unresolved(), o.Order.Shard), plan: p, started: time.Now(), fail: fail}
	r.reporter = r.newReporter()
	if err := r.open(); err != nil {
		r.close()
		return err
	}
	return r.finish(r.pass(ctx, requests))
}

// boundMemory keeps the memory of a scan near what it needs. There is next to no garbage, unless the outputs are slower than the
// answers: then it is collected early, but not so early that the growth of the tables alone has the collector run again and again.
// What reading the targets left behind goes back to the system.
func boundMemory() {
	debug.SetGCPercent(50)
	debug.FreeOSMemory()
}

// open opens everything: sockets first, so that a missing privilege leaves files as they are, and the checkpoint before the outputs,
// which may be those of another scan that it tells of. It is saved last, before any packet leaves.
func (r *run) open() (err error) {
	if r.Resume != nil {
		r.started = r.Resume.Started
	}
	if r.scan, err = scan.New(r.config()); err != nil {
		return r.openError(err)
	}
	file, err := r.holdCheckpoint()
	if err != nil {
		return err
	}
	if err := r.openOutputs(); err != nil {
		return exit.With(exit.System, err)
	}
	if r.Pcap != "" {
		if r.packets, err = openPackets(r.Pcap, r.Resume != nil, r.fail); err != nil {
			return exit.With(exit.System, err)
		}
	}
	if file == nil {
		return nil
	}
	r.saver = newSaver(r, file)
	return exit.With(exit.System, r.saver.begin())
}

// close leaves what was opened of a pass that does not begin.
func (r *run) close() {
	if r.scan != nil {
		r.scan.Close()
	}
	if r.outputs != nil {
		r.outputs.Close()
	}
	if r.packets != nil {
		r.packets.close()
	}
	r.letGo(false)
}

// openOutputs opens the outputs. The first records are those of targets without an address.
func (r *run) openOutputs() (err error) {
	meta := output.Meta{
		Version: r.Version, Args: r.CommandLine, Start: r.started, Method: "raw",
		Services: r.Targets.Ports.String(), Ports: r.Targets.Ports.Len(), Color: r.Color, Stdout: r.stdout(),
	}
	if r.Resume != nil {
		r.outputs, err = output.Resume(r.Outputs, meta, r.Resume.Outputs)
		return err
	}
	if r.outputs, err = output.Open(r.Outputs, meta); err != nil {
		return err
	}
	return r.writeUnresolved()
}

// config is what the package scan is told.
func (r *run) config() scan.Config {
	show := r.Show & r.Filter.States()
	c := scan.Config{
		Targets: r.set.Space, Seed: r.Order.Seed, Shard: r.Order.Shard,
		Rate: r.plan.rate, HostRate: r.plan.hostRate, NetRate: r.plan.netRate, MaxInFlight: r.MaxInFlight,
		Timeout: r.Timeout, Attempts: r.Attempts, Outage: r.Outage,
		Source: r.Source, Interface: r.Interface, SourcePorts: r.SourcePorts, TTL: r.TTL, TOS: r.TOS, Mark: r.Mark, Options: r.Style,
		Keep:   func(s match.State) bool { return show.Has(s) },
		Logger: slog.New(slog.NewTextHandler(r.reporter, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Resume: stateOf(r.Resume),
	}
	if math.IsInf(c.Rate, 1) {
		c.Rate = -1
	}
	if r.SendIP {
		c.Layer = rawshake.LayerIP
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

// pass runs the scan, with everything around it. It returns the signal that has ended it, if one has, and what has failed.
func (r *run) pass(ctx context.Context, requests <-chan struct{}) (by *exit.Signal, failed error) {
	around, stop := context.WithCancel(context.Background())
	ended := r.around(around, requests)
	r.announce()
	failed = r.scan.Run(ctx, newSink(r))
	if s, ok := exit.BySignal(ctx); ok && errors.As(failed, &s) {
		by, failed = &s, nil
	}
	if r.saver != nil {
		if unsaved := r.saver.end(); by != nil {
			failed = unsaved
		}
	}
	stop()
	ended.Wait()
	if r.packets != nil {
		failed = cmp.Or(failed, r.packets.close())
	}
	return by, failed
}
