package rawshake_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	tcp "github.com/rawshake/rawshake"
)

// The signatures of tcp-shaker, each with its exact type: a program that uses them compiles with only its import changed.
var (
	_ func() *tcp.Checker                                   = tcp.NewChecker
	_ func(zeroLinger bool) *tcp.Checker                    = tcp.NewCheckerZeroLinger
	_ func() *tcp.Checker                                   = tcp.DefaultChecker
	_ func(*tcp.Checker, context.Context) error             = (*tcp.Checker).CheckingLoop
	_ func(*tcp.Checker, string, time.Duration) error       = (*tcp.Checker).CheckAddr
	_ func(*tcp.Checker, string, time.Duration, bool) error = (*tcp.Checker).CheckAddrZeroLinger
	_ func(*tcp.Checker, string, tcp.Options) error         = (*tcp.Checker).CheckAddrWithOptions
	_ func(*tcp.Checker) <-chan struct{}                    = (*tcp.Checker).WaitReady
	_ func(*tcp.Checker) bool                               = (*tcp.Checker).IsReady
	_ func(*tcp.Checker) int                                = (*tcp.Checker).PollerFd
	_ func(*tcp.Checker) error                              = (*tcp.Checker).Close
	_ func() tcp.Options                                    = tcp.DefaultOptions
	_ func(tcp.Options, time.Duration) tcp.Options          = tcp.Options.WithTimeout
	_ func(tcp.Options, string) tcp.Options                 = tcp.Options.WithNetwork
	_ func(tcp.Options, bool) tcp.Options                   = tcp.Options.WithZeroLinger
	_                                                       = tcp.Options{Timeout: time.Second, Network: "tcp", ZeroLinger: true}
	_ error                                                 = tcp.ErrTimeout
	_ net.Error                                             = tcp.ErrTimeout
	_ error                                                 = tcp.ErrCheckerAlreadyStarted
	_ error                                                 = tcp.ErrConnect{}
	_ error                                                 = (*tcp.ErrConnect)(nil)
	_ bool                                                  = tcp.ErrTimeout.Timeout()
	_ func(tcp.Config) *tcp.Checker                         = tcp.NewCheckerConfig
	_ interface{ WaitReady() <-chan struct{} }              = embedding{}
	_ interface {
		CheckAddr(addr string, timeout time.Duration) error
	} = embedding{}
)

// embedding is how Harvester's load balancer holds its Checker.
type embedding struct{ *tcp.Checker }

// switchOnTimeout is the commonest way to read the error, that of tcp-shaker's README.
func switchOnTimeout(err error) string {
	switch err {
	case tcp.ErrTimeout:
		return "timeout"
	case nil:
		return "ok"
	default:
		if e, ok := err.(*tcp.ErrConnect); ok {
			return "connect: " + e.Error()
		}
		return "other"
	}
}

// switchOnType is status-go's: anything with a Timeout method first, then ErrConnect by value.
func switchOnType(err error) string {
	type timeoutError interface{ Timeout() bool }
	switch err.(type) {
	case timeoutError:
		return "timeout"
	case tcp.ErrConnect:
		return "connect by value"
	case *tcp.ErrConnect:
		return "connect"
	default:
		return "other"
	}
}

func TestErrorsReadAsPrograms(t *testing.T) {
	refused := new(tcp.ErrConnect)
	tests := []struct {
		name         string
		err          error
		plain, typed string
	}{
		{"open", nil, "ok", "other"},
		{"silent", tcp.ErrTimeout, "timeout", "timeout"},
		{"other", errors.New("x"), "other", "other"},
		{"value", tcp.ErrConnect{}, "other", "connect by value"},
	}
	for _, test := range tests {
		if got := switchOnTimeout(test.err); got != test.plain {
			t.Errorf("%s: switch err = %q, want %q", test.name, got, test.plain)
		}
		if got := switchOnType(test.err); got != test.typed {
			t.Errorf("%s: switch err.(type) = %q, want %q", test.name, got, test.typed)
		}
	}
	if got := switchOnType(refused); got != "connect" {
		t.Errorf("*ErrConnect reads as %q in a type switch, want connect", got)
	}
	if _, ok := any(refused).(interface{ Timeout() bool }); ok {
		t.Error("*ErrConnect has a Timeout method, which programs take for a timeout")
	}
}

func TestErrTimeout(t *testing.T) {
	var err error = tcp.ErrTimeout
	if err.Error() != "I/O timeout" {
		t.Errorf("text %q", err)
	}
	if !os.IsTimeout(err) || !errors.Is(err, tcp.ErrTimeout) {
		t.Error("not recognised as a timeout")
	}
	e, ok := err.(net.Error)
	//lint:ignore SA1019 tcp-shaker's error is temporary
	if !ok || !e.Timeout() || !e.Temporary() {
		t.Error("not a temporary net.Error")
	}
}

func TestOptions(t *testing.T) {
	if got, want := tcp.DefaultOptions(), (tcp.Options{Timeout: 3 * time.Second, Network: "tcp", ZeroLinger: true}); got != want {
		t.Errorf("DefaultOptions %+v, want %+v", got, want)
	}
	base := tcp.DefaultOptions()
	got := base.WithTimeout(time.Minute).WithNetwork("tcp6").WithZeroLinger(false)
	if want := (tcp.Options{Timeout: time.Minute, Network: "tcp6"}); got != want {
		t.Errorf("chained %+v, want %+v", got, want)
	}
	if base != tcp.DefaultOptions() {
		t.Error("With... changed its receiver")
	}
}
