//go:build linux && !android

package raw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// routeConn asks the kernel's routing tables (rtnetlink(7)). The kernel
// answers within the system call, so nothing here waits for long. It is safe
// for concurrent use.
type routeConn struct {
	mu     sync.Mutex
	fd     int
	closed bool
	seq    uint32
	in     []byte
}

// netlinkBuffer holds the largest message that the kernel makes for a dump.
const netlinkBuffer = 64 << 10

func dialRoute() (*routeConn, error) {
	fd, err := netlinkSocket(0)
	if err != nil {
		return nil, err
	}
	return &routeConn{fd: fd, in: make([]byte, netlinkBuffer)}, nil
}

func netlinkSocket(flags int) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, unix.NETLINK_ROUTE)
	if err != nil {
		return -1, fmt.Errorf("netlink socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("netlink socket: bind: %w", err)
	}
	return fd, nil
}

func (c *routeConn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		unix.Close(c.fd)
	}
}

// errInterrupted says that the tables changed during a dump, which may then
// lack entries.
var errInterrupted = errors.New("netlink dump interrupted by a change")

// dump calls each for every object that the request selects. After a change
// in the middle it begins again, so an object can come twice.
func (c *routeConn) dump(r request, each func(message)) error {
	r.flags |= unix.NLM_F_DUMP
	for range 10 {
		if err := c.exchange(r, each); err != errInterrupted {
			return err
		}
	}
	return errInterrupted
}

// untilClosed repeats a reading of the tables that notices can no longer keep
// right, until it succeeds or the connection is closed.
func untilClosed(read func() error) {
	for {
		if err := read(); err == nil || errors.Is(err, net.ErrClosed) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// exchange sends a request and calls each for every message of the answer.
// What the kernel refuses comes back as its syscall.Errno.
func (c *routeConn) exchange(r request, each func(message)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.seq++
	if err := unix.Send(c.fd, r.encode(c.seq), 0); err != nil {
		return err
	}
	interrupted := false
	for {
		n, err := unix.Read(c.fd, c.in)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		for m := range messages(c.in[:n]) {
			if m.seq != c.seq {
				continue // the rest of an answer that was given up
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			if m.kind == unix.NLMSG_DONE || m.kind == unix.NLMSG_ERROR {
				return verdict(m, interrupted)
			}
			each(m)
			if m.flags&unix.NLM_F_MULTI == 0 {
				return nil
			}
		}
	}
}

// verdict reads the error code with which an answer ends.
func verdict(m message, interrupted bool) error {
	if len(m.body) >= 4 {
		if code := int32(binary.NativeEndian.Uint32(m.body)); code < 0 {
			return syscall.Errno(-code)
		}
	}
	if interrupted {
		return errInterrupted
	}
	return nil
}

// request is a netlink message in the making: a fixed header of its kind,
// then attributes.
type request struct {
	kind, flags uint16
	body        []byte
}

func newRequest[T any](kind uint16, header T) request {
	return request{kind: kind, body: append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&header)), unsafe.Sizeof(header))...)}
}

func (r *request) attribute(kind uint16, value []byte) {
	r.body = binary.NativeEndian.AppendUint16(r.body, uint16(unix.SizeofRtAttr+len(value)))
	r.body = binary.NativeEndian.AppendUint16(r.body, kind)
	r.body = append(r.body, value...)
	r.body = append(r.body, make([]byte, align4(len(r.body))-len(r.body))...)
}

func (r *request) attributeUint32(kind uint16, value uint32) {
	r.attribute(kind, binary.NativeEndian.AppendUint32(nil, value))
}

func (r *request) encode(seq uint32) []byte {
	b := make([]byte, 0, unix.NLMSG_HDRLEN+len(r.body))
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.NLMSG_HDRLEN+len(r.body)))
	b = binary.NativeEndian.AppendUint16(b, r.kind)
	b = binary.NativeEndian.AppendUint16(b, r.flags|unix.NLM_F_REQUEST)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	return append(b, r.body...)
}

func align4(n int) int { return (n + 3) &^ 3 }
