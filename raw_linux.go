//go:build linux && !android && !rawshake_connect

package rawshake

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"runtime"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/raw"
)

// hasRaw tells that this platform has the raw engine.
const hasRaw = true

// sourcePorts is how many source ports a prober owns, and so how many probes of one target may be on the wire at once. Each
// costs two descriptors, so the desks share them.
const sourcePorts = match.MaxPorts

// ringFrames is how many packets a desk's receive ring holds: 20 ms' worth at the highest rate of checks, and 1 MiB, which stays in
// the processor's caches as the ring goes round.
const ringFrames = 4096

// rawBackend probes with crafted packets.
type rawBackend struct {
	front   *engine.Front
	limit   int
	timeout time.Duration
}

func openRaw(c Config) (backend, error) {
	plan, err := c.plan()
	if err != nil {
		return nil, err
	}
	desks, ports := split(c)
	kernels, err := engine.OpenKernels(engine.KernelConfig{
		Source:    c.Source.Unmap(),
		Interface: c.Interface,
		Mark:      c.Mark,
		Ports:     raw.PortRange(c.SourcePorts),
		NumPorts:  ports,
		Link:      c.Layer == LayerEthernet,
		Frames:    ringFrames,
		Logger:    c.Logger,
	}, desks)
	if err != nil {
		return nil, err
	}
	var wires []engine.Wire
	var cfgs []engine.Config
	for _, k := range kernels {
		wires = append(wires, k)
		cfgs = append(cfgs, engineConfig(c, plan, k.Ports(), desks))
	}
	front, err := engine.NewFront(cfgs, wires)
	if err != nil {
		for _, k := range kernels {
			k.Close()
		}
		return nil, err
	}
	return &rawBackend{front: front, limit: c.maxInFlight(), timeout: c.timeout()}, nil
}

// needsPrivilege reports whether there are no raw sockets because we may not have them.
func needsPrivilege(err error) bool {
	var refused *raw.PrivilegeError
	return errors.As(err, &refused)
}

// split chooses how many desks the engine has, and how many source ports each: a desk for each processor, unless the limits are
// so small, or the rate so low, that they are better kept in one place.
func split(c Config) (desks, ports int) {
	ports = sourcePorts
	if c.SourcePorts.First != 0 {
		ports = min(ports, int(c.SourcePorts.Last-c.SourcePorts.First)+1)
	}
	desks = max(1, min(runtime.GOMAXPROCS(0), 4, ports/8))
	if c.Rate > 0 || c.Trace != nil || c.maxInFlight() < 1024 {
		desks = 1
	}
	return desks, ports / desks
}

func engineConfig(c Config, plan match.Plan, ports []uint16, desks int) engine.Config {
	e := engine.Config{
		Plan: plan, Ports: ports, Limit: min(c.maxInFlight()/desks, match.MaxSlots),
		TTL: c.TTL, TOS: c.TOS, Style: c.Options,
	}
	if len(c.Allow) > 0 {
		e.Allow = c.allows
	}
	if c.Rate > 0 {
		e.Pacer = engine.NewPace(c.Rate)
	}
	if c.Trace != nil {
		e.Trace = func(at time.Time, out bool, data []byte) { c.Trace(TracePacket{Time: at, Out: out, Data: data}) }
	}
	return e
}

func (b *rawBackend) probe(ctx context.Context, target netip.AddrPort, timeout time.Duration) (r Result, err error) {
	err = b.front.Probe(ctx, target, timeout, func(v *engine.Verdict) { fill(&r, v) })
	return r, err
}

func (b *rawBackend) probeAll(ctx context.Context, targets iter.Seq[netip.AddrPort]) iter.Seq2[Result, error] {
	return results(b.front.All(ctx, targets, b.timeout, b.limit), fill)
}

func (b *rawBackend) stats() Stats {
	c, pending := b.front.Counters()
	return Stats{
		SYNSent: c.SYNSent, RSTSent: c.RSTSent, Received: c.Received, Answers: c.Answers, Duplicates: c.Duplicates,
		Ignored: c.Ignored, RingDrops: c.RingDrops, SendErrors: c.SendErrors, Requeued: c.Requeued, InFlight: pending,
		Open: c.Verdicts[Open], Closed: c.Verdicts[Closed], Unreachable: c.Verdicts[Unreachable],
		Filtered: c.Verdicts[Filtered], Unsent: c.Verdicts[Unsent],
	}
}

func (b *rawBackend) close() error { return b.front.Close() }

// fill translates an engine's verdict.
func fill(r *Result, v *engine.Verdict) {
	options := v.Options()
	r.Target, r.State, r.Reason, r.RTT, r.Attempt = v.Target, v.State, v.Reason, v.Took(), v.Attempt
	r.Source, r.Method, r.Time = v.Source, MethodRaw, v.When()
	r.Reply = Reply{
		TTL: v.TTL, Window: v.Window, MSS: craft.ParseOptions(options).MSS,
		ICMPType: v.ICMPType, ICMPCode: v.ICMPCode, Responder: v.Responder, MTU: v.MTU,
	}
	r.Reply.nOptions = uint8(copy(r.Reply.options[:], options))
	if v.Errno != 0 {
		r.Err = v.Errno
	}
}
