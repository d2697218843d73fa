//go:build linux && !android

package raw

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// BatchSize is the number of places of a Sender: packets for one system
	// call. More gains nothing (the call is already shared by 64), and keeps
	// the thread in the kernel for longer.
	BatchSize = 64
	// Headroom is the number of bytes before the IP packet in a frame: room
	// for a link header.
	Headroom = 16
	// FrameSize is the number of bytes of a frame: headroom, IP header and
	// TCP header with options.
	FrameSize = 128

	etherHeader = 14
)

// Sender puts whole IP packets on the wire through one socket, up to
// BatchSize with one sendmmsg(2), and never blocks. It is filled in place:
// write the packet to Frame(i)[Headroom:], name its destination with SetIP or
// SetLink, then Send a run of places. Nothing is allocated.
//
// A Sender is not safe for concurrent use.
type Sender struct {
	fd    int
	arena []byte // BatchSize frames
	msgs  []unix.Mmsghdr
	iovs  []unix.Iovec
	names []sockaddr
}

// sockaddr is room for the destination of one place, in the kernel's layout.
type sockaddr struct {
	inet6 unix.RawSockaddrInet6
	_     [4]byte // two to a cache line
}

func (a *sockaddr) inet4() *unix.RawSockaddrInet4 {
	return (*unix.RawSockaddrInet4)(unsafe.Pointer(&a.inet6))
}

// newSender ties the headers of every place to its frame once; only lengths
// and addresses change from packet to packet. The kernel gets the address of
// msgs as a number: that is sound because Go does not move heap objects, and
// because iovs and names are typed pointers in msgs that keep them alive.
func newSender(fd int) *Sender {
	s := &Sender{
		fd:    fd,
		arena: make([]byte, BatchSize*FrameSize),
		msgs:  make([]unix.Mmsghdr, BatchSize),
		iovs:  make([]unix.Iovec, BatchSize),
		names: make([]sockaddr, BatchSize),
	}
	for i := range s.msgs {
		s.iovs[i].Base = &s.arena[i*FrameSize]
		s.msgs[i].Hdr.Iov = &s.iovs[i]
		s.msgs[i].Hdr.SetIovlen(1)
	}
	return s
}

// Frame returns the FrameSize bytes of place i. The IP packet starts at
// Headroom. The slice is valid until Close.
func (s *Sender) Frame(i int) []byte {
	return s.arena[i*FrameSize : (i+1)*FrameSize : (i+1)*FrameSize]
}

// SetIP says that place i of a raw IP socket holds an IP packet of n bytes
// for dst. The interface index is needed for IPv6 link-local destinations
// only and is 0 otherwise.
func (s *Sender) SetIP(i, n int, dst netip.Addr, ifindex int) {
	s.span(i, Headroom, n)
	name := &s.names[i]
	if name.inet6.Family == unix.AF_INET {
		name.inet4().Addr = dst.As4()
		return
	}
	name.inet6.Addr = dst.As16()
	name.inet6.Scope_id = uint32(ifindex)
}

// SetLink says that place i of a packet socket holds an IP packet of n bytes,
// and puts the link header before it: destination MAC, source MAC, ethertype.
func (s *Sender) SetLink(i, n int, hdr *[14]byte) {
	start := Headroom - etherHeader
	copy(s.Frame(i)[start:], hdr[:])
	s.span(i, start, etherHeader+n)
}

func (s *Sender) span(i, start, n int) {
	s.iovs[i].Base = &s.Frame(i)[start]
	s.iovs[i].SetLen(n)
}

// pendingTries bounds how often one place is tried again because of an error
// that may belong to another packet.
const pendingTries = 3

// Send sends the places from from up to, but not including, to, in order. It
// returns how many were sent; when err is not nil it is the syscall.Errno of
// place from+sent, which was not sent. The caller decides what becomes of
// that place: EAGAIN means that the socket's send buffer is full, ENOBUFS that
// the interface or the neighbour table is, both pass; EPERM that the local
// firewall refused the packet; the errors of routing are those of connect(2).
// Over IPv6 a full neighbour table is EINVAL, like a route into a black hole.
func (s *Sender) Send(from, to int) (sent int, err error) {
	at, tries := from, 0
	for at < to {
		n, errno := s.sendmmsg(at, to)
		switch {
		case errno == 0:
			at, tries = at+n, 0
		case errno == unix.EINTR:
		case mayBePending(errno) && tries < pendingTries:
			tries++
			s.clearError()
		default:
			return at - from, errno
		}
	}
	return at - from, nil
}

// sendmmsg skips the scheduler's bookkeeping (RawSyscall): the call never
// blocks, and a batch is short enough that stopping the world can wait for it.
// The kernel reports an error only for the first packet of a call; one that
// strikes later ends the call with a short count and shows on the next.
func (s *Sender) sendmmsg(from, to int) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd),
		uintptr(unsafe.Pointer(&s.msgs[from])), uintptr(to-from), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// mayBePending reports whether errno can be what an ICMP error left behind on
// the socket. The kernel hands such an error to whatever send comes next, and
// that is another packet than the one that drew it. These are the values of
// icmp_err_convert (net/ipv4/icmp.c) and tab_unreach (net/ipv6/icmp.c);
// errors like EPERM, ENOBUFS, EAGAIN or EINVAL are always the packet's own.
func mayBePending(errno syscall.Errno) bool {
	switch errno {
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ECONNREFUSED, unix.ENOPROTOOPT, unix.EMSGSIZE,
		unix.EOPNOTSUPP, unix.EHOSTDOWN, unix.ENONET, unix.EACCES, unix.EPROTO:
		return true
	}
	return false
}

// clearError takes the socket's pending error away.
func (s *Sender) clearError() {
	unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
}

// Close closes the socket. Frames must not be used afterwards.
func (s *Sender) Close() error {
	return unix.Close(s.fd)
}
