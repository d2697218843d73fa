// Package connect probes with connect(2). It is the way where there are no raw sockets, and it costs what raw packets avoid: a
// descriptor, a source port and a completed handshake for each probe. The connection is reset at once (SO_LINGER 0), so it
// leaves no TIME_WAIT, but the server accepts it and sees it end.
//
// The kernel retransmits SYNs as it likes (Linux: 1, 3, 7 s and so on, since 6.5 each second at first). What connect(2) reports
// does not tell an ICMP error from a missing route, or who sent it.
package connect

import (
	"context"
	"iter"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/match"
)

// ErrClosed is returned by calls on a closed Prober, and by those that its Close ended.
var ErrClosed = net.ErrClosed

// Config says how connections are made. The zero value is ready for use. Errors name its fields as Config.X.
type Config struct {
	Source      netip.Addr            // that they come from; if invalid, the kernel chooses
	SourcePorts PortRange             // that they come from; if zero, the kernel chooses
	Interface   string                // that they leave by; if empty, the kernel chooses
	TTL, TOS    uint8                 // of their packets; if zero, the kernel's defaults
	Mark        uint32                // SO_MARK; if zero, none
	Rate        float64               // most packets a second; if zero or negative, no limit
	Limit       int                   // most connections at once; if zero or negative, as many as there are descriptors and ports
	Allow       func(netip.Addr) bool // the scope; if nil, everything
}

// PortRange is a range of ports, both ends included; zero is none.
type PortRange struct{ First, Last uint16 }

// Prober probes with connect(2). It is safe for concurrent use.
type Prober struct {
	config Config
	ports  portCycle
	dial   dialFunc
	pace   *pacer
	slots  chan struct{} // a place for each probe that has a socket
	scarce error         // the errno of one socket too many; nil if it is only Config.Limit that bounds them

	life context.Context // ends with ErrClosed
	end  context.CancelCauseFunc

	mu     sync.Mutex // orders calls.Add before calls.Wait
	closed bool
	calls  sync.WaitGroup

	syn, rst, refused atomic.Uint64
	inFlight          atomic.Int64
	verdicts          [match.NumStates]atomic.Uint64
}

// Open returns a Prober. What the platform or the privileges cannot do of the Config is an error.
func Open(c Config) (*Prober, error) {
	options := c.socketOptions()
	if err := options.check(); err != nil {
		return nil, err
	}
	return newProber(c, dialer(options)), nil
}

func newProber(c Config, dial dialFunc) *Prober {
	c.Source = c.Source.Unmap()
	p := &Prober{config: c, dial: dial, pace: newPacer(c.Rate), ports: portCycle{PortRange: c.SourcePorts}}
	n, scarce := places(c)
	p.slots, p.scarce = make(chan struct{}, n), scarce
	p.life, p.end = context.WithCancelCause(context.Background())
	return p
}

// Probe returns the verdict on target. It waits for its turn for at most timeout, then gives the target the whole timeout: what
// we are short of must not read as the target's silence. An error is the cause of ctx, or ErrClosed.
func (p *Prober) Probe(ctx context.Context, target netip.AddrPort, timeout time.Duration) (Verdict, error) {
	ctx, leave, err := p.enter(ctx)
	if err != nil {
		return Verdict{}, err
	}
	defer leave()
	v, decided := p.decide(target, timeout)
	if !decided {
		v, decided = p.admit(ctx, target, timeout)
	}
	if !decided {
		v = p.connect(ctx, target, timeout)
	}
	if v.gaveUp() {
		return Verdict{}, context.Cause(ctx)
	}
	p.count(v)
	return v, nil
}

// All yields a verdict for every target, in the order of completion. At most one error comes, last: the cause of ctx, or
// ErrClosed. However the loop ends, nothing is left running.
func (p *Prober) All(ctx context.Context, targets iter.Seq[netip.AddrPort], timeout time.Duration) iter.Seq2[Verdict, error] {
	return func(yield func(Verdict, error) bool) {
		ctx, leave, err := p.enter(ctx)
		if err != nil {
			yield(Verdict{}, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		s := &sweep{Prober: p, ctx: ctx, timeout: timeout, verdicts: make(chan Verdict), places: make(chan struct{}, cap(p.slots))}
		go func() {
			defer leave()
			s.feed(targets)
		}()
		s.deliver(yield, cancel)
	}
}

// enter counts a call for Close to wait for, and returns a context that ends with the caller's or the Prober's.
func (p *Prober) enter(ctx context.Context) (context.Context, func(), error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, ErrClosed
	}
	p.calls.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.life, func() { cancel(ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		p.calls.Done()
	}, nil
}

// decide finds the verdicts that need no socket.
func (p *Prober) decide(target netip.AddrPort, timeout time.Duration) (v Verdict, decided bool) {
	switch a, source := target.Addr(), p.config.Source; {
	case !a.IsValid():
		return verdict(target, match.Unsent, match.SendFailed, syscall.EINVAL), true
	case p.config.Allow != nil && !p.config.Allow(a):
		return verdict(target, match.Unsent, match.OutOfScope, syscall.EPERM), true
	case source.IsValid() && source.Is4() != a.Is4():
		return verdict(target, match.Unsent, match.NoSource, syscall.EADDRNOTAVAIL), true
	case timeout <= 0:
		return verdict(target, match.Filtered, match.Timeout, nil), true
	}
	return v, false
}

// Close ends what is pending with ErrClosed and waits for it. Further calls return ErrClosed.
func (p *Prober) Close() error {
	p.mu.Lock()
	closed := p.closed
	p.closed = true
	p.mu.Unlock()
	if closed {
		return ErrClosed
	}
	p.end(ErrClosed)
	p.calls.Wait()
	return nil
}
