package rawshake

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/rawshake/rawshake/match"
)

func TestErrTimeout(t *testing.T) {
	var err error = ErrTimeout
	if err.Error() != "I/O timeout" {
		t.Errorf("text %q", err)
	}
	if !os.IsTimeout(err) || !errors.Is(err, ErrTimeout) {
		t.Error("not recognised as a timeout")
	}
	e, ok := err.(net.Error)
	//lint:ignore SA1019 tcp-shaker's error is temporary
	if !ok || !e.Timeout() || !e.Temporary() {
		t.Error("not a temporary net.Error")
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
