//go:build !linux

package connect

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"
)

// setPath sets what decides where packets leave. Only Linux has options for that.
func (o socketOptions) setPath(int) error {
	switch {
	case o.mark != 0:
		return unsupported("Config.Mark")
	case o.device != "":
		return unsupported("Config.Interface")
	}
	return nil
}

// kernelRTT knows nothing: the time that connect(2) took has to do.
func kernelRTT(*net.TCPConn) (rtt time.Duration, repeated int) { return 0, 0 }

// unsupported is the error for a Config field that this platform has no socket option for.
func unsupported(field string) error {
	return fmt.Errorf("%s: method connect cannot set it on %s: %w", field, runtime.GOOS, errors.ErrUnsupported)
}
