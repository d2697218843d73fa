//go:build linux && !android

package engine

import (
	"syscall"

	"github.com/rawshake/rawshake/craft"
)

// errnoOf returns what connect(2) gives after such a reply, and 0 where it succeeds: icmp_err_convert in net/ipv4/icmp.c,
// icmpv6_err_convert in net/ipv6/icmp.c. It differs on purpose after two errors that connect(2) goes on after, to time out in the
// end. For us they are answers like the others, with the errno that those tables have for them: EMSGSIZE for "fragmentation needed" and
// "packet too big" (tcp_v4_err in net/ipv4/tcp_ipv4.c takes the smaller MTU and has the SYN, which cannot get smaller, repeated; when it
// gives up, tcp_v4_mtu_reduced may have left the same errno), and EHOSTUNREACH for IPv4's "reassembly time exceeded" (icmp_unreach
// counts it and drops it).
func errnoOf(r *craft.Reply) syscall.Errno {
	switch {
	case r.Kind == craft.RST:
		return syscall.ECONNREFUSED
	case r.Kind != craft.ICMP:
		return 0
	case r.Responder.Is4():
		return errno4(r.ICMPType, r.ICMPCode)
	}
	return errno6(r.ICMPType, r.ICMPCode)
}

var unreachable4 = [...]syscall.Errno{
	syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENOPROTOOPT, syscall.ECONNREFUSED, syscall.EMSGSIZE,
	syscall.EOPNOTSUPP, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENONET, syscall.ENETUNREACH, syscall.EHOSTUNREACH,
	syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EHOSTUNREACH, syscall.EHOSTUNREACH, syscall.EHOSTUNREACH,
}

func errno4(typ, code uint8) syscall.Errno {
	switch {
	case typ == 3 && int(code) < len(unreachable4):
		return unreachable4[code]
	case typ == 12:
		return syscall.EPROTO
	}
	return syscall.EHOSTUNREACH
}

var unreachable6 = [...]syscall.Errno{
	syscall.ENETUNREACH, syscall.EACCES, syscall.EHOSTUNREACH, syscall.EHOSTUNREACH, syscall.ECONNREFUSED,
	syscall.EACCES, syscall.EACCES,
}

func errno6(typ, code uint8) syscall.Errno {
	switch {
	case typ == 1 && int(code) < len(unreachable6):
		return unreachable6[code]
	case typ == 2:
		return syscall.EMSGSIZE
	case typ == 3:
		return syscall.EHOSTUNREACH
	}
	return syscall.EPROTO
}
