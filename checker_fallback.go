package rawshake

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/match"
)

// connectBackend probes with connect(2). It is the way where there are no raw sockets, and it costs what raw packets avoid: a
// descriptor, a source port and a completed handshake for each probe. The connection is reset at once (SO_LINGER 0), so it
// leaves no TIME_WAIT, but the server accepts it and sees it end.
//
// The kernel retransmits SYNs as it likes (Linux: 1, 3, 7 s and so on, since 6.5 each second at first), so Config.Attempts
// and Config.Schedule have no effect. What connect(2) reports does not tell an ICMP error from a missing route, or who sent
// it. RTT and Attempt of an open port come from the kernel on Linux; otherwise RTT is the time that connect(2) took and
// Attempt is 0.
type connectBackend struct {
	config Config
	source netip.Addr // invalid if the kernel chooses
	ports  portCycle
	dial   dialFunc
	pace   *pacer
	slots  chan struct{} // a place for each probe that has a socket
	scarce error         // the errno of one socket too many; nil if it is only Config.MaxInFlight that bounds them

	life context.Context // ends with ErrClosed
	end  context.CancelCauseFunc

	mu     sync.Mutex // orders calls.Add before calls.Wait
	closed bool
	calls  sync.WaitGroup

	counters connectCounters
}

type connectCounters struct {
	syn, rst, failed atomic.Uint64
	inFlight         atomic.Int64
	verdicts         [Filtered + 1]atomic.Uint64
}

// openConnect returns a backend that probes with connect(2). What the platform cannot do of the Config is an error.
func openConnect(c Config) (backend, error) {
	options := c.socketOptions()
	if err := options.check(); err != nil {
		return nil, err
	}
	if c.Options != MSSOnly {
		return nil, errors.New("Config.Options: the SYN of method connect is the kernel's; leave the field zero, or use MethodRaw")
	}
	return newConnect(c, dialer(options)), nil
}

func newConnect(c Config, dial dialFunc) *connectBackend {
	b := &connectBackend{config: c, source: c.Source.Unmap(), dial: dial, pace: newPacer(c.Rate), ports: portCycle{PortRange: c.SourcePorts}}
	n, scarce := connectSlots(c)
	b.slots, b.scarce = make(chan struct{}, n), scarce
	b.life, b.end = context.WithCancelCause(context.Background())
	return b
}

// probe waits for a slot for at most timeout, then gives the target the whole timeout: what we are short of must not
// read as the target's silence.
func (b *connectBackend) probe(ctx context.Context, target netip.AddrPort, timeout time.Duration) (Result, error) {
	ctx, leave, err := b.enter(ctx)
	if err != nil {
		return Result{}, err
	}
	defer leave()
	r, decided := b.decide(target, timeout)
	if !decided {
		r, decided = b.admit(ctx, target, timeout)
	}
	if !decided {
		r = b.connect(ctx, target, timeout)
	}
	if gaveUp(r) {
		return Result{}, context.Cause(ctx)
	}
	b.count(r)
	return r, nil
}

// enter counts a call for close to wait for, and returns a context that ends with the caller's or the backend's.
func (b *connectBackend) enter(ctx context.Context) (context.Context, func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, nil, ErrClosed
	}
	b.calls.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.life, func() { cancel(ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		b.calls.Done()
	}, nil
}

// decide finds the verdicts that need no socket.
func (b *connectBackend) decide(target netip.AddrPort, timeout time.Duration) (r Result, decided bool) {
	switch a := target.Addr(); {
	case !a.IsValid():
		return verdict(target, Unsent, match.SendFailed, syscall.EINVAL), true
	case !b.config.allows(a):
		return verdict(target, Unsent, match.OutOfScope, syscall.EPERM), true
	case b.source.IsValid() && b.source.Is4() != a.Is4():
		return verdict(target, Unsent, match.NoSource, syscall.EADDRNOTAVAIL), true
	case timeout <= 0:
		return verdict(target, Filtered, match.Timeout, nil), true
	}
	return r, false
}

// verdict returns a Result of this method, reached now.
func verdict(target netip.AddrPort, state State, reason Reason, err error) Result {
	return Result{Target: target, State: state, Reason: reason, Method: MethodConnect, Time: time.Now(), Err: err}
}

// canceled returns the verdict on a target whose probe ctx ended.
func canceled(ctx context.Context, target netip.AddrPort) Result {
	if context.Cause(ctx) == ErrClosed {
		return verdict(target, Unsent, match.Stopped, nil)
	}
	return verdict(target, Unsent, match.Canceled, nil)
}

// gaveUp reports whether a context ended the probe.
func gaveUp(r Result) bool { return r.Reason == match.Canceled || r.Reason == match.Stopped }

func (b *connectBackend) count(r Result) {
	b.counters.verdicts[r.State].Add(1)
	if r.State != Unsent {
		b.counters.syn.Add(1 + uint64(r.Attempt))
	}
}

func (b *connectBackend) stats() Stats {
	n := func(s State) uint64 { return b.counters.verdicts[s].Load() }
	return Stats{
		SYNSent:     b.counters.syn.Load(),
		RSTSent:     b.counters.rst.Load(),
		SendErrors:  b.counters.failed.Load(),
		Answers:     n(Open) + n(Closed) + n(Unreachable),
		InFlight:    int(b.counters.inFlight.Load()),
		Open:        n(Open),
		Closed:      n(Closed),
		Unreachable: n(Unreachable),
		Filtered:    n(Filtered),
		Unsent:      n(Unsent),
	}
}

// close ends what is pending and waits for it.
func (b *connectBackend) close() error {
	b.mu.Lock()
	closed := b.closed
	b.closed = true
	b.mu.Unlock()
	if closed {
		return ErrClosed
	}
	b.end(ErrClosed)
	b.calls.Wait()
	return nil
}
