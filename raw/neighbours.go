//go:build linux && !android

package raw

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// NeighbourState says what is known of a neighbour's link address.
type NeighbourState uint8

const (
	// Unknown: nobody has asked, or it was forgotten.
	Unknown NeighbourState = iota
	// Incomplete: asked, no answer yet.
	Incomplete
	// Reachable: the address is known and may be used.
	Reachable
	// Failed: asked three times in three seconds without an answer.
	Failed
)

// String returns "unknown", "incomplete", "reachable" or "failed".
func (s NeighbourState) String() string {
	return [...]string{"unknown", "incomplete", "reachable", "failed"}[s]
}

// neighbourKey is a neighbour: an address on an interface.
type neighbourKey struct {
	ifindex int
	addr    netip.Addr
}

// neighbour is one entry of the kernel's table.
type neighbour struct {
	neighbourKey
	state NeighbourState
	linkAddress
}

// linkAddress is where the frames for a neighbour go. The kernel asks for none
// that it was told by somebody: a static one, or one that a routing daemon
// knows.
type linkAddress struct {
	mac  [6]byte
	told bool
}

// Neighbours knows the link addresses of neighbours: those in the kernel's
// table, and those that Resolve asked for itself. It is safe for concurrent
// use.
type Neighbours struct {
	conn    *routeConn
	monitor *monitor

	mu     sync.RWMutex
	usable map[neighbourKey]linkAddress // the kernel's, by notice
	asked  *asked

	generation atomic.Uint64
}

// Generation grows when the link address of a neighbour becomes known,
// changes, or is no longer usable: what Lookup returned before may be outdated
// then. That a neighbour has become Failed, and that what Resolve has heard is
// too old, does not show.
func (n *Neighbours) Generation() uint64 { return n.generation.Load() }

// OpenNeighbours reads the kernel's table and follows its changes.
func OpenNeighbours() (*Neighbours, error) {
	n := &Neighbours{usable: map[neighbourKey]linkAddress{}}
	if err := n.open(); err != nil {
		n.Close()
		return nil, fmt.Errorf("raw: neighbours: %w", err)
	}
	return n, nil
}

func (n *Neighbours) open() (err error) {
	if n.conn, err = dialRoute(); err != nil {
		return err
	}
	n.monitor, err = watch([]int{unix.RTNLGRP_NEIGH}, n.read, n.notice)
	return err
}

// read replaces what is known of the kernel's table.
func (n *Neighbours) read() error {
	usable := map[neighbourKey]linkAddress{}
	err := n.conn.dump(newRequest(unix.RTM_GETNEIGH, unix.NdMsg{}), func(m message) {
		if e, ok := parseNeighbour(m); ok && e.state == Reachable {
			usable[e.neighbourKey] = e.linkAddress
		}
	})
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.usable = usable
	n.generation.Add(1)
	return nil
}

func (n *Neighbours) notice(m message) {
	e, ok := parseNeighbour(m)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.generation.Add(1)
	if m.kind == unix.RTM_NEWNEIGH && e.state == Reachable {
		n.usable[e.neighbourKey] = e.linkAddress
	} else {
		delete(n.usable, e.neighbourKey)
	}
}

// parseNeighbour reads an entry; bridges use the same messages for theirs,
// and proxy entries are ours.
func parseNeighbour(m message) (neighbour, bool) {
	h, attrs := header[unix.NdMsg](m)
	e := neighbour{state: stateOf(h.State)}
	e.ifindex, e.addr = int(h.Ifindex), attrs.addr(unix.NDA_DST)
	copy(e.mac[:], attrs.find(unix.NDA_LLADDR))
	e.told = h.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 || h.Flags&unix.NTF_EXT_LEARNED != 0
	ip := h.Family == unix.AF_INET || h.Family == unix.AF_INET6
	return e, ip && h.Flags&unix.NTF_PROXY == 0 && e.addr.IsValid()
}

// stateOf takes an address for usable that the kernel would use, also while
// it confirms it.
func stateOf(nud uint16) NeighbourState {
	const usable = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE | unix.NUD_PERMANENT | unix.NUD_NOARP
	switch {
	case nud&usable != 0:
		return Reachable
	case nud&unix.NUD_INCOMPLETE != 0:
		return Incomplete
	case nud&unix.NUD_FAILED != 0:
		return Failed
	}
	return Unknown
}

// Lookup returns what is known of the neighbour with the address on the
// interface, and its MAC if it is Reachable. Zones are ignored. A neighbour
// that is Reachable costs a look into a map; for others the kernel is asked
// (2 µs), because it gives no notice when it begins to ask for one.
//
// What the kernel uses and does not confirm, as nothing of its own goes there,
// it takes for good for ever. So who answered Resolve before and does no more
// is Failed, whatever the kernel has.
func (n *Neighbours) Lookup(ifindex int, addr netip.Addr) (NeighbourState, [6]byte) {
	key := neighbourKey{ifindex, addr.Unmap().WithZone("")}
	state, mac, own := n.known(key)
	switch {
	case state != Unknown:
		return state, mac
	case own != nil:
		if state, mac := own.lookup(key, time.Now()); state != Unknown {
			return state, mac
		}
	}
	return n.ask(key)
}

