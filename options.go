package rawshake

import "time"

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
