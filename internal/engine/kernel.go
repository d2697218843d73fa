//go:build linux && !android

package engine

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/raw"
	"golang.org/x/sys/unix"
)

// KernelConfig says how packets leave and arrive.
type KernelConfig struct {
	Source    netip.Addr // if valid, what SYNs leave from
	Interface string     // if not empty, where they leave
	Mark      uint32
	Ports     raw.PortRange // where our source ports come from; zero: the kernel chooses
	NumPorts  int           // how many
	Packet    bool          // send by packet sockets where the link has addresses: faster, and past the OUTPUT firewall
	Bulk      bool          // a receive ring for throughput instead of latency
	Frames    int           // of the receive rings; if zero, the ring's default
}

// Kernel is the real wire: raw sockets, receive rings, and the guard that keeps the kernel from answering.
type Kernel struct {
	cfg    KernelConfig
	guard  *raw.Guard
	routes *raw.Routes
	hops   *raw.Neighbours
	links  *raw.Links
	rings  []*raw.Ring
	taps   []*raw.Tap

	waiter  atomic.Pointer[raw.Waiter]
	polling atomic.Bool // somebody is about to wait in the waiter
	wake    chan struct{}
	timer   *time.Timer

	senders []Sender
	paths   []kernelPath
	closers []func() error

	arrival   Arrival
	now       time.Time // of the last Receive
	sink      func(*Arrival)
	onPacket  func(raw.Packet)
	onTapped  func(raw.Packet)
	dropsSeen uint64
}

// kernelPath is a path and what it was made from.
type kernelPath struct {
	*Path
	key    raw.Route
	zone   string
	packet int       // its packet sender, or -1
	tried  time.Time // when the next hop's link address was last looked up
}

const (
	sender4 = 0
	sender6 = 1

	lookAgain = 50 * time.Millisecond // for a next hop's link address
)

// OpenKernel opens the wire. Without CAP_NET_RAW errors.Is(err, os.ErrPermission).
func OpenKernel(c KernelConfig) (*Kernel, error) {
	if err := raw.CheckPrivilege(); err != nil {
		return nil, err
	}
	k := &Kernel{cfg: c, wake: make(chan struct{}, 1), timer: time.NewTimer(0), now: time.Now()}
	k.onPacket = func(p raw.Packet) { k.hand(p, false) }
	k.onTapped = func(p raw.Packet) { k.hand(p, true) }
	for _, open := range []func() error{k.openTables, k.openSenders, k.openGuard, k.openRings, k.newWaiter} {
		if err := open(); err != nil {
			k.Close()
			return nil, err
		}
	}
	return k, nil
}

// keep has something closed with the wire.
func (k *Kernel) keep(close func() error) { k.closers = append(k.closers, close) }

func (k *Kernel) openTables() (err error) {
	c := k.cfg
	if k.routes, err = raw.OpenRoutes(raw.RouteConfig{Source: c.Source, Interface: c.Interface, Mark: c.Mark}); err != nil {
		return err
	}
	k.keep(k.routes.Close)
	if k.hops, err = raw.OpenNeighbours(); err != nil {
		return err
	}
	k.keep(k.hops.Close)
	if k.links, err = raw.OpenLinks(); err != nil {
		return err
	}
	k.keep(k.links.Close)
	return nil
}

// openSenders opens the raw IP sockets. A host without one of the families is fine.
func (k *Kernel) openSenders() error {
	c := raw.SocketConfig{Source: k.cfg.Source, Interface: k.cfg.Interface, Mark: k.cfg.Mark}
	for _, six := range []bool{false, true} {
		if c.Source.IsValid() && c.Source.Is6() != six {
			k.senders = append(k.senders, noSender{syscall.EADDRNOTAVAIL})
			continue
		}
		s, err := raw.OpenIP(six, c)
		switch {
		case errors.Is(err, syscall.EAFNOSUPPORT):
			k.senders = append(k.senders, noSender{syscall.EAFNOSUPPORT})
		case err != nil:
			return err
		default:
			k.keep(s.Close)
			k.senders = append(k.senders, &ipSender{Sender: s, six: six})
		}
	}
	return nil
}

func (k *Kernel) has(six bool) bool {
	i := sender4
	if six {
		i = sender6
	}
	_, no := k.senders[i].(noSender)
	return !no
}

func (k *Kernel) openGuard() (err error) {
	k.guard, err = raw.OpenGuards(k.has(false), k.has(true), k.cfg.Ports, k.cfg.NumPorts, k.cfg.Interface)
	if err != nil {
		return err
	}
	k.keep(k.guard.Close)
	return nil
}

