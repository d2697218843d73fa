//go:build linux && !android

package raw

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// RouteConfig says whose routes are looked up. The zero value is any source,
// any interface, no mark.
type RouteConfig struct {
	// Source is the address that packets leave from. If invalid, routing
	// chooses one for each destination.
	Source netip.Addr
	// Interface is the name of the one interface that packets may leave by.
	// If empty, routing chooses.
	Interface string
	// Mark is the packets' SO_MARK, for rules with fwmark. To look it up takes
	// no privilege; see SocketConfig for sending with it.
	Mark uint32
}

// RouteKind says how packets of a route reach their next hop.
type RouteKind uint8

const (
	// Local: the destination is this host. Only a raw IP socket gets there:
	// the kernel drops such packets when a packet socket injects them.
	Local RouteKind = iota
	// Link: an Ethernet link; frames carry the next hop's MAC.
	Link
	// PointToPoint: a link without addresses of its own (tun, ppp, wireguard)
	// or one where the kernel wraps the packet. For a raw IP socket too.
	PointToPoint
)

// String returns "local", "link" or "point to point".
func (k RouteKind) String() string {
	return [...]string{"local", "link", "point to point"}[k]
}

// Route is where packets to a destination go.
type Route struct {
	Interface int
	// Source is the address that packets leave from.
	Source netip.Addr
	// Gateway is the next hop, possibly an IPv6 one for IPv4 packets. If
	// invalid, the destination is on the link.
	Gateway netip.Addr
	Kind    RouteKind
	// SourceMAC is the interface's, for Kind Link.
	SourceMAC [6]byte
	// MTU is the route's own, or else the interface's.
	MTU int
}

func (r Route) from(source netip.Addr) Route {
	r.Source = source
	return r
}

// Routes answers where packets go, from memory. The kernel's rules and routes
// cut the address space into cells whose addresses they cannot tell apart;
// the first lookup in a cell asks the kernel (1 to 2 µs), the others take what
// it said. A change of any rule, route, address or link drops all answers.
//
// Of a route with several next hops one is taken for the whole cell.
//
// Routes is safe for concurrent use; Lookup takes no lock once a cell is
// known.
type Routes struct {
	config     RouteConfig
	oif        int
	conn       *routeConn
	monitor    *monitor
	table      atomic.Pointer[routeTable]
	first      *routeTable // see Remember; nil: nothing is remembered
	generation atomic.Uint64
	changed    chan struct{}
	stop       chan struct{}
	builder    sync.WaitGroup
}

// routeGroups are the notices that can change an answer. Not all changes have
// one of their own: IPv4 routes over an interface that goes down vanish
// without, hence the links.
var routeGroups = []int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEXTHOP,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE,
	unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE,
}

// OpenRoutes reads rules and routes and follows their changes.
func OpenRoutes(c RouteConfig) (*Routes, error) {
	r := &Routes{config: c, changed: make(chan struct{}, 1), stop: make(chan struct{})}
	if err := r.open(); err != nil {
		r.Close()
		return nil, fmt.Errorf("raw: routes: %w", err)
	}
	return r, nil
}

// open listens before it reads, so that no change falls in between.
func (r *Routes) open() (err error) {
	if r.conn, err = dialRoute(); err != nil {
		return err
	}
	if r.monitor, err = openMonitor(routeGroups, func(message) { r.note() }, r.note); err != nil {
		return err
	}
	table, err := r.build()
	if err != nil {
		return err
	}
	if r.config.Interface != "" {
		if r.oif, err = table.indexOf(r.config.Interface); err != nil {
			return err
		}
	}
	r.table.Store(table)
	r.builder.Go(r.follow)
	return nil
}

// note says that something has changed; lost notices do too.
func (r *Routes) note() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// settle is how long after a notice the tables are read once more: the notice
// that a link went down comes before its routes are gone (__dev_notify_flags,
// net/core/dev.c), and only some kernels make readers wait for that.
const settle = 100 * time.Millisecond

// follow builds a new table after each change, at once if the last one is
// some time ago. A storm of changes costs a tenth of one processor at most.
func (r *Routes) follow() {
	var again <-chan time.Time
	for {
		select {
		case <-r.stop:
			return
		case <-r.changed:
			again = time.After(settle)
		case <-again:
			again = nil
		}
		start := time.Now()
		if !r.rebuild() {
			again = time.After(settle)
		}
		select {
		case <-r.stop:
			return
		case <-time.After(9 * time.Since(start)):
		}
	}
}

// rebuild replaces the table. When the kernel's tables cannot be read, it
// keeps the links, and every lookup asks the kernel until they can.
func (r *Routes) rebuild() bool {
	table, err := r.build()
	if err != nil {
		table = &routeTable{links: r.table.Load().links}
	}
	r.table.Store(table)
	r.generation.Add(1)
	return err == nil
}

