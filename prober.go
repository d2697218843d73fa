package rawshake

import (
	"context"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// ErrClosed is returned by calls on a closed [Prober] and by those that were waiting when it was closed.
var ErrClosed = net.ErrClosed

// Prober probes targets. It is safe for concurrent use, and many may live in one process.
type Prober struct {
	cfg     Config
	backend backend

	closing atomic.Bool
	closed  chan struct{} // closed when the first Close has ended
}

// backend is a way to probe: the raw engine or connect(2). All methods are safe for concurrent use.
type backend interface {
	// probe returns the verdict on target within timeout; a timeout of zero or less is filtered at once.
	probe(ctx context.Context, target netip.AddrPort, timeout time.Duration) (Result, error)
	// probeAll yields a verdict for every target, as documented at Prober.ProbeAll.
	probeAll(ctx context.Context, targets iter.Seq[netip.AddrPort]) iter.Seq2[Result, error]
	stats() Stats
	close() error
}

// New opens the sockets of a Prober. Without CAP_NET_RAW on Linux, errors.Is(err, os.ErrPermission) holds and the text names
// the fix; see [Config.Method] for the alternatives.
func New(c Config) (*Prober, error) {
	c = c.copied()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("rawshake: %w", err)
	}
	b, err := open(c)
	if err != nil {
		return nil, fmt.Errorf("rawshake: %w", err)
	}
	return &Prober{cfg: c, backend: b, closed: make(chan struct{})}, nil
}

// open chooses the backend.
func open(c Config) (backend, error) {
	if c.Method == MethodConnect || !hasRaw {
		return openConnect(c)
	}
	b, err := openRaw(c)
	if err == nil || c.Method != MethodAuto || !needsPrivilege(err) {
		return b, err
	}
	if c.Logger != nil {
		c.Logger.Warn("no raw sockets: probing with connect, which completes handshakes", "cause", err)
	}
	return openConnect(c)
}

// Probe returns the verdict on one target. It blocks until then; when ctx ends first it returns the cause. As for
// connect(2), an IPv4-mapped IPv6 address is the IPv4 address, and the unspecified address is that of loopback: the Result says
// so. An error means that the prober could not do its job.
//
// The target has the whole [Config.Timeout] from its first SYN on. The SYN leaves at once, unless we are short of something:
// of [Config.Rate], of a slot ([Config.MaxInFlight]), of a source port (64 probes of one target have them, see
// [Config.SourcePorts]), of room among neighbours whose link addresses are not known, with MethodConnect of descriptors.
// Then the probe waits for its turn, for the timeout at most, and ends unsent if it does not come. So a verdict comes within
// twice the timeout, and within the timeout where nothing was short.
//
// Two things may come on top. When we lost something ourselves while the probe was pending (the receive ring dropped packets,
// [Stats.RingDrops], or the interface had no room for a later SYN), a silent target gets one more attempt at the end
// ([Stats.Requeued]), and a second to answer it. With MethodConnect, a program that has no descriptor left gets as long
// again to find one.
func (p *Prober) Probe(ctx context.Context, target netip.AddrPort) (Result, error) {
	return p.backend.probe(ctx, reachable(target.Addr(), target.Port()), p.cfg.timeout())
}

// ProbeAll probes targets and yields each verdict as it comes, in the order of completion, in memory bounded by
// [Config.MaxInFlight]. Each target waits for its turn as long as it takes, and then has the whole timeout. A result that is
// not taken holds back the next targets. At most one error is yielded, last, with a zero Result. Breaking out of the loop
// cancels what is pending and waits for it; targets is consumed on another goroutine, which ends before the loop does. The
// sequence is for one use.
func (p *Prober) ProbeAll(ctx context.Context, targets iter.Seq[netip.AddrPort]) iter.Seq2[Result, error] {
	return p.backend.probeAll(ctx, func(yield func(netip.AddrPort) bool) {
		for t := range targets {
			if !yield(reachable(t.Addr(), t.Port())) {
				return
			}
		}
	})
}

// Stats returns the counters since New. It is cheap enough to be polled.
func (p *Prober) Stats() Stats { return p.backend.stats() }

// Close ends what is pending with ErrClosed, closes the sockets and waits for the goroutines. Further calls, at the same time or
// later, wait until that is done and return ErrClosed. A [Config.Trace] must not call it.
func (p *Prober) Close() error {
	if p.closing.Swap(true) {
		<-p.closed
		return ErrClosed
	}
	defer close(p.closed)
	return p.backend.close()
}

// results translates what a backend's own loop yields.
func results[V any](verdicts iter.Seq2[V, error], fill func(*Result, V)) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		for v, err := range verdicts {
			if err != nil {
				yield(Result{}, err)
				return
			}
			var r Result
			fill(&r, v)
			if !yield(r, nil) {
				return
			}
		}
	}
}