func (k *Kernel) openRings() error {
	for _, six := range []bool{false, true} {
		if !k.has(six) {
			continue
		}
		filter, err := match.Filter(six, k.guard.Ports())
		if err != nil {
			return err
		}
		proto := uint16(unix.ETH_P_IP)
		if six {
			proto = unix.ETH_P_IPV6
		}
		r, err := raw.OpenRing(raw.RingConfig{Proto: proto, Filter: filter, Frames: k.cfg.Frames, Blocks: k.cfg.Bulk})
		if err != nil {
			return err
		}
		k.keep(r.Close)
		k.rings = append(k.rings, r)
	}
	return nil
}

func (k *Kernel) newWaiter() error {
	var fds []int
	for _, r := range k.rings {
		fds = append(fds, r.FD())
	}
	for _, t := range k.taps {
		fds = append(fds, t.FD())
	}
	w, err := raw.NewWaiter(fds...)
	if err != nil {
		return err
	}
	if last := k.waiter.Swap(w); last != nil {
		last.Wake()
	}
	k.keep(w.Close)
	return nil
}

// Ports returns our source ports.
func (k *Kernel) Ports() []uint16 { return k.guard.Ports() }

// Senders implements Wire.
func (k *Kernel) Senders() []Sender { return k.senders }

// Receive implements Wire.
func (k *Kernel) Receive(max int, fn func(*Arrival)) int {
	k.sink, k.now = fn, time.Now()
	n := 0
	for _, r := range k.rings {
		n += r.Drain(max-n, k.onPacket)
	}
	for _, t := range k.taps {
		n += t.Drain(max-n, k.onTapped)
	}
	return n
}

func (k *Kernel) hand(p raw.Packet, translated bool) {
	verify := p.Verify || translated && !craft.Unfinished(p.Data) // a tap does not tell
	k.arrival = Arrival{Data: p.Data, Time: p.Time, Verify: verify, Translated: translated}
	k.sink(&k.arrival)
}

// Drops implements Wire.
func (k *Kernel) Drops() uint64 {
	var total uint64
	for _, r := range k.rings {
		n, err := r.Drops()
		if err != nil {
			return k.dropsSeen // the socket is going away
		}
		total += n
	}
	k.dropsSeen = total
	return total
}

// Wait implements Wire. Without packets it is Go that waits and not the kernel: the goroutine gives its processor to others at
// once, while one in a system call keeps it until the runtime's monitor takes it away, some 100 µs later.
func (k *Kernel) Wait(d time.Duration, packets bool) {
	switch {
	case packets:
		k.poll(d)
	case d < 0:
		<-k.wake
	default:
		k.timer.Reset(d)
		select {
		case <-k.wake:
			k.timer.Stop()
		case <-k.timer.C:
		}
	}
}

// poll waits for packets too.
func (k *Kernel) poll(d time.Duration) {
	k.polling.Store(true)
	defer k.polling.Store(false)
	select {
	case <-k.wake:
	default:
		k.waiter.Load().Wait(d)
	}
}

// Wake implements Wire.
func (k *Kernel) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
	if k.polling.Load() {
		k.waiter.Load().Wake()
	}
}

// Confirm implements Wire: raw IP sockets get packets behind connection tracking.
func (k *Kernel) Confirm() error {
	if k.cfg.Packet {
		return errors.ErrUnsupported // what a packet socket sends is not translated
	}
	for _, six := range []bool{false, true} {
		if !k.has(six) {
			continue
		}
		filter, err := match.Filter(six, k.guard.Ports())
		if err != nil {
			return err
		}
		for _, protocol := range []raw.TapProtocol{raw.TapTCP, raw.TapICMP} {
			t, err := raw.OpenTap(six, protocol, filter)
			if err != nil {
				return err
			}
			k.keep(t.Close)
			k.taps = append(k.taps, t)
		}
	}
	return k.newWaiter()
}

// LinkUp implements Wire.
func (k *Kernel) LinkUp(p *Path) bool {
	s := k.links.State(p.Interface)
	return s.Exists && s.Up && s.Carrier
}

// Neighbour implements Wire.
func (k *Kernel) Neighbour(p *Path, dst netip.Addr) Neighbour {
	switch {
	case p.Gateway.IsValid():
		dst = p.Gateway
	case !p.OnLink:
		return NeighbourKnown
	}
	switch state, _ := k.hops.Lookup(p.Interface, dst.WithZone("")); state {
	case raw.Reachable:
		return NeighbourKnown
	case raw.Failed:
		return NeighbourFailed
	}
	return NeighbourUnknown
}

