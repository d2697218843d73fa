//go:build linux && !android

package raw

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// build reads links, rules, routes and all else that an answer can depend on.
func (r *Routes) build() (*routeTable, error) {
	links, err := r.conn.links()
	if err != nil {
		return nil, err
	}
	cut4, cut6 := special4(), special6()
	if err := cmp.Or(r.conn.destinations(unix.AF_INET, &cut4), r.conn.destinations(unix.AF_INET6, &cut6)); err != nil {
		return nil, err
	}
	if !r.config.Source.IsValid() {
		if err := r.conn.sourceChoices(&cut6); err != nil {
			return nil, err
		}
	}
	return &routeTable{links: links, cells: [2]*cells{newCells(false, cut4), newCells(true, cut6)}}, nil
}

// special4 are the IPv4 addresses that the kernel treats apart without a
// route saying so (ip_route_output_key_hash_rcu, net/ipv4/route.c).
func special4() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/32"),
		netip.MustParsePrefix("224.0.0.0/4"),
		netip.MustParsePrefix("255.255.255.255/32"),
	}
}

// special6 are the unspecified and the loopback address, and the scopes.
func special6() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("::/128"),
		netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("fe80::/10"),
		netip.MustParsePrefix("fec0::/10"),
		netip.MustParsePrefix("ff00::/8"),
	}
}

// destinations adds the destination prefixes of all routes, whatever their
// table, and of all rules.
func (c *routeConn) destinations(family uint8, cut *[]netip.Prefix) error {
	add := func(m message) {
		// struct fib_rule_hdr begins like struct rtmsg, and FRA_DST is RTA_DST.
		h, attrs := header[unix.RtMsg](m)
		if p, ok := destination(h, attrs); ok && h.Family == family {
			*cut = append(*cut, p)
		}
	}
	return cmp.Or(
		named("rules", c.dumpIfAny(newRequest(unix.RTM_GETRULE, unix.RtMsg{Family: family}), add)),
		named("routes", c.dumpIfAny(newRequest(unix.RTM_GETROUTE, unix.RtMsg{Family: family}), add)),
	)
}

// dumpIfAny finds nothing where the kernel lacks what is asked for: IPv6, or
// policy routing.
func (c *routeConn) dumpIfAny(r request, each func(message)) error {
	err := c.dump(r, each)
	if err == unix.EAFNOSUPPORT || err == unix.EOPNOTSUPP {
		return nil
	}
	return err
}

func destination(h unix.RtMsg, attrs attributes) (netip.Prefix, bool) {
	if h.Dst_len == 0 {
		return netip.Prefix{}, false // everything: no cut
	}
	p := netip.PrefixFrom(attrs.addr(unix.RTA_DST), int(h.Dst_len))
	return p, p.IsValid()
}

// sourceChoices adds what the choice of an IPv6 source address depends on
// (RFC 6724, section 5, as ipv6_dev_get_saddr in net/ipv6/addrconf.c has it):
// the prefixes of the policy labels, and which own address has the longest
// prefix in common with the destination.
func (c *routeConn) sourceChoices(cut *[]netip.Prefix) error {
	labels := newRequest(unix.RTM_GETADDRLABEL, addrLabel{Family: unix.AF_INET6})
	addresses := newRequest(unix.RTM_GETADDR, unix.IfAddrmsg{Family: unix.AF_INET6})
	var own []netip.Addr
	err := cmp.Or(
		named("address labels", c.dumpIfAny(labels, func(m message) {
			h, attrs := header[addrLabel](m)
			if p, err := attrs.addr(ifalAddress).Prefix(int(h.PrefixLength)); err == nil {
				*cut = append(*cut, p)
			}
		})),
		named("addresses", c.dumpIfAny(addresses, func(m message) {
			_, attrs := header[unix.IfAddrmsg](m)
			a := attrs.addr(unix.IFA_LOCAL) // with a peer, IFA_ADDRESS is the peer's
			if !a.IsValid() {
				a = attrs.addr(unix.IFA_ADDRESS)
			}
			if a.Is6() {
				own = append(own, a)
			}
		})),
	)
	*cut = append(*cut, forks(own)...)
	return err
}

// forks returns the prefixes that tell which of the addresses an address has
// most in common with: where two part, one bit beyond what they share. Of
// sorted addresses, neighbours show all the places.
func forks(own []netip.Addr) (cut []netip.Prefix) {
	slices.SortFunc(own, netip.Addr.Compare)
	own = slices.Compact(own)
	for i := 1; i < len(own); i++ {
		shared := toKey(own[i-1]).commonBits(toKey(own[i]))
		for _, a := range own[i-1 : i+1] {
			p, _ := a.Prefix(shared + 1)
			cut = append(cut, p)
		}
	}
	return cut
}

// addrLabel is struct ifaddrlblmsg of linux/if_addrlabel.h.
type addrLabel struct {
	Family, _, PrefixLength, Flags uint8
	Index, Sequence                uint32
}

// ifalAddress is IFAL_ADDRESS of the same file.
const ifalAddress = 1
