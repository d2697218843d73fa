package rawshake

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"time"

	"github.com/rawshake/rawshake/internal/connect"
)

// connectBackend probes with connect(2), where there are no raw sockets or the caller asked for it: see [MethodConnect].
type connectBackend struct {
	prober  *connect.Prober
	timeout time.Duration // of a sweep's targets
}

// openConnect returns a backend that probes with connect(2). What the platform cannot do of the Config is an error.
func openConnect(c Config) (backend, error) {
	if c.Options != MSSOnly {
		return nil, errors.New("Config.Options: the SYN of method connect is the kernel's; leave the field zero, or use MethodRaw")
	}
	if c.Layer == LayerEthernet {
		return nil, errors.New("Config.Layer: the packets of method connect are the kernel's; leave the field zero, or use MethodRaw")
	}
	config := connect.Config{
		Source: c.Source, SourcePorts: connect.PortRange(c.SourcePorts), Interface: c.Interface,
		TTL: c.TTL, TOS: c.TOS, Mark: c.Mark, Rate: c.Rate, Limit: c.maxInFlight(),
	}
	if len(c.Allow) > 0 {
		config.Allow = c.allows
	}
	p, err := connect.Open(config)
	if err != nil {
		return nil, err
	}
	return &connectBackend{prober: p, timeout: c.timeout()}, nil
}

func (b *connectBackend) probe(ctx context.Context, target netip.AddrPort, timeout time.Duration) (r Result, err error) {
	v, err := b.prober.Probe(ctx, target, timeout)
	if err == nil {
		fillConnect(&r, v)
	}
	return r, err
}

func (b *connectBackend) probeAll(ctx context.Context, targets iter.Seq[netip.AddrPort]) iter.Seq2[Result, error] {
	return results(b.prober.All(ctx, targets, b.timeout), fillConnect)
}

// fillConnect translates a verdict of connect(2).
func fillConnect(r *Result, v connect.Verdict) {
	*r = Result{
		Target: v.Target, State: v.State, Reason: v.Reason, RTT: v.RTT, Attempt: v.Attempt,
		Source: v.Source, Method: MethodConnect, Time: v.Time, Err: v.Err,
	}
}

func (b *connectBackend) stats() Stats {
	c := b.prober.Counters()
	n := &c.Verdicts
	return Stats{
		SYNSent: c.SYNSent, RSTSent: c.RSTSent, SendErrors: c.SendErrors, InFlight: c.InFlight,
		Answers: n[Open] + n[Closed] + n[Unreachable],
		Open:    n[Open], Closed: n[Closed], Unreachable: n[Unreachable], Filtered: n[Filtered], Unsent: n[Unsent],
	}
}

func (b *connectBackend) close() error { return b.prober.Close() }