// chosenDown reports whether the interface that the caller insists on, for all targets or for a link-local one, is down or
// gone. Then there are no routes over it either, but the target is not to blame.
func (k *Kernel) chosenDown(dst netip.Addr) bool {
	name := cmp.Or(k.cfg.Interface, dst.Zone())
	if name == "" {
		return false
	}
	i, err := net.InterfaceByName(name)
	return err != nil || i.Flags&net.FlagUp == 0
}

// Path implements Wire.
func (k *Kernel) Path(dst netip.Addr) (int, *Path, error) {
	route, err := k.routes.Lookup(dst)
	if err == syscall.ENETUNREACH && k.chosenDown(dst) {
		err = syscall.ENETDOWN
	}
	if err != nil {
		return 0, nil, err
	}
	if !route.Source.IsValid() {
		return 0, nil, syscall.EADDRNOTAVAIL
	}
	for i := range k.paths {
		if p := &k.paths[i]; p.key == route && p.zone == dst.Zone() {
			if p.packet >= 0 {
				k.followHop(p)
			}
			return i, p.Path, nil
		}
	}
	return k.addPath(dst, route)
}

func (k *Kernel) addPath(dst netip.Addr, route raw.Route) (int, *Path, error) {
	if len(k.paths) == match.MaxPaths {
		return 0, nil, fmt.Errorf("more than %d ways to reach targets: %w", match.MaxPaths, syscall.ENOBUFS)
	}
	p := kernelPath{key: route, zone: dst.Zone(), packet: -1, Path: &Path{
		Sender:    sender4,
		Source:    route.Source,
		Interface: route.Interface,
		Zone:      dst.Zone(),
		Gateway:   route.Gateway,
		OnLink:    route.Kind == raw.Link && !route.Gateway.IsValid(),
	}}
	if dst.Is6() {
		p.Sender = sender6
	}
	if k.cfg.Packet && route.Kind == raw.Link && route.Gateway.IsValid() {
		i, err := k.packetSender(route)
		if err != nil {
			return 0, nil, err
		}
		p.packet = i
	}
	k.paths = append(k.paths, p)
	return len(k.paths) - 1, p.Path, nil
}

// packetSender returns the number of the packet socket on the route's interface.
func (k *Kernel) packetSender(route raw.Route) (int, error) {
	for i, s := range k.senders {
		if s, ok := s.(*packetSender); ok && s.ifindex == route.Interface {
			return i, nil
		}
	}
	s, err := raw.OpenPacket(route.Interface, raw.SocketConfig{Mark: k.cfg.Mark})
	if err != nil {
		return 0, err
	}
	k.keep(s.Close)
	k.senders = append(k.senders, &packetSender{Sender: s, ifindex: route.Interface})
	return len(k.senders) - 1, nil
}

// followHop keeps a path's link header up to date. While the next hop's address is not known, the path goes through the raw
// IP socket, whose packets have the kernel ask for it.
func (k *Kernel) followHop(p *kernelPath) {
	if k.now.Sub(p.tried) < lookAgain {
		return
	}
	p.tried = k.now
	state, mac := k.hops.Lookup(p.Interface, p.Gateway.WithZone(""))
	if state != raw.Reachable {
		p.Sender = sender4
		if p.Source.Is6() {
			p.Sender = sender6
		}
		return
	}
	copy(p.Link[0:], mac[:])
	copy(p.Link[6:], p.key.SourceMAC[:])
	p.Link[12], p.Link[13] = 0x08, 0x00
	if p.Source.Is6() {
		p.Link[12], p.Link[13] = 0x86, 0xdd
	}
	p.Sender = p.packet
}

// Close implements Wire.
func (k *Kernel) Close() error {
	var err error
	for i := len(k.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, k.closers[i]())
	}
	k.closers = nil
	return err
}

// ipSender sends by a raw IP socket: the kernel routes and resolves.
type ipSender struct {
	*raw.Sender
	six bool
}

func (s *ipSender) Set(i, n int, dst netip.Addr, p *Path) {
	ifindex := 0
	if s.six && dst.IsLinkLocalUnicast() {
		ifindex = p.Interface
	}
	s.SetIP(i, n, dst, ifindex)
}

// packetSender sends by a packet socket, link header and all.
type packetSender struct {
	*raw.Sender
	ifindex int
}

func (s *packetSender) Set(i, n int, _ netip.Addr, p *Path) { s.SetLink(i, n, &p.Link) }

// noSender stands for an address family that this host, or the chosen source, does not have.
type noSender struct{ why syscall.Errno }

var nowhere [craft.FrameSize]byte

func (noSender) Frame(int) []byte                { return nowhere[:] }
func (noSender) Set(int, int, netip.Addr, *Path) {}
func (s noSender) Send(int, int) (int, error)    { return 0, s.why }

var _ Wire = (*Kernel)(nil)
