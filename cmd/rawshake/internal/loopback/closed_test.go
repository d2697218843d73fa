//go:build linux && !android

package loopback

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

func TestClosedPortRefuses(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		c, err := OpenClosed(v6)
		if v6 && errors.Is(err, syscall.EADDRNOTAVAIL) {
			continue // no ::1 here
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := net.Dial("tcp", c.Addr.String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial %v: %v", c.Addr, err)
		}
		if l, err := net.Listen("tcp", c.Addr.String()); err == nil {
			l.Close()
			t.Errorf("%v can be opened by others", c.Addr)
		}
	}
}
