//go:build linux && !android

package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Sysctl sets a value under /proc/sys, such as "net/ipv4/ip_default_ttl" to "255", until the end of t.
func (h *Host) Sysctl(t testing.TB, key, value string) (undo func()) {
	t.Helper()
	return h.do(t, "sysctl", sysctlArgs{key, value}, nil)
}

type sysctlArgs struct{ Key, Value string }

func opSysctl(c *call, a sysctlArgs) (any, error) {
	old, err := c.ns.sysctl(a.Key, a.Value)
	c.undoBy(func() error {
		_, err := c.ns.sysctl(a.Key, old)
		return err
	})
	return none{}, err
}

// SetTTL sets the TTL and hop limit of what the host's kernel sends, for instance to 255 as some appliances do, until the end of t.
func (h *Host) SetTTL(t testing.TB, ttl uint8) {
	t.Helper()
	h.Sysctl(t, "net/ipv4/ip_default_ttl", fmt.Sprint(ttl))
	for _, i := range h.Interfaces {
		h.Sysctl(t, "net/ipv6/conf/"+i.Name+"/hop_limit", fmt.Sprint(ttl))
	}
}

// LinkDown takes an interface of the host down until the end of t; the host at the other end of the link loses its carrier. When
// it comes up again, the routes of the topology are made again; routes that the test made are not.
func (h *Host) LinkDown(t testing.TB, name string) (undo func()) {
	t.Helper()
	return h.do(t, "link", name, nil)
}

func opLink(c *call, name string) (any, error) {
	link, err := c.nl.LinkByName(name)
	if err != nil {
		return nil, err
	}
	n := c.node
	c.undoBy(func() error { return errors.Join(n.up(name), n.setRoutes()) })
	return none{}, n.nl.LinkSetDown(link)
}

// AddAddress gives an interface one more address until the end of t.
func (h *Host) AddAddress(t testing.TB, name string, p netip.Prefix) (undo func()) {
	t.Helper()
	return h.do(t, "address", addressArgs{name, p, true}, nil)
}

// DelAddress takes an address away until the end of t.
func (h *Host) DelAddress(t testing.TB, name string, p netip.Prefix) (undo func()) {
	t.Helper()
	return h.do(t, "address", addressArgs{name, p, false}, nil)
}

type addressArgs struct {
	Name   string
	Prefix netip.Prefix
	Add    bool
}

func opAddress(c *call, a addressArgs) (any, error) {
	n := c.node
	add := func() error { return n.addAddress(a.Name, a.Prefix) }
	del := func() error { return n.delAddress(a.Name, a.Prefix) }
	return c.either(a.Add, add, del)
}

func (n *node) delAddress(name string, p netip.Prefix) error {
	link, err := n.nl.LinkByName(name)
	if err != nil {
		return err
	}
	return n.nl.AddrDel(link, &netlink.Addr{IPNet: ipNet(p)})
}

// either does one of two inverse things now and the other at the end, unless it has happened by itself by then.
func (c *call) either(first bool, do, inverse func() error) (any, error) {
	if !first {
		do, inverse = inverse, do
	}
	c.undoBy(func() error {
		err := inverse()
		for _, already := range []error{unix.ESRCH, unix.EEXIST, unix.ENOENT, unix.EADDRNOTAVAIL} {
			if errors.Is(err, already) {
				return nil
			}
		}
		return err
	})
	return none{}, do()
}

// Route is an entry of a routing table.
type Route struct {
	To     netip.Prefix // where to; 0.0.0.0/0 or ::/0 is the default route
	Via    netip.Addr   // the gateway; may be invalid
	Device string       // the interface; may be empty where Via says it
	Source netip.Addr   // preferred source; may be invalid
	Table  int          // if zero, the main table
	Metric int
	Type   string // "unicast" (also ""), "blackhole", "unreachable", "prohibit"
}

// AddRoute adds a route until the end of t.
func (h *Host) AddRoute(t testing.TB, r Route) (undo func()) {
	t.Helper()
	return h.do(t, "route", routeArgs{r, true}, nil)
}

// DelRoute takes a route away until the end of t.
func (h *Host) DelRoute(t testing.TB, r Route) (undo func()) {
	t.Helper()
	return h.do(t, "route", routeArgs{r, false}, nil)
}

type routeArgs struct {
	Route Route
	Add   bool
}

var routeTypes = map[string]int{
	"": unix.RTN_UNICAST, "unicast": unix.RTN_UNICAST,
	"blackhole": unix.RTN_BLACKHOLE, "unreachable": unix.RTN_UNREACHABLE, "prohibit": unix.RTN_PROHIBIT,
}

