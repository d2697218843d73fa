// Package loopback makes open, closed and silent ports on this machine, for tests on every platform. Each function takes the
// address to listen on, such as "127.0.0.1:0" or "[::1]:0", and returns the one it got; where that cannot be had, it skips the test.
package loopback

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Open returns the address of a listener that accepts, and the number of connections it has accepted.
func Open(t testing.TB, addr string) (string, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("no listener on %s: %v", addr, err)
	}
	accepted := new(atomic.Int64)
	var server sync.WaitGroup
	server.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			c.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		server.Wait()
	})
	return l.Addr().String(), accepted
}

// Closed returns an address where nobody listens.
func Closed(t testing.TB, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("no listener on %s: %v", addr, err)
	}
	defer l.Close()
	return l.Addr().String()
}
