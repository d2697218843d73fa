//go:build !linux

package rawshake

import (
	"net"
	"time"
)

// kernelRTT knows nothing: the time that connect(2) took has to do.
func kernelRTT(*net.TCPConn) (rtt time.Duration, repeated int) { return 0, 0 }
