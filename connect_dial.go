package rawshake

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/match"
)

// dialFunc makes a connection and resets it. A local address that is not valid, or a local port 0, is the kernel's choice.
type dialFunc func(ctx context.Context, local, target netip.AddrPort) (handshake, error)

// handshake is what a connection that came about has told.
type handshake struct {
	local, remote netip.AddrPort
	rtt           time.Duration // 0 if the kernel does not say
	attempt       int           // SYNs that stayed without an answer
}

// scarcityPause is how long a probe waits for a descriptor when the rest of the program has taken them all.
const scarcityPause = 5 * time.Millisecond

// connect dials with the slot that admit has taken, and frees it.
func (b *connectBackend) connect(ctx context.Context, target netip.AddrPort, timeout time.Duration) Result {
	defer b.freeSlot()
	b.counters.inFlight.Add(1)
	defer b.counters.inFlight.Add(-1)
	for start := time.Now(); ; {
		r := b.dialOnce(ctx, target, timeout)
		if !noDescriptor(r.Err) || time.Since(start) > timeout {
			return r
		}
		if !sleep(ctx, scarcityPause) {
			return canceled(ctx, target)
		}
	}
}

func noDescriptor(err error) bool { return err == syscall.EMFILE || err == syscall.ENFILE }

func (b *connectBackend) dialOnce(parent context.Context, target netip.AddrPort, timeout time.Duration) Result {
	ctx, cancel := context.WithTimeout(parent, timeout)
	defer cancel()
	start := time.Now()
	h, err := b.dialFrom(ctx, target)
	took := time.Since(start)
	if err != nil && parent.Err() != nil {
		return canceled(parent, target)
	}
	if err != nil {
		return b.failed(target, err, took)
	}
	return b.connected(target, h, took)
}

// dialFrom dials from the ports of Config.SourcePorts in turn until it finds one that is free.
func (b *connectBackend) dialFrom(ctx context.Context, target netip.AddrPort) (h handshake, err error) {
	for range b.ports.size() {
		h, err = b.dial(ctx, netip.AddrPortFrom(b.source, b.ports.take()), target)
		if op, errno := syscallOf(err); op != "bind" || errno != syscall.EADDRINUSE {
			return h, err
		}
	}
	return h, err
}

func (b *connectBackend) connected(target netip.AddrPort, h handshake, took time.Duration) Result {
	b.counters.rst.Add(1)
	b.pace.charge(2) // the ACK and the RST
	if h.local == h.remote {
		// A simultaneous open with ourselves (RFC 9293 §3.5, figure 8): the kernel took the target's port for our own, so
		// nobody listens there.
		return verdict(target, Closed, match.RST, syscall.ECONNREFUSED)
	}
	r := verdict(target, Open, match.SYNACK, nil)
	r.Source, r.RTT, r.Attempt = h.local, h.rtt, h.attempt
	if r.RTT == 0 && r.Attempt == 0 {
		r.RTT = took
	}
	return r
}

func (b *connectBackend) failed(target netip.AddrPort, err error, took time.Duration) Result {
	op, errno := syscallOf(err)
	if errno == 0 && os.IsTimeout(err) {
		return verdict(target, Filtered, match.Timeout, nil)
	}
	if errno == 0 {
		b.counters.failed.Add(1)
		return verdict(target, Unsent, match.ConnectFailed, err)
	}
	state, reason := classifyErrno(op, errno)
	r := verdict(target, state, reason, errno)
	switch {
	case state == Open || state == Filtered:
		r.Err = nil
	case state == Closed:
		r.RTT = took
	case errno == syscall.EADDRINUSE: // of bind(2); connect(2) says it so
		r.Err = syscall.EADDRNOTAVAIL
	}
	if state == Unsent {
		b.counters.failed.Add(1)
	}
	return r
}

// syscallOf returns the system call that a dial failed in, such as "connect" or "bind", and its errno; 0 if it was none.
func syscallOf(err error) (op string, errno syscall.Errno) {
	var call *os.SyscallError
	if errors.As(err, &call) {
		op = call.Syscall
	}
	if errors.As(err, &errno) {
		errno = portableErrno(errno)
	}
	return op, errno
}

// dialer returns the dialFunc of real sockets.
func dialer(options socketOptions) dialFunc {
	base := net.Dialer{KeepAlive: -1, Control: options.control()}
	base.SetMultipathTCP(false)
	return func(ctx context.Context, local, target netip.AddrPort) (handshake, error) {
		d := base
		if local != (netip.AddrPort{}) {
			d.LocalAddr = net.TCPAddrFromAddrPort(local)
		}
		conn, err := d.DialContext(ctx, tcpNetwork(target.Addr()), target.String())
		if err != nil {
			return handshake{}, err
		}
		defer conn.Close()
		return inspect(conn.(*net.TCPConn))
	}
}

// inspect reads what a connection tells, and has its close send a RST.
func inspect(conn *net.TCPConn) (handshake, error) {
	h := handshake{local: addrPort(conn.LocalAddr()), remote: addrPort(conn.RemoteAddr())}
	h.rtt, h.attempt = kernelRTT(conn)
	return h, conn.SetLinger(0)
}

func addrPort(a net.Addr) netip.AddrPort { return unmap(a.(*net.TCPAddr).AddrPort()) }

func tcpNetwork(a netip.Addr) string {
	if a.Is4() {
		return "tcp4"
	}
	return "tcp6"
}

// portCycle hands out the ports of a range in turn; of an empty range, port 0.
type portCycle struct {
	PortRange
	taken atomic.Uint32
}

func (c *portCycle) size() int { return int(c.Last-c.First) + 1 }

func (c *portCycle) take() uint16 {
	return c.First + uint16((c.taken.Add(1)-1)%uint32(c.size()))
}
