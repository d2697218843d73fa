package rawshake

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/match"
)

// The tests of this file hold what a check asks of the engine, and what it makes of the verdict.

func TestTimeoutZeroOrNegative(t *testing.T) {
	for _, b := range []*stub{answers(Open, match.SYNACK, nil), answers(Closed, match.RST, syscall.ECONNREFUSED)} {
		c := started(t, withBackend(b))
		for _, timeout := range []time.Duration{0, -1, -time.Hour} {
			if err := c.CheckAddr(anyAddr, timeout); err != ErrTimeout {
				t.Errorf("timeout %v: %v, want ErrTimeout", timeout, err)
			}
			if err := c.CheckAddr("localhost:80", timeout); err != ErrTimeout {
				t.Errorf("timeout %v, by name: %v, want ErrTimeout", timeout, err)
			}
		}
		if err := c.CheckAddrWithOptions(anyAddr, Options{}); err != ErrTimeout {
			t.Errorf("zero Options: %v, want ErrTimeout", err)
		}
	}
}

// TestCheckPassesOn holds what a check asks of the engine.
func TestCheckPassesOn(t *testing.T) {
	var gotTarget netip.AddrPort
	var gotTimeout time.Duration
	c := started(t, withBackend(&stub{answer: func(_ context.Context, target netip.AddrPort, timeout time.Duration) (Result, error) {
		gotTarget, gotTimeout = target, timeout
		return Result{State: Open}, nil
	}}))
	calls := map[string]func(addr string, timeout time.Duration) error{
		"CheckAddr":                  c.CheckAddr,
		"CheckAddrZeroLinger, true":  func(a string, d time.Duration) error { return c.CheckAddrZeroLinger(a, d, true) },
		"CheckAddrZeroLinger, false": func(a string, d time.Duration) error { return c.CheckAddrZeroLinger(a, d, false) },
		"CheckAddrWithOptions": func(a string, d time.Duration) error {
			return c.CheckAddrWithOptions(a, DefaultOptions().WithTimeout(d))
		},
		"CheckAddrWithOptions, no network": func(a string, d time.Duration) error {
			return c.CheckAddrWithOptions(a, Options{Timeout: d})
		},
	}
	for name, call := range calls {
		gotTarget, gotTimeout = netip.AddrPort{}, 0
		if err := call("127.0.0.9:99", 7*time.Second); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if gotTarget.String() != "127.0.0.9:99" || gotTimeout != 7*time.Second {
			t.Errorf("%s asked for %v within %v", name, gotTarget, gotTimeout)
		}
	}
}

func TestEngineErrorIsReturned(t *testing.T) {
	broken := errors.New("ring is gone")
	c := started(t, withBackend(&stub{answer: func(context.Context, netip.AddrPort, time.Duration) (Result, error) {
		return Result{}, broken
	}}))
	if err := c.CheckAddr(anyAddr, time.Second); err != broken {
		t.Errorf("error %v, want the engine's", err)
	}
}

func TestLiteralCheckAllocatesNothing(t *testing.T) {
	for _, b := range []*stub{answers(Open, match.SYNACK, nil), answers(Closed, match.RST, syscall.ECONNREFUSED), answers(Filtered, match.Timeout, nil)} {
		c := started(t, withBackend(b))
		for _, addr := range []string{"127.0.0.1:80", "[::1]:443", "[::ffff:127.0.0.1]:80"} {
			if n := testing.AllocsPerRun(100, func() { c.CheckAddr(addr, time.Second) }); n != 0 {
				t.Errorf("%s: %v allocations", addr, n)
			}
		}
	}
}

func TestErrConnect(t *testing.T) {
	var err error = &ErrConnect{syscall.ECONNREFUSED}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error("errors.Is does not see the errno")
	}
	if errors.Is(err, syscall.EHOSTUNREACH) {
		t.Error("errors.Is sees another errno")
	}
	if _, ok := err.(net.Error); ok {
		t.Error("it is a net.Error, which it is not in tcp-shaker")
	}
	if e, ok := errors.AsType[*ErrConnect](err); !ok || e.Error() != "connection refused" {
		t.Errorf("errors.As finds %v", e)
	}
	var value error = ErrConnect{syscall.EPERM}
	if !errors.Is(value, syscall.EPERM) {
		t.Error("the value does not unwrap")
	}
}

func TestVerdictError(t *testing.T) {
	target := netip.MustParseAddrPort("127.0.0.1:80")
	t.Run("states", func(t *testing.T) {
		if err := verdictError(Result{State: Open, Reason: match.SYNACK}); err != nil {
			t.Errorf("open: %v", err)
		}
		if err := verdictError(Result{State: Filtered, Reason: match.Timeout}); err != ErrTimeout {
			t.Errorf("filtered: %v", err)
		}
		wantErrConnect(t, verdictError(Result{State: Closed, Reason: match.RST, Err: syscall.ECONNREFUSED}), syscall.ECONNREFUSED)
	})
	errnos := []struct {
		state  State
		reason Reason
		errno  syscall.Errno
	}{
		{Unreachable, match.HostUnreachable, syscall.EHOSTUNREACH},
		{Unreachable, match.NetUnreachable, syscall.ENETUNREACH},
		{Unreachable, match.AdminProhibited, syscall.EACCES},
		{Unreachable, match.PortUnreachable, syscall.ECONNREFUSED},
		{Unreachable, match.NoRoute, syscall.ENETUNREACH},
		{Unreachable, match.NoNeighbour, syscall.EHOSTUNREACH},
		{Unsent, match.GatewayDown, syscall.EHOSTUNREACH},
		{Unsent, match.LocalFirewall, syscall.EPERM},
		{Unsent, match.NoBuffers, syscall.ENOBUFS},
		{Unsent, match.LinkDown, syscall.ENETDOWN},
		{Unsent, match.NoSource, syscall.EADDRNOTAVAIL},
		{Unsent, match.Overload, syscall.EADDRNOTAVAIL},
	}
	for _, test := range errnos {
		t.Run(test.reason.String(), func(t *testing.T) {
			wantErrConnect(t, verdictError(Result{Target: target, State: test.state, Reason: test.reason, Err: test.errno}), test.errno)
		})
	}
	for reason, errno := range map[Reason]error{match.Overload: nil, match.LossOfOurs: nil, match.OutOfScope: syscall.EPERM} {
		t.Run("no errno of connect/"+reason.String(), func(t *testing.T) {
			err := verdictError(Result{Target: target, State: Unsent, Reason: reason, Err: errno})
			if !errors.Is(err, ErrUnsent) {
				t.Fatalf("error %v, want ErrUnsent", err)
			}
			if want := "rawshake: the probe was not sent: 127.0.0.1:80: " + reason.String(); err.Error() != want {
				t.Errorf("text %q, want %q", err, want)
			}
		})
	}
}

func TestVerdictErrorAllocatesNothing(t *testing.T) {
	for _, r := range []Result{{State: Open}, {State: Filtered}, {State: Closed, Err: syscall.ECONNREFUSED}} {
		if n := testing.AllocsPerRun(100, func() { verdictError(r) }); n != 0 {
			t.Errorf("%v: %v allocations", r.State, n)
		}
	}
}
