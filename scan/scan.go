//go:build linux && !android

package scan

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/raw"
	"github.com/rawshake/rawshake/scan/pace"
)

// Scan is one pass over the targets of a Config. It is for one Run.
type Scan struct {
	cfg     Config
	lanes   []*lane
	wires   []engine.Wire
	results chan delivery
	free    chan []engine.Verdict
	wanted  chan struct{} // a checkpoint
	limiter *pace.Limiter
	hosts   *pace.HostLimiter // nil: hosts and networks have no limits of their own
	before  Totals            // of earlier sessions
	opened  time.Time
	outages outages
	used    atomic.Bool // Run or Close has been called
}

// Handler takes what a scan finds out. Its methods are called one at a time, on the goroutine of Run; while one blocks, the scan
// slows down and in the end takes no new targets, but loses nothing.
type Handler interface {
	// Results takes verdicts; the slice is valid during the call. An error ends the scan.
	Results([]Verdict) error
	// Checkpoint takes how far the scan is: exactly those targets are done whose verdicts were handed over before. An error
	// ends the scan.
	Checkpoint(State) error
}

// portsPerLane is how many source ports a lane owns: attempts of one target leave from different ones.
const portsPerLane = 8

// New opens the sockets of a scan. Without CAP_NET_RAW, errors.Is(err, os.ErrPermission) holds and the text names the fix.
func New(c Config) (_ *Scan, err error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	s := &Scan{
		cfg:     c,
		results: make(chan delivery, 16),
		free:    make(chan []engine.Verdict, 16),
		wanted:  make(chan struct{}, 1),
		limiter: pace.NewLimiter(c.rate()),
		hosts:   c.hostLimiter(),
		opened:  time.Now(),
		outages: outages{logger: c.Logger},
	}
	if c.Resume != nil {
		s.before = c.Resume.Totals
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	open := c.openWires
	if open == nil {
		open = c.openKernels
	}
	wires, ports, err := open(c.lanes())
	s.wires = wires
	for i := 0; i < len(wires) && err == nil; i++ {
		err = s.openLane(i, wires[i], ports[i])
	}
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	return s, nil
}

func (s *Scan) openLane(i int, wire engine.Wire, ports []uint16) (err error) {
	c := s.cfg
	n := c.lanes()
	l := &lane{
		wire: wire, paced: c.rate() > 0, timeout: c.timeout(), keep: c.Keep, results: s.results, free: s.free, outages: &s.outages, patience: c.outage(),
		pace: &pacer{limiter: s.limiter},
	}
	if l.feed, err = newFeed(c, i, n, s.hosts); err != nil {
		return err
	}
	plan, err := c.plan()
	if err != nil {
		return err
	}
	e := engine.Config{
		Plan: plan, Ports: ports, Limit: c.inFlight() / n, Once: true, TTL: c.TTL, TOS: c.TOS, Style: c.Options, Allow: c.Scope, Pacer: l.pace,
		OnLoss: l.pace.loss,
	}
	if c.outage() > 0 {
		e.Return, e.Ways = l.feed.giveBack, c.ways()
	}
	if l.feed.hosts != nil {
		e.Again = l.feed.again
	}
	if c.Trace != nil {
		e.Trace = c.trace
	}
	if l.shard, err = engine.New(e, wire, l); err != nil {
		return err
	}
	l.pace.base = time.Since(s.opened) - l.shard.Now()
	l.feed.base = l.pace.base
	s.lanes = append(s.lanes, l)
	return nil
}

// openKernels opens the wires of n lanes, for the families that there are targets of.
func (c Config) openKernels(n int) (wires []engine.Wire, ports [][]uint16, err error) {
	four, six := c.Targets.Families()
	kernels, err := engine.OpenKernels(engine.KernelConfig{
		Source: c.Source.Unmap(), Interface: c.Interface, Mark: c.Mark, Ports: raw.PortRange(c.SourcePorts), NumPorts: portsPerLane,
		Only4: four && !six, Only6: six && !four, Link: c.Layer != rawshake.LayerIP && c.Mark == 0, Bulk: true, Frames: c.ringFrames(n),
		Logger: c.Logger,
	}, n)
	for _, k := range kernels {
		wires, ports = append(wires, k), append(ports, k.Ports())
	}
	return wires, ports, err
}

// Run scans until every target has its verdict, or ctx ends, or the handler fails. When ctx ends, nothing is sent any more, and Run
// hands over what was found and a last Checkpoint, and returns the cause. It ends likewise, with an [*OutageError], when our side of
// the network was away for longer than Config.Outage. The sockets are closed when it returns.
func (s *Scan) Run(ctx context.Context, h Handler) error {
	if s.used.Swap(true) {
		return errors.New("scan: it was run or closed before: make another one with New")
	}
	defer s.close()
	ctx, s.outages.fail = context.WithCancelCause(ctx)
	defer s.outages.fail(nil)
	var wg sync.WaitGroup
	for i, l := range s.lanes {
		wg.Go(func() { l.run(i) })
	}
	err := s.collect(ctx, h)
	s.stop()
	go func() {
		wg.Wait()
		close(s.results)
	}()
	for range s.results { // the handler has failed
	}
	return err
}

// stop has all lanes end. What they deliver last says how far they are, and they send nothing after it.
func (s *Scan) stop() {
	for _, l := range s.lanes {
		l.stop.Store(true)
		l.wire.Wake()
	}
}

// Close closes the sockets of a Scan that is not to be run after all. Once Run was called it does nothing: cancel the context of Run to
// end it. It may be called more than once, and by any goroutine.
func (s *Scan) Close() error {
	if s.used.Swap(true) {
		return nil
	}
	return s.close()
}

// WantCheckpoint has Run hand over a Checkpoint soon. Any goroutine may call it while Run runs.
func (s *Scan) WantCheckpoint() {
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}

// Totals returns the counters, those of the sessions before a resume included. Any goroutine may call it.
func (s *Scan) Totals() Totals {
	t := s.before
	var sending span
	for _, l := range s.lanes {
		t.add(l.totals())
		sending = sending.with(l.sending())
	}
	t.SendTime += sending.length()
	return t
}

// Targets returns how many targets the scan has, those that were done before a resume included.
func (s *Scan) Targets() uint64 { return s.cfg.shard().Size(s.cfg.Targets.Size()) }

// InFlight returns how many targets wait for an answer.
func (s *Scan) InFlight() (n int) {
	for _, l := range s.lanes {
		_, p := l.shard.Counters()
		n += p
	}
	return n
}

func (s *Scan) close() error {
	var err error
	for _, w := range s.wires {
		err = errors.Join(err, w.Close())
	}
	s.wires = nil
	return err
}

// Backoff tells how the scan slowed down because this machine lost packets.
func (s *Scan) Backoff() pace.Backoff { return s.limiter.Backoff() }

// Rate returns the packets a second that are granted now; +Inf if there is no limit.
func (s *Scan) Rate() float64 { return s.limiter.Rate() }

func (c Config) trace(at time.Time, out bool, data []byte) {
	c.Trace(rawshake.TracePacket{Time: at, Out: out, Data: data})
}
