// Package check is the work behind `rawshake check`: it resolves targets, probes them again and again, and writes verdicts and
// figures.
package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/packetlog"
	"github.com/rawshake/rawshake/scan/target"
)

// Options say what a check does.
type Options struct {
	Probe    rawshake.Config
	Hosts    []Host
	Count    int           // probes of each endpoint; 0: until the context ends
	Period   time.Duration // between two probes of an endpoint
	Parallel int           // most probes at once

	JSON, Quiet, Color bool
	Trace              bool   // packets as lines on Stderr
	Pcap               string // file to write packets to; "": none

	Stdout, Stderr io.Writer
}

// lookups is how many names are resolved at a time.
const lookups = 16

// run is one check on its way.
type run struct {
	Options
	out      output
	prober   *rawshake.Prober
	packets  *packetlog.Log // nil: none
	places   chan struct{}  // one for each probe under way
	lookups  chan struct{}
	outcomes chan outcome
	totals   totals
	warned   bool // that there are no packets to show
}

// outcome is a verdict, or why there is none.
type outcome struct {
	host   int
	target netip.AddrPort // without an address when the name did not resolve
	name   string
	label  string
	seq    int
	result rawshake.Result
	err    error // the prober could not do its job
	dns    error // the name did not resolve
}

// Run checks until all verdicts are there or ctx ends, and writes them. The error carries the exit code; one without text means
// that the output has said everything.
func Run(ctx context.Context, o Options) (err error) {
	r := &run{
		Options:  o,
		out:      newOutput(o),
		places:   make(chan struct{}, o.Parallel),
		lookups:  make(chan struct{}, lookups),
		outcomes: make(chan outcome),
	}
	if o.Trace || o.Pcap != "" {
		r.Probe.Trace = func(p rawshake.TracePacket) { r.packets.Add(p.Time, p.Out, p.Data) }
	}
	if r.prober, err = rawshake.New(r.Probe); err != nil {
		return openError(o.Probe, err)
	}
	closePackets, err := r.openPackets() // now: without the privilege an old file stays as it is
	if err != nil {
		return errors.Join(err, r.prober.Close())
	}
	err = r.run(ctx)
	stats := r.prober.Stats()
	if closed := errors.Join(r.prober.Close(), closePackets()); err == nil {
		err = exit.With(exit.System, closed)
	}
	return r.finish(ctx, err, stats)
}

// openError words why there is no prober.
func openError(c rawshake.Config, err error) error {
	if c.Source.IsValid() && errors.Is(err, syscall.EADDRNOTAVAIL) {
		return exit.Usagef("-S %v is not an address of this host: `ip addr` lists those that are", c.Source)
	}
	return exit.With(exit.System, err)
}

// run probes and writes verdicts until there is nothing more to come.
func (r *run) run(parent context.Context) (err error) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	requests, forget := figuresRequests()
	defer forget()
	go r.feed(ctx)
	for {
		select {
		case o, more := <-r.outcomes:
			switch {
			case !more:
				return err
			case err != nil || (o.err != nil && parent.Err() != nil): // it stays pending
				continue
			}
			if err = r.take(o); err != nil {
				cancel()
			}
		case <-requests:
			r.progress()
		}
	}
}

// take counts and writes one outcome.
func (r *run) take(o outcome) error {
	if o.err != nil {
		return exit.With(exit.System, o.err)
	}
	if r.packets != nil {
		r.packets.Flush() // the packets of a verdict before the verdict
	}
	rec := o.record()
	if o.dns != nil {
		r.totals.unresolved++
	} else {
		r.warnConnect(o.result.Method)
		r.totals.verdict(endpointKey{o.host, o.target}, o.result)
	}
	return r.wrote(r.out.record(&rec, o.seq))
}

func (r *run) wrote(err error) error {
	if err != nil {
		return exit.With(exit.System, fmt.Errorf("writing results: %w", err))
	}
	return nil
}

