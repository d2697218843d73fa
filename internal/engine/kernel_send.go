//go:build linux && !android

package engine

import (
	"net/netip"
	"syscall"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/raw"
)

// ipSender sends by a raw IP socket: the kernel routes and resolves.
type ipSender struct {
	*raw.Sender
	six bool
}

func (s *ipSender) Set(i, n int, dst netip.Addr, p *Path) {
	ifindex := 0
	if s.six && dst.IsLinkLocalUnicast() {
		ifindex = p.Interface
	}
	s.SetIP(i, n, dst, ifindex)
}

// linkSender sends by a socket that takes whole frames, link header and all.
type linkSender struct {
	linkSocket
	ifindex int
}

type linkSocket interface {
	Frame(i int) []byte
	SetLink(i, n int, hdr *[14]byte)
	Send(from, to int) (int, error)
	Close() error
}

// openLink opens the fastest there is: AF_XDP, of which a transmit queue takes one, or else a packet socket. Their packets are the
// same.
func openLink(ifindex, queue int, mark uint32) (linkSocket, error) {
	if s, err := raw.OpenXDP(ifindex, queue, mark); err == nil {
		return s, nil
	}
	return raw.OpenPacket(ifindex, raw.SocketConfig{Mark: mark})
}

func (s *linkSender) Set(i, n int, _ netip.Addr, p *Path) { s.SetLink(i, n, &p.Link) }

// noSender stands for an address family that this host, or the chosen source, does not have, and for an interface that is gone.
type noSender struct{ why syscall.Errno }

var nowhere [craft.FrameSize]byte

func (noSender) Frame(int) []byte { return nowhere[:] }

func (noSender) Set(int, int, netip.Addr, *Path) {}

func (noSender) SetLink(int, int, *[14]byte) {}

func (noSender) Close() error { return nil }

func (s noSender) Send(int, int) (int, error) { return 0, s.why }
