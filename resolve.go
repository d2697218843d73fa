package rawshake

import (
	"context"
	"net"
	"net/netip"
)

// parseLiteral reads an address that needs no lookup, such as "192.0.2.1:80" or "[fe80::1%eth0]:80", without allocating.
func parseLiteral(network, addr string) (target netip.AddrPort, ok bool) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !fits(network, ap.Addr()) {
		return netip.AddrPort{}, false
	}
	return reachable(ap.Addr(), ap.Port()), true
}

// splitAddr splits an address that is not a literal, or has something wrong. The error is a *net.AddrError.
func splitAddr(addr string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(addr)
	switch {
	case err != nil:
		return "", "", err
	case host == "":
		return "", "", &net.AddrError{Err: "missing host in address", Addr: addr}
	case port == "":
		return "", "", &net.AddrError{Err: "missing port in address", Addr: addr}
	}
	return host, port, nil
}

// resolve looks host and port up. Like the package net for a connection of network "tcp", it takes the first IPv4 address
// that a name has, and an IPv6 address only where there is none.
func resolve(ctx context.Context, resolver *net.Resolver, network, host, port string) (netip.AddrPort, error) {
	number, err := resolver.LookupPort(ctx, network, port)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addrs, err := lookup(ctx, resolver, network, host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr, ok := prefer(network, addrs)
	if !ok {
		return netip.AddrPort{}, &net.AddrError{Err: "no suitable address found", Addr: host}
	}
	return reachable(addr, uint16(number)), nil
}

func lookup(ctx context.Context, resolver *net.Resolver, network, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	return resolver.LookupNetIP(ctx, "ip"+network[len("tcp"):], host)
}

// prefer returns the first IPv4 address, or else the first that fits the network.
func prefer(network string, addrs []netip.Addr) (best netip.Addr, ok bool) {
	for _, a := range addrs {
		if !fits(network, a) {
			continue
		}
		if a.Unmap().Is4() {
			return a, true
		}
		if !ok {
			best, ok = a, true
		}
	}
	return best, ok
}

// fits reports whether an address is of the network's family.
func fits(network string, a netip.Addr) bool {
	switch network {
	case "tcp4":
		return a.Unmap().Is4()
	case "tcp6":
		return !a.Unmap().Is4()
	}
	return true
}

// reachable returns what connect(2) would go to: IPv4 for an IPv4-mapped address, localhost for the unspecified address.
func reachable(a netip.Addr, port uint16) netip.AddrPort {
	a = a.Unmap()
	switch a {
	case netip.IPv4Unspecified():
		a = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case netip.IPv6Unspecified():
		a = netip.IPv6Loopback()
	}
	return netip.AddrPortFrom(a, port)
}
