//go:build !linux

package rawshake

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"
)

// unsupported is the error for a Config field that this platform has no socket option for.
func unsupported(field string) error {
	return fmt.Errorf("%s: method connect cannot set it on %s: %w", field, runtime.GOOS, errors.ErrUnsupported)
}

// kernelRTT knows nothing: the time that connect(2) took has to do.
func kernelRTT(*net.TCPConn) (rtt time.Duration, repeated int) { return 0, 0 }
