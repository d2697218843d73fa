package rawshake

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Checker tells whether endpoints answer, with the API of github.com/tevino/tcp-shaker. It is safe for concurrent use, and
// cheap: Checkers of one configuration share their sockets. The zero value is ready for use and the same as [NewChecker].
//
// A Checker works while its [Checker.CheckingLoop] runs:
//
//	c := rawshake.NewChecker()
//	go c.CheckingLoop(ctx)
//	<-c.WaitReady()
//	err := c.CheckAddr("192.0.2.1:80", time.Second)
//
// What it does differently from tcp-shaker, on purpose: names are resolved within the timeout, IPv6 zones work, the loop
// stops at once and ends the checks in flight with [ErrCheckerStopped], a loop that cannot start still becomes ready and
// hands its error to every check, and [DefaultChecker] leaves signals alone.
type Checker struct {
	config    Config
	permanent bool          // Close leaves the loop alone
	engines   *engineSet    // if nil, those of the process
	resolver  *net.Resolver // if nil, net.DefaultResolver

	live atomic.Pointer[run] // what checks use; nil while not ready; changed under the mutex

	mu      sync.Mutex
	current *run          // of the CheckingLoop that has been called; nil without one
	latest  *run          // the last one that there was, for Close: after it has ended, it still lets go of things
	ready   chan struct{} // closed while live is set; made on demand
}

// run is one run of a loop. Either backend and release or err is set when it goes live.
type run struct {
	ctx     context.Context // ends with ErrCheckerStopped
	stop    context.CancelCauseFunc
	done    chan struct{} // closed when the loop has let go of everything
	backend backend
	release func()
	err     error // why the loop could not start
}

// NewChecker returns a Checker with the zero [Config]: raw packets on Linux, connect(2) elsewhere.
func NewChecker() *Checker { return NewCheckerConfig(Config{}) }

// NewCheckerZeroLinger is the same as [NewChecker]. A linger time is that of a connection, and there is none: we never
// complete the handshake, so a false zeroLinger cannot make the server accept, as it does in tcp-shaker.
func NewCheckerZeroLinger(zeroLinger bool) *Checker { return NewChecker() }

// NewCheckerConfig returns a Checker that probes as c says. Config.Timeout is not used: each check brings its own. What is
// wrong with c is returned by [Checker.CheckingLoop] and by every check.
func NewCheckerConfig(c Config) *Checker {
	c.Timeout = 0 // lets Checkers share an engine whatever it was
	return &Checker{config: c.copied()}
}

var defaultChecker = Checker{permanent: true}

// DefaultChecker returns the Checker of the process. It is running: its loop starts with the first call and never stops,
// not even by Close, and no signal is caught. If it cannot start, checks return the cause, and the next call of
// DefaultChecker tries again.
func DefaultChecker() *Checker {
	defaultChecker.keepRunning()
	return &defaultChecker
}

// keepRunning starts a loop without end, unless one runs.
func (c *Checker) keepRunning() {
	if r := c.live.Load(); r != nil && r.err == nil {
		return
	}
	r := c.begin()
	if r == nil { // somebody else is at it
		<-c.WaitReady()
		return
	}
	if c.open(r) == nil {
		go c.serve(context.Background(), r)
	}
}

// CheckingLoop opens what the checks need, makes the Checker ready, and blocks until ctx ends or Close is called; then it
// ends the checks in flight and returns nil. It may be called again after that.
//
// While another loop of the Checker runs it returns ErrCheckerAlreadyStarted. If it cannot start it returns why, and so does
// every check until a loop starts.
func (c *Checker) CheckingLoop(ctx context.Context) error {
	r := c.begin()
	if r == nil {
		return ErrCheckerAlreadyStarted
	}
	if err := c.open(r); err != nil {
		return err
	}
	c.serve(ctx, r)
	return nil
}

// begin claims the Checker for a new run; nil if it has one.
func (c *Checker) begin() *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		return nil
	}
	if !c.permanent { // that one must never look as if nobody had started it
		c.unready()
	}
	r := &run{done: make(chan struct{})}
	r.ctx, r.stop = context.WithCancelCause(context.Background())
	c.current, c.latest = r, r
	return r
}

// open gets the run an engine and lets checks through, be it to the engine or to the error.
func (c *Checker) open(r *run) error {
	engines := c.engines
	if engines == nil {
		engines = &checkerEngines
	}
	r.backend, r.release, r.err = engines.acquire(c.config)
	c.goLive(r)
	if r.err != nil {
		c.end(r)
		close(r.done)
	}
	return r.err
}

// serve keeps the run going until ctx ends or Close is called.
func (c *Checker) serve(ctx context.Context, r *run) {
	defer close(r.done)
	defer r.release()
	select {
	case <-ctx.Done():
	case <-r.ctx.Done():
	}
	c.end(r)
}

func (c *Checker) goLive(r *run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live.Swap(r) == nil {
		close(c.readyChan())
	}
}

