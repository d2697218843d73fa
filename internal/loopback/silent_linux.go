package loopback

import (
	"context"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Silent returns an address that answers nothing: a listener that drops segments from hosts more than 0 hops
// away, and whoever sends TTL 64 claims to be.
func Silent(t testing.TB, addr string) string {
	t.Helper()
	config := net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) (err error) {
		c.Control(func(fd uintptr) {
			if network == "tcp6" {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MINHOPCOUNT, 255)
			} else {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MINTTL, 255)
			}
		})
		return err
	}}
	l, err := config.Listen(context.Background(), "tcp", addr)
	if err != nil {
		t.Skipf("no listener on %s: %v", addr, err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}
