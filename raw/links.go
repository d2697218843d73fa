//go:build linux && !android

package raw

import (
	"encoding/binary"
	"fmt"
	"maps"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// linkInfo is what the package knows of an interface.
type linkInfo struct {
	index, master, mtu int
	name, kind         string // kind: "vrf", "veth", "" for hardware
	family             uint8
	hardware           uint16 // ARPHRD_*
	flags              uint32 // IFF_*
	mac                [6]byte
	missed             uint64
	downs              uint32 // how often the driver has taken the carrier away
}

func (l linkInfo) loopback() bool { return l.flags&unix.IFF_LOOPBACK != 0 }

// resolves reports whether frames on the link need the neighbour's MAC.
func (l linkInfo) resolves() bool {
	return l.hardware == unix.ARPHRD_ETHER && l.flags&unix.IFF_NOARP == 0
}

func parseLink(m message) linkInfo {
	h, attrs := header[unix.IfInfomsg](m)
	l := linkInfo{index: int(h.Index), family: h.Family, hardware: h.Type, flags: h.Flags}
	for kind, v := range attrs.all() {
		switch kind {
		case unix.IFLA_ADDRESS:
			copy(l.mac[:], v)
		case unix.IFLA_LINKINFO:
			l.kind = attributes(v).text(unix.IFLA_INFO_KIND)
		case unix.IFLA_STATS64:
			l.missed = missed(v)
		}
	}
	l.downs = attrs.uint32(unix.IFLA_CARRIER_DOWN_COUNT)
	l.name = attrs.text(unix.IFLA_IFNAME)
	l.mtu = int(attrs.uint32(unix.IFLA_MTU))
	l.master = int(attrs.uint32(unix.IFLA_MASTER))
	return l
}

// missed adds rx_fifo_errors and rx_missed_errors of struct rtnl_link_stats64
// (linux/if_link.h).
func missed(stats []byte) uint64 {
	const fifo, miss = 14 * 8, 15 * 8
	if len(stats) < miss+8 {
		return 0
	}
	return binary.NativeEndian.Uint64(stats[fifo:]) + binary.NativeEndian.Uint64(stats[miss:])
}

// links returns the interfaces of the connection's namespace by index.
func (c *routeConn) links() (map[int]linkInfo, error) {
	all := map[int]linkInfo{}
	err := c.dump(newRequest(unix.RTM_GETLINK, unix.IfInfomsg{}), func(m message) {
		l := parseLink(m)
		all[l.index] = l
	})
	return all, named("interfaces", err)
}

// LinkState is the state of an interface.
type LinkState struct {
	Exists  bool
	Up      bool // set up by the administrator
	Carrier bool // up, and somebody is at the other end
}

func (l linkInfo) state() LinkState {
	return LinkState{
		Exists:  true,
		Up:      l.flags&unix.IFF_UP != 0,
		Carrier: l.flags&unix.IFF_UP != 0 && l.flags&unix.IFF_LOWER_UP != 0,
	}
}

// Links knows the state of every interface, by notice from the kernel. It is
// safe for concurrent use.
type Links struct {
	conn       *routeConn
	monitor    *monitor
	known      atomic.Pointer[map[int]linkPast]
	generation atomic.Uint64
}

// linkPast is the state of an interface, and what it was before.
type linkPast struct {
	LinkState
	name   string
	downs  uint32
	losses int
}

// next returns the past that follows on p. Some losses are too short for the
// kernel to give notice of them, but it counts them (linkwatch_do_dev in
// net/core/link_watch.c runs at most once a second, netif_carrier_off counts).
func (p linkPast) next(l linkInfo) linkPast {
	n := linkPast{l.state(), l.name, l.downs, p.losses}
	if p.Carrier && (!n.Carrier || n.downs != p.downs) {
		n.losses++
	}
	return n
}

// OpenLinks reads the present states and follows their changes.
func OpenLinks() (*Links, error) {
	l := &Links{}
	l.known.Store(&map[int]linkPast{})
	if err := l.open(); err != nil {
		l.Close()
		return nil, fmt.Errorf("raw: links: %w", err)
	}
	return l, nil
}

func (l *Links) open() (err error) {
	if l.conn, err = dialRoute(); err != nil {
		return err
	}
	l.monitor, err = watch([]int{unix.RTNLGRP_LINK}, l.read, l.notice)
	return err
}

// read replaces everything that is known, but for the losses.
func (l *Links) read() error {
	links, err := l.conn.links()
	if err != nil {
		return err
	}
	before := *l.known.Load()
	known := make(map[int]linkPast, len(links))
	for i, link := range links {
		known[i] = before[i].next(link)
	}
	l.publish(known)
	return nil
}

func (l *Links) notice(m message) {
	link := parseLink(m)
	if link.family != unix.AF_UNSPEC {
		return // a bridge speaks of its ports
	}
	known := maps.Clone(*l.known.Load())
	switch m.kind {
	case unix.RTM_NEWLINK:
		known[link.index] = known[link.index].next(link)
	case unix.RTM_DELLINK:
		delete(known, link.index)
	default:
		return
	}
	l.publish(known)
}

func (l *Links) publish(known map[int]linkPast) {
	if before := *l.known.Load(); maps.Equal(before, known) {
		return
	}
	l.known.Store(&known)
	l.generation.Add(1)
}

// State returns the state of an interface; the zero LinkState if there is
// none with this index.
func (l *Links) State(ifindex int) LinkState {
	return (*l.known.Load())[ifindex].LinkState
}

// Losses returns how often an interface has lost its carrier or went down
// since OpenLinks, also for a moment, and its name. Who asks about one that is
// not there knew it before: that is a loss, too.
func (l *Links) Losses(ifindex int) (n int, name string) {
	past, ok := (*l.known.Load())[ifindex]
	if !ok {
		return 1, ""
	}
	return past.losses, past.name
}

// Generation grows with every change of any interface's state.
func (l *Links) Generation() uint64 { return l.generation.Load() }

// Close ends the notices.
func (l *Links) Close() error {
	if l.conn != nil {
		l.conn.close()
	}
	if l.monitor != nil {
		l.monitor.close()
	}
	return nil
}
