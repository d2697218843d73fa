package connect

import (
	"syscall"

	"github.com/rawshake/rawshake/match"
)

// classifyErrno returns what an errno of a dial means; op is the system call that gave it. Which errno an answer becomes is
// in Linux net/ipv4/tcp_input.c tcp_reset, net/ipv4/icmp.c icmp_err_convert and net/ipv6/icmp.c tab_unreach.
func classifyErrno(op string, errno syscall.Errno) (match.State, match.Reason) {
	switch op {
	case "socket", "setsockopt", "bind":
		return match.Unsent, socketReason(op, errno)
	}
	switch errno {
	case syscall.ECONNREFUSED: // a RST, or an ICMP error that connect(2) does not tell from it
		return match.Closed, match.RST
	case syscall.ECONNRESET, syscall.EPIPE: // a RST after the handshake: a SYN-ACK did answer
		return match.Open, match.SYNACK
	case syscall.ETIMEDOUT: // the kernel gave up before us
		return match.Filtered, match.Timeout
	}
	if reason := unreachableReason(errno); reason != match.NoReason {
		return match.Unreachable, reason
	}
	return match.Unsent, localReason(errno)
}

// unreachableReason names what an ICMP error or the routing table said; NoReason if it was neither.
func unreachableReason(errno syscall.Errno) match.Reason {
	switch errno {
	case syscall.ENETUNREACH:
		return match.NetUnreachable
	case syscall.EHOSTUNREACH:
		return match.HostUnreachable
	case syscall.EHOSTDOWN:
		return match.NoNeighbour
	case syscall.ENOPROTOOPT:
		return match.ProtocolUnreachable
	case syscall.EACCES: // ICMPv6 "administratively prohibited", or a prohibit route
		return match.AdminProhibited
	case syscall.EMSGSIZE:
		return match.FragmentationNeeded
	case syscall.EPROTO:
		return match.ParameterProblem
	case syscall.EINVAL: // a blackhole route, or a link-local address without its zone
		return match.NoRoute
	}
	return match.NoReason
}

// localReason names what kept connect(2) from sending.
func localReason(errno syscall.Errno) match.Reason {
	switch errno {
	case syscall.EPERM:
		return match.LocalFirewall
	case syscall.ENOBUFS, syscall.ENOMEM:
		return match.NoBuffers
	case syscall.ENETDOWN, syscall.ENODEV, syscall.ENXIO:
		return match.LinkDown
	case syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.EAGAIN: // no free source port
		return match.Overload
	}
	return match.SendFailed
}

// socketReason names what failed before connect(2).
func socketReason(op string, errno syscall.Errno) match.Reason {
	switch {
	case noDescriptor(errno):
		return match.Overload
	case errno == syscall.ENODEV:
		return match.LinkDown
	case op == "bind" && errno == syscall.EADDRNOTAVAIL: // Config.Source is not an address of this host
		return match.NoSource
	case op == "bind" && errno == syscall.EADDRINUSE: // all of Config.SourcePorts are taken
		return match.Overload
	}
	return match.ConnectFailed
}
