//go:build linux && !android

package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// world is a built topology: what the first process holds.
type world struct {
	top   Topology
	nodes map[string]*node
}

// node is one host: its namespace and a netlink socket in it.
type node struct {
	name string
	ns   namespace
	nl   *netlink.Handle
	top  Topology
}

// build makes the network. The world must be closed, also after an error.
func build(top Topology) (*world, error) {
	w := &world{top: top, nodes: map[string]*node{}}
	for _, name := range top.hosts() {
		n, err := newNode(name, top)
		if err != nil {
			return w, fmt.Errorf("lab: host %s: %w", name, err)
		}
		w.nodes[name] = n
	}
	for i, l := range top.links() {
		if err := w.join(i, l); err != nil {
			return w, fmt.Errorf("lab: link %s to %s: %w", l.A, l.B, err)
		}
	}
	for _, n := range w.nodes {
		if err := n.setRoutes(); err != nil {
			return w, fmt.Errorf("lab: routes of %s: %w", n.name, err)
		}
	}
	return w, nil
}

func (w *world) close() {
	for _, n := range w.nodes {
		n.nl.Close()
		n.ns.file.Close()
	}
}

func newNode(name string, top Topology) (*node, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	nl, err := netlink.NewHandleAt(netns.NsHandle(ns.file.Fd()))
	if err != nil {
		return nil, errors.Join(err, ns.file.Close())
	}
	n := &node{name, ns, nl, top}
	if err := errors.Join(n.setSysctls(), n.up("lo")); err != nil {
		nl.Close()
		return nil, errors.Join(err, ns.file.Close())
	}
	return n, nil
}

// quiet are settings of every namespace: nothing on the wire that a test did not cause, and no limit on what it causes.
var quiet = map[string]string{
	"net/ipv6/conf/*/disable_ipv6":         "0",
	"net/ipv6/conf/*/accept_dad":           "0",
	"net/ipv6/conf/*/router_solicitations": "0",
	"net/ipv6/conf/*/keep_addr_on_down":    "1",
	"net/ipv4/conf/*/rp_filter":            "0",
	"net/ipv4/icmp_ratelimit":              "0",
	"net/ipv4/icmp_msgs_per_sec":           "1000000000",
	"net/ipv6/icmp/ratelimit":              "0",
}

// setSysctls skips keys that this kernel does not have per namespace.
func (n *node) setSysctls() error {
	settings := map[string]string{}
	for key, value := range quiet {
		settings[strings.Replace(key, "*", "all", 1)] = value
		settings[strings.Replace(key, "*", "default", 1)] = value
	}
	if n.name != proberName {
		settings["net/ipv4/ip_forward"] = "1"
		settings["net/ipv6/conf/all/forwarding"] = "1"
	}
	return n.ns.do(func() error {
		for key, value := range settings {
			err := os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return nil
	})
}

// join makes the veth pair of a link, each end inside its namespace from the start.
func (w *world) join(i int, l Link) error {
	ends := [2]end{{i, 0}, {i, 1}}
	a, b := w.nodes[l.A], w.nodes[l.B]
	attrs := netlink.NewLinkAttrs()
	attrs.Name = a.interfaceName(ends[0])
	attrs.HardwareAddr = ends[0].mac()
	attrs.TxQLen = 1000
	attrs.NumTxQueues = runtime.NumCPU() // as network cards have
	pair := &netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         b.interfaceName(ends[1]),
		PeerHardwareAddr: ends[1].mac(),
		PeerNamespace:    netlink.NsFd(b.ns.file.Fd()),
	}
	if err := a.nl.LinkAdd(pair); err != nil {
		return err
	}
	return errors.Join(a.setAddresses(ends[0]), b.setAddresses(ends[1]))
}

// interfaceName is eth0 for the first link of a host, eth1 for the next …
func (n *node) interfaceName(e end) string {
	for i, mine := range n.top.ends(n.name) {
		if mine == e {
			return fmt.Sprint("eth", i)
		}
	}
	panic("lab: not an end of this host")
}

func (n *node) setAddresses(e end) error {
	name := n.interfaceName(e)
	return errors.Join(
		n.addAddress(name, netip.PrefixFrom(e.addr4(), 24)),
		n.addAddress(name, netip.PrefixFrom(e.addr6(), 64)),
		n.up(name))
}

func (n *node) addAddress(name string, p netip.Prefix) error {
	link, err := n.nl.LinkByName(name)
	if err != nil {
		return err
	}
	return n.nl.AddrAdd(link, &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD})
}

func (n *node) up(name string) error {
	link, err := n.nl.LinkByName(name)
	if err != nil {
		return err
	}
	return n.nl.LinkSetUp(link)
}

// setRoutes makes or restores all routes of the topology.
func (n *node) setRoutes() error {
	for _, p := range n.top.paths(n.name) {
		via := p.out.other().addr4()
		if p.to.Addr().Is6() {
			via = p.out.other().addr6()
		}
		if err := n.nl.RouteReplace(&netlink.Route{Dst: ipNet(p.to), Gw: via.AsSlice()}); err != nil {
			return fmt.Errorf("%s via %s: %w", p.to, via, err)
		}
	}
	for _, p := range n.top.Prefixes[n.name] {
		local := &netlink.Route{
			Dst: ipNet(p), LinkIndex: 1, // lo is the first interface of every namespace
			Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST,
		}
		if err := n.nl.RouteReplace(local); err != nil {
			return fmt.Errorf("local %s: %w", p, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
