//go:build linux && !android

package raw

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// resolve asks the kernel for the route to one address.
func (r *Routes) resolve(table *routeTable, dst netip.Addr, oif int) *answer {
	if err := r.refuse(dst, oif); err != nil {
		return &answer{err: err}
	}
	route, err := r.ask(table.links, dst, oif)
	if err == errNewLink {
		links, _ := r.conn.links()
		route, err = r.ask(links, dst, oif)
	}
	if err == nil && table.links[oif].loopback() && !r.own(table.links, dst) {
		err = unix.ENETUNREACH
	}
	if err != nil {
		return &answer{err: err}
	}
	return &answer{route: route, self: route.Kind == Local && route.Source == dst}
}

// own reports whether an address is of this host. Asked for lo, the kernel
// says that any IPv4 address is on that link (ip_route_output_key_hash_rcu),
// and drops there what is not its own as a martian.
func (r *Routes) own(links map[int]linkInfo, dst netip.Addr) bool {
	route, err := r.ask(links, dst, 0)
	return err == nil && route.Kind == Local
}

// errNewLink says that a route leads to an interface that the table does not
// have, as it is younger.
const errNewLink = unix.ENXIO

func (r *Routes) ask(links map[int]linkInfo, dst netip.Addr, oif int) (route Route, err error) {
	if dst == netip.IPv6Unspecified() {
		dst = netip.IPv6Loopback() // as connect(2) has it; asked for ::, the kernel tells its default route
	}
	refusal := r.conn.exchange(r.config.question(dst, oif), func(m message) {
		route, err = r.read(links, m, oif)
	})
	if refusal == unix.EOPNOTSUPP {
		return route, unix.EAFNOSUPPORT // a kernel without IPv6
	}
	if refusal != nil {
		return route, refusal
	}
	return route, err
}

// refuse knows what connect(2) refuses before it asks for a route
// (tcp_v4_connect, tcp_v6_connect).
func (r *Routes) refuse(dst netip.Addr, oif int) error {
	switch {
	case !dst.IsValid():
		return unix.EINVAL
	case dst.IsMulticast() || dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return unix.ENETUNREACH
	case r.config.Source.IsValid() && r.config.Source.Unmap().Is4() != dst.Is4():
		return unix.EAFNOSUPPORT
	case dst.Is6() && dst.IsLinkLocalUnicast() && oif == 0:
		return unix.EINVAL
	}
	return nil
}

// question is the request that `ip route get` sends. It says TCP, because
// rules can tell protocols apart; rules on ports are not asked about.
func (c RouteConfig) question(dst netip.Addr, oif int) request {
	h := unix.RtMsg{Family: unix.AF_INET, Dst_len: uint8(dst.BitLen())}
	if dst.Is6() {
		h.Family = unix.AF_INET6
	}
	source := c.Source.Unmap()
	if source.IsValid() {
		h.Src_len = uint8(source.BitLen())
	}
	q := newRequest(unix.RTM_GETROUTE, h)
	q.attribute(unix.RTA_DST, dst.AsSlice())
	q.attribute(unix.RTA_IP_PROTO, []byte{unix.IPPROTO_TCP})
	if source.IsValid() {
		q.attribute(unix.RTA_SRC, source.AsSlice())
	}
	if oif != 0 {
		q.attributeUint32(unix.RTA_OIF, uint32(oif))
	}
	if c.Mark != 0 {
		q.attributeUint32(unix.RTA_MARK, c.Mark)
	}
	return q
}

// read turns the kernel's answer into a Route.
func (r *Routes) read(links map[int]linkInfo, m message, oif int) (Route, error) {
	h, attrs := header[unix.RtMsg](m)
	if err := typeError(h.Type); err != nil {
		return Route{}, err
	}
	route := Route{
		Interface: int(attrs.uint32(unix.RTA_OIF)),
		Source:    attrs.addr(unix.RTA_PREFSRC),
		Gateway:   gateway(attrs),
	}
	if s := r.config.Source.Unmap(); s.IsValid() {
		route.Source = s.WithZone("")
	}
	if !route.Source.IsValid() {
		return Route{}, unix.EADDRNOTAVAIL
	}
	link, ok := links[route.Interface]
	if !ok {
		return Route{}, errNewLink
	}
	route.Kind = kindOf(h, attrs, link)
	if route.Kind == Link {
		route.SourceMAC = link.mac
	}
	if route.Kind == Local && oif != 0 {
		route.Interface = oif // the scope of a link-local address
	}
	route.MTU = mtu(attrs, link)
	return route, nil
}

func typeError(kind uint8) error {
	switch kind {
	case unix.RTN_UNICAST, unix.RTN_LOCAL, unix.RTN_ANYCAST:
		return nil
	case unix.RTN_BLACKHOLE:
		return unix.EINVAL
	case unix.RTN_UNREACHABLE:
		return unix.EHOSTUNREACH
	case unix.RTN_PROHIBIT:
		return unix.EACCES
	}
	return unix.ENETUNREACH
}

// kindOf says how the next hop is reached. A route with an encapsulation
// (MPLS, segment routing) is the kernel's business: only it can wrap.
func kindOf(h unix.RtMsg, attrs attributes, link linkInfo) RouteKind {
	switch {
	case h.Type != unix.RTN_UNICAST || link.loopback():
		return Local
	case !link.resolves() || attrs.find(unix.RTA_ENCAP_TYPE) != nil:
		return PointToPoint
	}
	return Link
}

// gateway reads RTA_GATEWAY, or RTA_VIA: a next hop of another family, which
// struct rtvia names before the address.
func gateway(attrs attributes) netip.Addr {
	if via := attrs.find(unix.RTA_VIA); len(via) > 2 {
		addr, _ := netip.AddrFromSlice(via[2:])
		return addr
	}
	return attrs.addr(unix.RTA_GATEWAY)
}

func mtu(attrs attributes, link linkInfo) int {
	if v := attributes(attrs.find(unix.RTA_METRICS)).find(unix.RTAX_MTU); len(v) >= 4 {
		return int(binary.NativeEndian.Uint32(v))
	}
	return link.mtu
}
