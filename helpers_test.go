package rawshake

import (
	"context"
	"iter"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/match"
)

// plausible reports whether an answer may have taken so long; 0: the machine was too busy to tell.
func plausible(rtt time.Duration) bool { return rtt >= 0 && rtt < time.Second }

// eachMethod runs a test with every method that works here. Raw packets need a privilege; RAWSHAKE_LAB=require makes its
// lack fatal.
func eachMethod(t *testing.T, test func(t *testing.T, c Config)) {
	t.Helper()
	t.Run("connect", func(t *testing.T) { test(t, Config{Method: MethodConnect}) })
	if !hasRaw {
		return
	}
	t.Run("raw", func(t *testing.T) {
		needRaw(t)
		test(t, Config{Method: MethodRaw})
	})
}

func needRaw(t *testing.T) {
	t.Helper()
	p, err := New(Config{Method: MethodRaw})
	if err == nil {
		p.Close()
		return
	}
	if os.Getenv("RAWSHAKE_LAB") == "require" {
		t.Fatalf("no raw engine: %v", err)
	}
	t.Skipf("no raw engine: %v", err)
}

// loop starts c's loop and returns what stops it and then gives its error.
func loop(c *Checker) func() error {
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- c.CheckingLoop(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

// started returns c, running until the test ends.
func started(t *testing.T, c *Checker) *Checker {
	t.Helper()
	stop := loop(c)
	t.Cleanup(func() { stop() })
	<-c.WaitReady()
	return c
}

// runOnce starts c's loop, makes a check of an open port, and stops the loop.
func runOnce(t *testing.T, c *Checker) {
	t.Helper()
	stop := loop(c)
	<-c.WaitReady()
	if err := c.CheckAddr(anyAddr, time.Second); err != nil {
		t.Errorf("CheckAddr: %v", err)
	}
	if err := stop(); err != nil {
		t.Errorf("CheckingLoop: %v", err)
	}
}

// stub is a backend that a function answers for.
type stub struct {
	answer func(ctx context.Context, target netip.AddrPort, timeout time.Duration) (Result, error)
	slow   time.Duration // that closing takes
	closed atomic.Int32  // how often it was closed
}

func (s *stub) probe(ctx context.Context, target netip.AddrPort, timeout time.Duration) (Result, error) {
	return s.answer(ctx, target, timeout)
}

func (s *stub) probeAll(context.Context, iter.Seq[netip.AddrPort]) iter.Seq2[Result, error] {
	panic("a Checker does not sweep")
}

func (s *stub) stats() Stats { return Stats{} }

func (s *stub) close() error {
	time.Sleep(s.slow)
	s.closed.Add(1)
	return nil
}

// answers is a stub that gives every target the same verdict at once.
func answers(state State, reason Reason, errno error) *stub {
	return &stub{answer: func(_ context.Context, target netip.AddrPort, _ time.Duration) (Result, error) {
		return Result{Target: target, State: state, Reason: reason, Err: errno}, nil
	}}
}

// silence is a stub with the timing of a backend whose targets do not answer.
func silence() *stub {
	return &stub{answer: func(ctx context.Context, target netip.AddrPort, timeout time.Duration) (Result, error) {
		select {
		case <-ctx.Done():
			return Result{}, context.Cause(ctx)
		case <-time.After(timeout):
			return Result{Target: target, State: Filtered, Reason: match.Timeout}, nil
		}
	}}
}

// withBackend returns a Checker on a backend of the test's own.
func withBackend(b backend) *Checker {
	return &Checker{engines: &engineSet{open: func(Config) (backend, error) { return b, nil }}}
}

// wantErrConnect fails unless err is a bare *ErrConnect with that errno, found in each way that programs look for it.
func wantErrConnect(t testing.TB, err error, errno syscall.Errno) {
	t.Helper()
	connect, ok := err.(*ErrConnect)
	if !ok {
		t.Fatalf("error %v (%T), want a bare *ErrConnect of %v", err, err, errno)
	}
	if connect.Unwrap() != errno || connect.Error() != errno.Error() {
		t.Fatalf("ErrConnect of %v (%q), want %v", connect.Unwrap(), connect, errno)
	}
}

// prober returns a Prober that is closed when the test ends.
func prober(t *testing.T, c Config) *Prober {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func mustProbe(t *testing.T, p *Prober, addr string) Result {
	t.Helper()
	r, err := p.Probe(t.Context(), netip.MustParseAddrPort(addr))
	if err != nil {
		t.Fatalf("%s: %v", addr, err)
	}
	return r
}