// manyCells is how many cells of a family are remembered, so that it takes a
// fifth of a second at most. Of the others those that Lookup was asked about
// are.
const manyCells = 1 << 16

// Remember keeps what the routes are now, for Was. It comes before the first
// use of Was, and while no other goroutine uses the Routes.
func (r *Routes) Remember() {
	r.first = r.table.Load()
	for i, c := range r.first.cells {
		for j := range min(len(c.starts), manyCells) {
			r.fill(r.first, &c.answers[j], c.starts[j].addr(i == 1), r.oif)
		}
	}
}

// Was returns the route to dst when Remember was called, and the name of its
// interface; false if there was none.
func (r *Routes) Was(dst netip.Addr) (route Route, name string, ok bool) {
	if r.first == nil || !dst.IsValid() {
		return route, "", false
	}
	dst = dst.Unmap()
	cell := r.first.cells[family(dst)].find(dst.WithZone(""))
	if dst.Zone() != "" && dst.IsLinkLocalUnicast() {
		oif, err := r.first.indexOf(dst.Zone())
		if err != nil {
			return route, "", false
		}
		cell = r.first.zoneCell(oif, dst.WithZone(""))
	}
	a := cell.Load()
	if a == nil || a.err != nil {
		return route, "", false
	}
	return a.route, r.first.links[a.route.Interface].name, true
}

// Generation grows after each change; what Lookup returned before may be
// outdated then.
func (r *Routes) Generation() uint64 { return r.generation.Load() }

// Lookup returns the route to dst. The error is the syscall.Errno that
// connect(2) would give: ENETUNREACH without a route and for multicast and
// broadcast addresses, EHOSTUNREACH, EACCES and EINVAL for unreachable,
// prohibit and blackhole routes, EADDRNOTAVAIL without a source address,
// EAFNOSUPPORT if the configured source is of the other family, EINVAL for an
// IPv6 link-local address without a zone, ENODEV for a zone that is not
// there.
func (r *Routes) Lookup(dst netip.Addr) (Route, error) {
	dst = dst.Unmap()
	a := r.lookup(dst)
	if a.self {
		return a.route.from(dst.WithZone("")), nil
	}
	return a.route, a.err
}

func (r *Routes) lookup(dst netip.Addr) *answer {
	table := r.table.Load()
	cells := table.cells[family(dst)]
	if !dst.IsValid() || dst.Zone() != "" || cells == nil {
		return r.lookupRare(table, dst)
	}
	return r.fill(table, cells.find(dst), dst, r.oif)
}

// fill returns what the cell holds, and asks the kernel if it holds nothing.
func (r *Routes) fill(table *routeTable, cell *atomic.Pointer[answer], dst netip.Addr, oif int) *answer {
	if known := cell.Load(); known != nil {
		return known
	}
	a := r.resolve(table, dst, oif)
	if a.lasts() {
		cell.Store(a)
	}
	return a
}

// lookupRare takes the zone of a link-local address for the interface; on
// other addresses it means nothing, as to connect(2). Without cells it asks
// the kernel.
func (r *Routes) lookupRare(table *routeTable, dst netip.Addr) *answer {
	if zone := dst.Zone(); zone != "" {
		dst = dst.WithZone("")
		if !dst.IsLinkLocalUnicast() {
			return r.lookup(dst)
		}
		oif, err := table.indexOf(zone)
		switch {
		case err != nil:
			return &answer{err: unix.ENODEV}
		case r.oif != 0 && r.oif != oif:
			return &answer{err: unix.EINVAL}
		}
		return r.fill(table, table.zoneCell(oif, dst), dst, oif)
	}
	return r.resolve(table, dst, r.oif)
}

// family is an index: 0 for IPv4, 1 for IPv6.
func family(addr netip.Addr) int {
	if addr.Is4() {
		return 0
	}
	return 1
}

// answer is what a cell holds.
type answer struct {
	route Route
	self  bool // the source is the destination: a whole prefix of own addresses
	err   error
}

// lasts reports whether the answer holds for as long as the tables: not when
// the question could not be put.
func (a *answer) lasts() bool {
	var errno syscall.Errno
	if a.err == nil {
		return true
	}
	return errors.As(a.err, &errno) && errno != unix.ENOBUFS && errno != unix.ENOMEM && errno != unix.EAGAIN
}

// Close ends the notices. Lookups fail afterwards, or return old answers.
func (r *Routes) Close() error {
	close(r.stop)
	r.builder.Wait()
	if r.monitor != nil {
		r.monitor.close()
	}
	if r.conn != nil {
		r.conn.close()
	}
	return nil
}
