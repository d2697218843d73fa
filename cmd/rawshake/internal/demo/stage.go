//go:build linux && !android

package demo

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/loopback"
	"github.com/rawshake/rawshake/raw"
)

// stage is three ports of one family on loopback.
type stage struct {
	v6       bool
	listener net.Listener
	accepted atomic.Int32
	closed   *loopback.Closed
	silent   *raw.Guard
}

func openStage(v6 bool) (s *stage, err error) {
	s = &stage{v6: v6}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.closed, err = loopback.OpenClosed(v6); err != nil {
		return s, err
	}
	if s.silent, err = raw.OpenGuard(v6, raw.PortRange{}, 1, ""); err != nil {
		return s, err
	}
	if s.listener, err = net.Listen("tcp", netip.AddrPortFrom(loopback.Addr(v6), 0).String()); err != nil {
		return s, err
	}
	go s.accept()
	return s, nil
}

// accept returns when the listener is closed.
func (s *stage) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.accepted.Add(1)
		conn.Close()
	}
}

func (s *stage) close() {
	if s.listener != nil {
		s.listener.Close()
	}
	if s.silent != nil {
		s.silent.Close()
	}
	if s.closed != nil {
		s.closed.Close()
	}
}

// open is the address of the listener.
func (s *stage) open() netip.AddrPort { return s.listener.Addr().(*net.TCPAddr).AddrPort() }

func (s *stage) acts() []act {
	silent := netip.AddrPortFrom(loopback.Addr(s.v6), s.silent.Ports()[0])
	return []act{
		{
			title:  fmt.Sprintf("An open port: a program listens on %v.", s.open()),
			target: s.open(), want: rawshake.Open,
			after: func() string {
				return fmt.Sprintf("The program noticed nothing: its accept() returned %d times.", s.accepted.Load())
			},
		},
		{
			title:  fmt.Sprintf("A closed port: nobody listens on %v.", s.closed.Addr),
			target: s.closed.Addr, want: rawshake.Closed,
			after: func() string { return "A reset is an answer too: the host is up, and nobody listens there." },
		},
		{
			title:  fmt.Sprintf("A silent port: %v drops what it receives, as a firewall does.", silent),
			target: silent, want: rawshake.Filtered,
			after: func() string { return "Only silence until the timeout, over several attempts, reads as filtered." },
		},
	}
}
