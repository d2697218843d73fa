package connect

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
func (p *Prober) connect(ctx context.Context, target netip.AddrPort, timeout time.Duration) Verdict {
	defer p.freeSlot()
	p.inFlight.Add(1)
	defer p.inFlight.Add(-1)
	for start := time.Now(); ; {
		v := p.dialOnce(ctx, target, timeout)
		if !noDescriptor(v.Err) || time.Since(start) > timeout {
			return v
		}
		if !sleep(ctx, scarcityPause) {
			return canceled(ctx, target)
		}
	}
}

func noDescriptor(err error) bool { return err == syscall.EMFILE || err == syscall.ENFILE }

func (p *Prober) dialOnce(parent context.Context, target netip.AddrPort, timeout time.Duration) Verdict {
	ctx, cancel := context.WithTimeout(parent, timeout)
	defer cancel()
	start := time.Now()
	h, err := p.dialFrom(ctx, target)
	took := time.Since(start)
	if err != nil && parent.Err() != nil {
		return canceled(parent, target)
	}
	if err != nil {
		return p.failed(target, err, took)
	}
	return p.connected(target, h, took)
}

// dialFrom dials from the ports of Config.SourcePorts in turn until it finds one that is free.
func (p *Prober) dialFrom(ctx context.Context, target netip.AddrPort) (h handshake, err error) {
	for range p.ports.size() {
		h, err = p.dial(ctx, netip.AddrPortFrom(p.config.Source, p.ports.take()), target)
		if op, errno := syscallOf(err); op != "bind" || errno != syscall.EADDRINUSE {
			return h, err
		}
	}
	return h, err
}

func (p *Prober) connected(target netip.AddrPort, h handshake, took time.Duration) Verdict {
	p.rst.Add(1)
	p.pace.charge(2) // the ACK and the RST
	if h.local == h.remote {
		// A simultaneous open with ourselves (RFC 9293 §3.5, figure 8): the kernel took the target's port for our own, so
		// nobody listens there.
		return verdict(target, match.Closed, match.RST, syscall.ECONNREFUSED)
	}
	v := verdict(target, match.Open, match.SYNACK, nil)
	v.Source, v.RTT, v.Attempt = h.local, h.rtt, h.attempt
	if v.RTT == 0 && v.Attempt == 0 {
		v.RTT = took
	}
	return v
}

func (p *Prober) failed(target netip.AddrPort, err error, took time.Duration) Verdict {
	op, errno := syscallOf(err)
	if errno == 0 && os.IsTimeout(err) {
		return verdict(target, match.Filtered, match.Timeout, nil)
	}
	if errno == 0 {
		p.refused.Add(1)
		return verdict(target, match.Unsent, match.ConnectFailed, err)
	}
	state, reason := classifyErrno(op, errno)
	v := verdict(target, state, reason, errno)
	switch {
	case state == match.Open || state == match.Filtered:
		v.Err = nil
	case state == match.Closed:
		v.RTT = took
	case errno == syscall.EADDRINUSE: // of bind(2); connect(2) says it so
		v.Err = syscall.EADDRNOTAVAIL
	}
	if state == match.Unsent {
		p.refused.Add(1)
	}
	return v
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

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
