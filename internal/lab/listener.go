//go:build linux && !android

package lab

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// Listener is an open port of a host. The listening socket is the kernel's; accepted connections are counted, read and
// closed after the other side.
type Listener struct {
	listener net.Listener
	accepted atomic.Int64
}

// Listen opens a port of the host on all its IPv4 and IPv6 addresses until the end of t.
func (h *Host) Listen(t testing.TB, port uint16) *Listener {
	t.Helper()
	return h.ListenAt(t, netip.AddrPortFrom(netip.IPv6Unspecified(), port))
}

// ListenAt opens a port on one address of the host until the end of t.
func (h *Host) ListenAt(t testing.TB, at netip.AddrPort) *Listener {
	t.Helper()
	m, err := h.call("listen", listenArgs{at}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.files[0].Close()
	l := &Listener{}
	if l.listener, err = net.FileListener(m.files[0]); err != nil {
		t.Fatal(err)
	}
	go l.accept()
	t.Cleanup(l.Close)
	return l
}

// accept returns when the listener is closed. Other errors, such as no descriptors left, pass.
func (l *Listener) accept() {
	for {
		conn, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		l.accepted.Add(1)
		go discard(conn)
	}
}

// discard reads until the other side ends the connection.
func discard(conn net.Conn) {
	io.Copy(io.Discard, conn)
	conn.Close()
}

// Accepted says how often accept(2) has returned a connection: each is a completed handshake.
func (l *Listener) Accepted() int { return int(l.accepted.Load()) }

// Port returns the port that is open, which the kernel chose if it was 0.
func (l *Listener) Port() uint16 { return uint16(l.listener.Addr().(*net.TCPAddr).Port) }

// Close closes the port.
func (l *Listener) Close() { l.listener.Close() }