// feed starts all probes, and ends the outcomes when the last is in.
func (r *run) feed(ctx context.Context) {
	defer close(r.outcomes)
	var work sync.WaitGroup
	defer work.Wait()
	for i, h := range r.Hosts {
		work.Go(func() { r.host(ctx, i, h, &work) })
	}
}

// host resolves one argument and probes its endpoints, round by round. A round that takes longer than the period delays the next:
// there is no burst to catch up.
func (r *run) host(ctx context.Context, i int, h Host, work *sync.WaitGroup) {
	space, err := r.resolve(ctx, h)
	if err != nil {
		r.unresolved(ctx, i, h, err)
		return
	}
	next := time.Now()
	for seq := 0; r.Count == 0 || seq < r.Count; seq++ {
		var begun uint64
		for wait(ctx, next) && begun < space.Size() && r.place(ctx) {
			at := space.At(begun)
			o := outcome{host: i, target: at, name: h.nameOf(at.Port()), label: h.line.Label, seq: seq}
			r.totals.begin(endpointKey{i, at}, o.name)
			work.Go(func() { r.probe(ctx, o) })
			begun++
		}
		if begun < space.Size() {
			if seq == 0 {
				r.totals.miss(space.Size() - begun)
			}
			return
		}
		next = later(next.Add(r.Period), time.Now())
	}
}

// resolve lets only names wait for each other.
func (r *run) resolve(ctx context.Context, h Host) (*target.Space, error) {
	if h.space == nil {
		r.lookups <- struct{}{}
		defer func() { <-r.lookups }()
	}
	return h.resolve(ctx)
}

// place waits for a free place among the probes under way.
func (r *run) place(ctx context.Context) bool {
	select {
	case r.places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *run) probe(ctx context.Context, o outcome) {
	o.result, o.err = r.prober.Probe(ctx, o.target)
	r.outcomes <- o // a reader that is slow holds back the next probes
	<-r.places
}

func (r *run) unresolved(ctx context.Context, i int, h Host, err error) {
	if ctx.Err() != nil {
		r.totals.miss(h.size())
		return
	}
	for port := range h.ports().All() {
		r.outcomes <- outcome{host: i, target: netip.AddrPortFrom(netip.Addr{}, port), name: h.nameOf(port), label: h.line.Label, dns: err}
	}
}

// finish writes the figures and chooses the exit code.
func (r *run) finish(ctx context.Context, failed error, stats rawshake.Stats) error {
	signal, interrupted := exit.BySignal(ctx)
	if failed == nil {
		failed = r.summary(interrupted)
	}
	if stats.RingDrops > 0 {
		r.out.note("rawshake check: our receive ring dropped %d packets; probes asked once more: %d; without a verdict (reason own-loss): %d",
			stats.RingDrops, stats.Requeued, r.totals.ownLoss)
	}
	switch {
	case failed != nil:
		return failed
	case interrupted:
		return exit.Quietly(signal.Code())
	}
	return exit.Quietly(r.totals.code())
}

// progress tells people how far it is.
func (r *run) progress() {
	if r.Count == 1 {
		r.out.note("%v", &r.totals)
		return
	}
	r.out.figures(r.totals.summaries(now(), every))
}

func every(*endpoint) bool { return true }

// summary writes the figures of repeated probes and of those that were interrupted, and one line about many targets.
func (r *run) summary(interrupted bool) error {
	wanted := (*endpoint).unsettled
	if r.Count != 1 {
		wanted = every
	}
	if err := r.out.summaries(r.totals.summaries(now(), wanted)); err != nil {
		return exit.With(exit.System, fmt.Errorf("writing the summary: %w", err))
	}
	many := r.Count == 1 && !r.JSON && !r.Quiet && uint64(len(r.totals.endpoints))+r.totals.unresolved > 1
	switch {
	case interrupted:
		r.out.note("interrupted after %v", &r.totals)
	case many:
		r.out.note("%v", &r.totals)
	}
	return nil
}
