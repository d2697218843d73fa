//go:build linux && !android

package scan

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
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
	before  Totals // of earlier sessions
	opened  time.Time
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
		opened:  time.Now(),
	}
	if c.Resume != nil {
		s.before = c.Resume.Totals
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	for i := range c.lanes() {
		if err := s.openLane(i); err != nil {
			return nil, fmt.Errorf("scan: %w", err)
		}
	}
	return s, nil
}

func (s *Scan) openLane(i int) error {
	c := s.cfg
	open := c.openWire
	if open == nil {
		open = c.openKernel
	}
	wire, ports, err := open(i)
	if err != nil {
		return err
	}
	s.wires = append(s.wires, wire)
	n := c.lanes()
	l := &lane{
		wire: wire, timeout: c.timeout(), keep: c.Keep, results: s.results, free: s.free,
		pace: &pacer{limiter: s.limiter, base: time.Since(s.opened)},
	}
	if l.feed, err = newFeed(c, i, n); err != nil {
		return err
	}
	plan, err := c.plan()
	if err != nil {
		return err
	}
	e := engine.Config{
		Plan: plan, Ports: ports, Limit: c.inFlight() / n, Once: true, FromFirst: c.timeout(), TTL: c.TTL, TOS: c.TOS, Style: c.Options, Allow: c.Scope, Pacer: l.pace,
		OnLoss: l.pace.loss,
	}
	if l.feed.hosts != nil {
		e.Again = func(now time.Duration, to netip.Addr) { l.feed.hosts.Charge(int64(now), to) }
	}
	if c.Trace != nil {
		e.Trace = c.trace
	}
	l.shard, err = engine.New(e, wire, l)
	s.lanes = append(s.lanes, l)
	return err
}

func (c Config) openKernel(int) (engine.Wire, []uint16, error) {
	k, err := engine.OpenKernel(engine.KernelConfig{
		Source: c.Source.Unmap(), Interface: c.Interface, Mark: c.Mark, Ports: raw.PortRange(c.SourcePorts), NumPorts: portsPerLane,
		Packet: c.Mark == 0, Bulk: true, Frames: c.RingFrames,
	})
	if err != nil {
		return nil, nil, err
	}
	return k, k.Ports(), nil
}

// Run scans until every target has its verdict, or ctx ends, or the handler fails. When ctx ends it hands over a last
// Checkpoint and returns the cause. The sockets are closed when it returns.
func (s *Scan) Run(ctx context.Context, h Handler) error {
	defer s.close()
	var wg sync.WaitGroup
	for i, l := range s.lanes {
		wg.Go(func() { l.run(i) })
	}
	err := s.collect(ctx, h)
	for _, l := range s.lanes {
		l.stop.Store(true)
		l.wire.Wake()
	}
	go func() {
		wg.Wait()
		close(s.results)
	}()
	for range s.results { // what comes after the last checkpoint is asked again
	}
	return err
}

// WantCheckpoint has Run hand over a Checkpoint soon. Any goroutine may call it while Run runs.
func (s *Scan) WantCheckpoint() {
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}

// collect hands over what the lanes deliver, until all have ended.
func (s *Scan) collect(ctx context.Context, h Handler) error {
	c := collector{scan: s, handler: h, states: make([]*LaneState, len(s.lanes)), ended: make([]bool, len(s.lanes))}
	done := ctx.Done()
	for {
		select {
		case d := <-s.results:
			if err := c.take(d); err != nil {
				return err
			}
		case <-s.wanted:
			c.begin()
		case <-done:
			done = nil
			c.last = true
			c.begin()
		}
		switch {
		case c.over():
			return context.Cause(ctx)
		case c.finished():
			return nil
		}
	}
}

// collector puts together what lanes deliver. While it gathers a snapshot, what comes from a lane after the lane's own part
// waits until all parts are there.
type collector struct {
	scan      *Scan
	handler   Handler
	gathering bool
	last      bool // the snapshot that is gathered, or the next one, ends the scan
	given     bool // the last one was handed over
	states    []*LaneState
	ended     []bool
	later     []delivery
}

// begin asks every lane for its part of a snapshot.
func (c *collector) begin() {
	if c.gathering {
		return
	}
	c.gathering = true
	for i, l := range c.scan.lanes {
		if !c.ended[i] {
			c.states[i] = nil
			l.ask.Add(1)
			l.wire.Wake()
		}
	}
}

// take handles one delivery.
func (c *collector) take(d delivery) error {
	if c.gathering && c.states[d.lane] != nil {
		c.later = append(c.later, d)
		return nil
	}
	if err := c.hand(d); err != nil {
		return err
	}
	if !c.gathering {
		return nil
	}
	for _, s := range c.states {
		if s == nil {
			return nil
		}
	}
	return c.complete()
}

// hand passes verdicts on and notes how far the lane is.
func (c *collector) hand(d delivery) error {
	if d.state != nil {
		c.states[d.lane] = d.state
	}
	c.ended[d.lane] = c.ended[d.lane] || d.ended
	if len(d.verdicts) == 0 {
		return nil
	}
	err := c.handler.Results(d.verdicts)
	select {
	case c.scan.free <- d.verdicts:
	default:
	}
	return err
}

// complete hands the snapshot over, and then what waited for that.
func (c *collector) complete() error {
	c.gathering = false
	state := State{Totals: c.scan.before}
	for _, s := range c.states {
		state.Lanes = append(state.Lanes, *s)
		state.Totals.add(s.totals)
	}
	if err := c.handler.Checkpoint(state); err != nil || c.last {
		c.given = c.last
		return err
	}
	later := c.later
	c.later = nil
	for _, d := range later {
		if err := c.take(d); err != nil {
			return err
		}
	}
	return nil
}

// over reports whether the last snapshot was handed over.
func (c *collector) over() bool {
	if c.last && !c.gathering && !c.given {
		c.begin()
	}
	return c.given
}

// finished reports whether every lane has ended and nothing is left to be handed over.
func (c *collector) finished() bool {
	for _, e := range c.ended {
		if !e {
			return false
		}
	}
	return !c.gathering && len(c.later) == 0
}

// Totals returns the counters, those of the sessions before a resume included. Any goroutine may call it.
func (s *Scan) Totals() Totals {
	t := s.before
	for _, l := range s.lanes {
		t.add(l.totals())
	}
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
