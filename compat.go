package rawshake

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/match"
)

// The options and errors of tcp-shaker, each with exactly the type that it has there.

// Options are those of [Checker.CheckAddrWithOptions].
type Options struct {
	// Timeout bounds the whole check, name resolution included. If zero or negative, the check is ErrTimeout at once.
	Timeout time.Duration

	// Network is "tcp" for both families, "tcp4" or "tcp6". If empty, "tcp".
	Network string

	// ZeroLinger changes nothing: see [NewCheckerZeroLinger].
	ZeroLinger bool
}

// DefaultOptions returns a timeout of three seconds, network "tcp" and zero linger.
func DefaultOptions() Options {
	return Options{Timeout: 3 * time.Second, Network: "tcp", ZeroLinger: true}
}

// WithTimeout returns o with another timeout.
func (o Options) WithTimeout(timeout time.Duration) Options {
	o.Timeout = timeout
	return o
}

// WithNetwork returns o with another network.
func (o Options) WithNetwork(network string) Options {
	o.Network = network
	return o
}

// WithZeroLinger returns o with zeroLinger, which changes nothing.
func (o Options) WithZeroLinger(zeroLinger bool) Options {
	o.ZeroLinger = zeroLinger
	return o
}

// ErrTimeout is what a check returns when the target stayed silent, or its name unresolved, until the timeout. It is
// returned as it is, so err == ErrTimeout works, and it is a net.Error.
var ErrTimeout = &timeoutError{}

type timeoutError struct{}

func (*timeoutError) Error() string   { return "I/O timeout" }
func (*timeoutError) Timeout() bool   { return true }
func (*timeoutError) Temporary() bool { return true }

// ErrConnect holds the error that connect(2) would have given, such as ECONNREFUSED. Checks return a bare *ErrConnect. It
// deliberately has no Timeout method: programs tell it from ErrTimeout by that.
type ErrConnect struct {
	error
}

// Unwrap returns the error inside, a syscall.Errno, so that errors.Is(err, syscall.ECONNREFUSED) works.
func (e ErrConnect) Unwrap() error { return e.error }

var (
	// ErrCheckerAlreadyStarted is returned by [Checker.CheckingLoop] while another loop of the same Checker runs.
	ErrCheckerAlreadyStarted = errors.New("Checker was already started")

	// ErrCheckerNotStarted is returned by checks of a [Checker] whose loop is not running, or not ready yet.
	ErrCheckerNotStarted = errors.New("rawshake: the Checker is not running: start CheckingLoop in a goroutine and wait for WaitReady")

	// ErrCheckerStopped is returned by checks that were in flight when their [Checker] stopped.
	ErrCheckerStopped = errors.New("rawshake: the Checker was stopped during the check")

	// ErrUnsent is wrapped by the error of a check that never reached the wire for a reason that has no errno, such as
	// overload or an address out of scope, or whose answer may be among what our receive ring dropped. It says nothing about
	// the target.
	ErrUnsent = errors.New("rawshake: the probe was not sent")
)

// errRefused is shared, so that a check of a closed port allocates nothing.
var errRefused = &ErrConnect{syscall.ECONNREFUSED}

// verdictError turns a verdict into the error that tcp-shaker would give for it.
func verdictError(r Result) error {
	switch r.State {
	case Open:
		return nil
	case Closed:
		return errRefused
	case Filtered:
		return ErrTimeout
	}
	if r.Err != nil && r.Reason != match.OutOfScope { // the scope is ours: no kernel says that
		return &ErrConnect{r.Err}
	}
	return fmt.Errorf("%w: %v: %v", ErrUnsent, r.Target, r.Reason)
}
