//go:build linux && !android

package lab

import (
	"fmt"
	"net/netip"
	"slices"
)

// Topology says which hosts a test has and how they are joined. The zero Topology is a prober and a peer on one link, and a
// body that runs with CAP_NET_RAW alone.
type Topology struct {
	// Links join hosts, which are made by being named. If nil, "prober" and "peer" are joined. The body runs in "prober".
	Links []Link
	// Prefixes are addresses that a host has besides those of its links, each as a whole: every address in them is its own,
	// and all other hosts have a route to them.
	Prefixes map[string][]netip.Prefix
	// As is whom the body runs as. If zero, user 65534 with CAP_NET_RAW as the only capability.
	As Privilege
	// Files replaces files that the body reads, such as /etc/resolv.conf, by these contents. The path must exist.
	Files map[string]string
}

// Link is a veth pair between two hosts.
type Link struct{ A, B string }

// proberName is the host in whose namespace the body of a test runs.
const proberName = "prober"

func (top Topology) links() []Link {
	if top.Links == nil {
		return []Link{{proberName, "peer"}}
	}
	return top.Links
}

// hosts lists the names in the order in which the links name them.
func (top Topology) hosts() []string {
	var names []string
	for _, l := range top.links() {
		for _, name := range []string{l.A, l.B} {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

func (top Topology) validate() error {
	names := top.hosts()
	if !slices.Contains(names, proberName) {
		return fmt.Errorf("lab: no link of the topology joins %q", proberName)
	}
	if len(top.links()) > 200 {
		return fmt.Errorf("lab: %d links, at most 200 have a subnet", len(top.links()))
	}
	for _, l := range top.links() {
		if l.A == l.B || l.A == "" || l.B == "" {
			return fmt.Errorf("lab: a link joins %q and %q, it needs two hosts", l.A, l.B)
		}
	}
	for name := range top.Prefixes {
		if !slices.Contains(names, name) {
			return fmt.Errorf("lab: prefixes for %q, which no link joins", name)
		}
	}
	return nil
}

// subnet4 and subnet6 are the subnets of a link, counted from 0.
func subnet4(link int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, byte(link + 1), 0}), 24)
}

func subnet6(link int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x77, 7: byte(link + 1)}), 64)
}

// end is one end of a link: side 0 is A, side 1 is B.
type end struct{ link, side int }

func (e end) other() end { return end{e.link, 1 - e.side} }

func (e end) addr4() netip.Addr {
	b := subnet4(e.link).Addr().As4()
	b[3] = byte(e.side + 1)
	return netip.AddrFrom4(b)
}

func (e end) addr6() netip.Addr {
	b := subnet6(e.link).Addr().As16()
	b[15] = byte(e.side + 1)
	return netip.AddrFrom16(b)
}

// mac is 02:77:00:00:link:side, so that a capture can be read.
func (e end) mac() []byte { return []byte{2, 0x77, 0, 0, byte(e.link + 1), byte(e.side + 1)} }

// linkLocal is the address that the kernel makes of the MAC (RFC 4291, appendix A).
func (e end) linkLocal() netip.Addr {
	m := e.mac()
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

// ends lists the ends of links that a host has, in the order of its interfaces.
func (top Topology) ends(host string) []end {
	var ends []end
	for i, l := range top.links() {
		switch host {
		case l.A:
			ends = append(ends, end{i, 0})
		case l.B:
			ends = append(ends, end{i, 1})
		}
	}
	return ends
}

func (top Topology) at(e end) string {
	l := top.links()[e.link]
	return [2]string{l.A, l.B}[e.side]
}

// path is a route that a host needs: a prefix and the end of one of its links that leads there.
type path struct {
	to  netip.Prefix
	out end
}

// paths walks the links outwards from a host and lists, nearest first, the subnets and prefixes behind other hosts.
func (top Topology) paths(host string) []path {
	type visit struct {
		host string
		out  end
	}
	seen := map[string]bool{host: true}
	known := map[netip.Prefix]bool{}
	for _, e := range top.ends(host) {
		known[subnet4(e.link)], known[subnet6(e.link)] = true, true
	}
	var queue []visit
	for _, e := range top.ends(host) {
		queue = append(queue, visit{top.at(e.other()), e})
	}
	var paths []path
	for len(queue) > 0 {
		v := queue[0]
		queue = queue[1:]
		if seen[v.host] {
			continue
		}
		seen[v.host] = true
		for _, p := range top.owned(v.host) {
			if !known[p] {
				known[p] = true
				paths = append(paths, path{p, v.out})
			}
		}
		for _, e := range top.ends(v.host) {
			queue = append(queue, visit{top.at(e.other()), v.out})
		}
	}
	return paths
}

// owned lists the prefixes that are reached through a host: the subnets of its links and its own.
func (top Topology) owned(host string) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, e := range top.ends(host) {
		prefixes = append(prefixes, subnet4(e.link), subnet6(e.link))
	}
	return append(prefixes, top.Prefixes[host]...)
}
