//go:build linux && !android

// Package loopback makes ports on loopback for what doctor and demo try. Tests have the module's internal/loopback.
package loopback

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Closed is a port that is certainly closed: a socket owns it and does not listen, so that nobody else can open it.
type Closed struct {
	Addr netip.AddrPort
	fd   int
}

// Close gives the port back.
func (c *Closed) Close() error { return unix.Close(c.fd) }

// OpenClosed takes a free port of 127.0.0.1 or ::1.
func OpenClosed(v6 bool) (*Closed, error) {
	family, at := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Addr: Addr(false).As4()})
	if v6 {
		family, at = unix.AF_INET6, &unix.SockaddrInet6{Addr: Addr(true).As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("a closed port: socket: %w", err)
	}
	c := &Closed{fd: fd}
	if err := unix.Bind(fd, at); err != nil {
		c.Close()
		return nil, fmt.Errorf("a closed port: bind: %w", err)
	}
	port, err := localPort(fd)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("a closed port: getsockname: %w", err)
	}
	c.Addr = netip.AddrPortFrom(Addr(v6), port)
	return c, nil
}

// Addr returns 127.0.0.1 or ::1.
func Addr(v6 bool) netip.Addr {
	if v6 {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

func localPort(fd int) (uint16, error) {
	name, err := unix.Getsockname(fd)
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return uint16(name.Port), nil
	case *unix.SockaddrInet6:
		return uint16(name.Port), nil
	}
	return 0, err
}
