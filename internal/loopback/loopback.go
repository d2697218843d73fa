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

// Closed returns an address where nobody listens, and nobody can before the test ends: it is our end of a connection.
func Closed(t testing.TB, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("no listener on %s: %v", addr, err)
	}
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: l.Addr().(*net.TCPAddr).IP}}
	c, err := from.Dial("tcp", l.Addr().String())
	if err != nil {
		l.Close()
		t.Fatalf("a closed port: %v", err)
	}
	t.Cleanup(func() {
		l.Close() // resets what it did not accept, so nothing lingers
		c.Close()
	})
	return c.LocalAddr().String()
}

// Free returns an address that nobody uses at the moment.
func Free(t testing.TB, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("no listener on %s: %v", addr, err)
	}
	defer l.Close()
	return l.Addr().String()
}