// Kernel is Lookup without the answers to Resolve: what leaves by a raw IP
// socket waits until the kernel has one itself.
func (n *Neighbours) Kernel(ifindex int, addr netip.Addr) NeighbourState {
	key := neighbourKey{ifindex, addr.Unmap().WithZone("")}
	state, _, _ := n.known(key)
	if state == Unknown {
		state, _ = n.ask(key)
	}
	return state
}

// known says what is known without asking: Failed, Reachable or Unknown.
func (n *Neighbours) known(key neighbourKey) (state NeighbourState, mac [6]byte, own *asked) {
	n.mu.RLock()
	link, ok := n.usable[key]
	own = n.asked
	n.mu.RUnlock()
	switch {
	case own != nil && own.died(key, time.Now()):
		return Failed, [6]byte{}, own
	case ok:
		return Reachable, link.mac, own
	}
	return Unknown, [6]byte{}, own
}

// told returns the link address that the kernel was told, if it was.
func (n *Neighbours) told(key neighbourKey) ([6]byte, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	link := n.usable[key]
	return link.mac, link.told
}

// ask looks into the kernel's table.
func (n *Neighbours) ask(key neighbourKey) (NeighbourState, [6]byte) {
	h := unix.NdMsg{Family: unix.AF_INET, Ifindex: int32(key.ifindex)}
	if key.addr.Is6() {
		h.Family = unix.AF_INET6
	}
	q := newRequest(unix.RTM_GETNEIGH, h)
	q.attribute(unix.NDA_DST, key.addr.AsSlice())
	var e neighbour
	if err := n.conn.exchange(q, func(m message) { e, _ = parseNeighbour(m) }); err != nil {
		return Unknown, [6]byte{} // ENOENT
	}
	return e.state, e.mac
}

// Resolve asks for the neighbour's link address, with an ARP request or a
// neighbour solicitation of its own, and returns at once: look later. It asks
// for a neighbour at most once a second, ten times a second if it answers;
// repeat the call while Lookup says Incomplete, or for as long as it matters
// whether the neighbour lives. After three requests in a row without an answer
// Lookup says Failed.
//
// The kernel's table cannot be told to resolve without CAP_NET_ADMIN, and it
// holds some thousand neighbours; this needs CAP_NET_RAW and has no such
// limit. Any packet that leaves by a raw IP socket makes the kernel resolve
// too.
func (n *Neighbours) Resolve(ifindex int, addr netip.Addr) error {
	own, err := n.asker()
	if err != nil {
		return fmt.Errorf("raw: neighbours: %w", err)
	}
	key := neighbourKey{ifindex, addr.Unmap().WithZone("")}
	if !own.due(key, time.Now()) {
		return nil
	}
	from, err := n.conn.speaker(key)
	if err != nil {
		err = fmt.Errorf("raw: resolve %v on interface %d: %w", addr, ifindex, err)
	} else {
		err = own.send(key, from, [6]byte{})
	}
	if err != nil {
		own.unasked(key)
	}
	return err
}

// Heard returns when the neighbour has last answered Resolve; zero: never.
func (n *Neighbours) Heard(ifindex int, addr netip.Addr) time.Time {
	n.mu.RLock()
	own := n.asked
	n.mu.RUnlock()
	if own == nil {
		return time.Time{}
	}
	return own.heardAt(neighbourKey{ifindex, addr.Unmap().WithZone("")})
}

// asker opens the sockets for questions of our own on first use.
func (n *Neighbours) asker() (*asked, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.asked != nil {
		return n.asked, nil
	}
	own, err := openAsked(func() { n.generation.Add(1) })
	if err == nil {
		n.asked = own
	}
	return own, err
}

// Close ends the notices and the answers.
func (n *Neighbours) Close() error {
	if n.conn != nil {
		n.conn.close()
	}
	if n.monitor != nil {
		n.monitor.close()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.asked != nil {
		n.asked.close()
	}
	return nil
}

// speaker is who asks: our MAC on the interface, and our address there.
type speaker struct {
	mac  [6]byte
	addr netip.Addr
}

var errNoLink = errors.New("the interface has no link addresses to resolve")

func (c *routeConn) speaker(key neighbourKey) (s speaker, err error) {
	var link linkInfo
	err = c.exchange(newRequest(unix.RTM_GETLINK, unix.IfInfomsg{Index: int32(key.ifindex)}), func(m message) { link = parseLink(m) })
	if err != nil {
		return s, err
	}
	if !link.resolves() {
		return s, errNoLink
	}
	question := RouteConfig{}.question(key.addr, key.ifindex)
	err = c.exchange(question, func(m message) {
		_, attrs := header[unix.RtMsg](m)
		s = speaker{link.mac, attrs.addr(unix.RTA_PREFSRC)}
	})
	if err == nil && !s.addr.IsValid() {
		err = unix.EADDRNOTAVAIL
	}
	return s, err
}