// end lets the next loop start. After a run that could not start, the Checker stays live with its error.
func (c *Checker) end(r *run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = nil
	if r.err == nil {
		c.unready()
	}
	r.stop(ErrCheckerStopped)
}

// unready makes WaitReady wait again. The mutex is held.
func (c *Checker) unready() {
	if c.live.Swap(nil) != nil {
		c.ready = nil
	}
}

// readyChan returns the channel of WaitReady. The mutex is held.
func (c *Checker) readyChan() chan struct{} {
	if c.ready == nil {
		c.ready = make(chan struct{})
	}
	return c.ready
}

// WaitReady returns a channel that is closed as soon as checks get an answer: when the loop has started, or could not start.
// After the loop has stopped a new call returns a new channel.
func (c *Checker) WaitReady() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readyChan()
}

// IsReady reports whether the channel of WaitReady is closed.
func (c *Checker) IsReady() bool { return c.live.Load() != nil }

// PollerFd returns -1, as tcp-shaker does without a loop: no descriptor stands for a Checker.
func (c *Checker) PollerFd() int { return -1 }

// Close stops the loop, if one runs, and waits until CheckingLoop has let go of everything; so does a Close at the same time. The
// error is always nil.
func (c *Checker) Close() error {
	c.mu.Lock()
	r := c.latest
	c.mu.Unlock()
	if r != nil && !c.permanent {
		r.stop(ErrCheckerStopped)
		<-r.done
	}
	return nil
}

// CheckAddr checks addr, "host:port", within timeout, name resolution included. It returns nil if a SYN-ACK answered,
// a bare *ErrConnect if a RST, an ICMP error or our own kernel refused, ErrTimeout for silence, and an error that wraps
// ErrUnsent if the target was never asked, or its answer may be one that we lost. What is wrong with addr comes as
// *net.AddrError, what cannot be resolved as *net.DNSError. Where we are short of something, or lost something, the answer
// may take longer, as [Prober.Probe] says: up to twice the timeout, so that it never reads as silence of the target.
func (c *Checker) CheckAddr(addr string, timeout time.Duration) (err error) {
	return c.check("tcp", addr, timeout)
}

// CheckAddrZeroLinger is the same as CheckAddr; see [NewCheckerZeroLinger].
func (c *Checker) CheckAddrZeroLinger(addr string, timeout time.Duration, zeroLinger bool) error {
	return c.check("tcp", addr, timeout)
}

// CheckAddrWithOptions is CheckAddr with the address family to choose.
func (c *Checker) CheckAddrWithOptions(addr string, opts Options) error {
	switch opts.Network {
	case "":
		opts.Network = "tcp"
	case "tcp", "tcp4", "tcp6":
	default:
		return net.UnknownNetworkError(opts.Network)
	}
	return c.check(opts.Network, addr, opts.Timeout)
}

func (c *Checker) check(network, addr string, timeout time.Duration) error {
	target, ok := parseLiteral(network, addr)
	if !ok {
		return c.checkName(network, addr, timeout)
	}
	r, err := c.running(timeout)
	if err != nil {
		return err
	}
	return r.check(target, timeout)
}

// checkName checks an address that must be looked up, or has something wrong.
func (c *Checker) checkName(network, addr string, timeout time.Duration) error {
	host, port, err := splitAddr(addr)
	if err != nil {
		return err
	}
	r, err := c.running(timeout)
	if err != nil {
		return err
	}
	resolver := c.resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	deadline := time.Now().Add(timeout)
	target, err := r.resolve(resolver, network, host, port, deadline)
	if err != nil {
		return err
	}
	return r.check(target, time.Until(deadline))
}

// running returns the run that checks go to.
func (c *Checker) running(timeout time.Duration) (*run, error) {
	r := c.live.Load()
	switch {
	case r == nil:
		return nil, ErrCheckerNotStarted
	case r.err != nil:
		return nil, r.err
	case timeout <= 0:
		return nil, ErrTimeout
	}
	return r, nil
}

func (r *run) resolve(resolver *net.Resolver, network, host, port string, deadline time.Time) (netip.AddrPort, error) {
	ctx, cancel := context.WithDeadline(r.ctx, deadline)
	defer cancel()
	target, err := resolve(ctx, resolver, network, host, port)
	switch {
	case err == nil:
		return target, nil
	case r.ctx.Err() != nil:
		return target, ErrCheckerStopped
	case timedOut(err) && !time.Now().Before(deadline):
		return target, ErrTimeout
	}
	return target, err
}

// timedOut reports whether a lookup ran out of time, its own or ours.
func timedOut(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsTimeout
}

func (r *run) check(target netip.AddrPort, timeout time.Duration) error {
	result, err := r.backend.probe(r.ctx, target, timeout)
	if err == nil {
		return verdictError(result)
	}
	if r.ctx.Err() != nil { // the engine may have been closed in the meantime, too
		return ErrCheckerStopped
	}
	return err
}