func opRoute(c *call, a routeArgs) (any, error) {
	r, err := c.netlinkRoute(a.Route)
	if err != nil {
		return nil, err
	}
	nl := c.nl
	return c.either(a.Add, func() error { return nl.RouteAdd(r) }, func() error { return nl.RouteDel(r) })
}

func (n *node) netlinkRoute(r Route) (*netlink.Route, error) {
	kind, ok := routeTypes[r.Type]
	if !ok {
		return nil, fmt.Errorf("no route type %q", r.Type)
	}
	route := &netlink.Route{Dst: ipNet(r.To), Table: r.Table, Priority: r.Metric, Type: kind}
	if r.Via.IsValid() {
		route.Gw = r.Via.AsSlice()
	}
	if r.Source.IsValid() {
		route.Src = r.Source.AsSlice()
	}
	if r.Device != "" {
		link, err := n.nl.LinkByName(r.Device)
		if err != nil {
			return nil, err
		}
		route.LinkIndex = link.Attrs().Index
	}
	return route, nil
}

// Rule is a rule of policy routing: what matches is looked up in Table.
type Rule struct {
	From  netip.Prefix // may be invalid
	Mark  uint32       // may be 0
	Table int
	V6    bool // the family, where From does not say it
}

// AddRule adds a policy routing rule until the end of t.
func (h *Host) AddRule(t testing.TB, r Rule) (undo func()) {
	t.Helper()
	return h.do(t, "rule", r, nil)
}

func opRule(c *call, r Rule) (any, error) {
	rule := netlink.NewRule()
	rule.Family = unix.AF_INET
	if r.V6 || r.From.Addr().Is6() {
		rule.Family = unix.AF_INET6
	}
	rule.Mark, rule.Table = r.Mark, r.Table
	if r.From.IsValid() {
		rule.Src = ipNet(r.From)
	}
	nl := c.nl
	return c.either(true, func() error { return nl.RuleAdd(rule) }, func() error { return nl.RuleDel(rule) })
}

// AddNeighbour tells the host the link address of a neighbour, which it need not ask for then, until the end of t. The interface may be a
// device of [Host.Tap].
func (h *Host) AddNeighbour(t testing.TB, name string, addr netip.Addr, mac net.HardwareAddr) (undo func()) {
	t.Helper()
	return h.do(t, "neighbour", neighbourArgs{name, addr, mac}, nil)
}

type neighbourArgs struct {
	Name string
	Addr netip.Addr
	MAC  net.HardwareAddr
}

func opNeighbour(c *call, a neighbourArgs) (any, error) {
	link, err := c.nl.LinkByName(a.Name)
	if err != nil {
		return nil, err
	}
	n, nl := &netlink.Neigh{LinkIndex: link.Attrs().Index, IP: a.Addr.AsSlice(), HardwareAddr: a.MAC, State: unix.NUD_PERMANENT}, c.nl
	return c.either(true, func() error { return nl.NeighAdd(n) }, func() error { return nl.NeighDel(n) })
}

// FlushNeighbours forgets what the host knows of its neighbours' link addresses.
func (h *Host) FlushNeighbours(t testing.TB) {
	t.Helper()
	h.do(t, "neighbours", none{}, nil)
}

func opNeighbours(c *call, _ none) (any, error) {
	neighbours, err := c.nl.NeighList(0, unix.AF_UNSPEC)
	for _, n := range neighbours {
		if n.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 {
			continue
		}
		if e := c.nl.NeighDel(&n); !errors.Is(e, unix.ENOENT) { // it may be gone by itself
			err = errors.Join(err, e)
		}
	}
	return none{}, err
}

func opHosts(c *call, _ none) (any, error) {
	var hosts []Host
	for _, name := range c.server.world.top.hosts() {
		h, err := c.server.world.nodes[name].describe()
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

func (n *node) describe() (Host, error) {
	h := Host{Name: n.name}
	for _, e := range n.top.ends(n.name) {
		link, err := n.nl.LinkByName(n.interfaceName(e))
		if err != nil {
			return h, err
		}
		h.Interfaces = append(h.Interfaces, Interface{
			Name: link.Attrs().Name, Index: link.Attrs().Index,
			V4: e.addr4(), V6: e.addr6(), LinkLocal: e.linkLocal(), MAC: e.mac(), NeighbourMAC: e.other().mac(),
		})
	}
	h.V4, h.V6 = h.Interfaces[0].V4, h.Interfaces[0].V6
	return h, nil
}
