//go:build linux && !android

package engine

import (
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/raw"
)

// kernelPath is a path and what it was made from.
type kernelPath struct {
	*Path
	key   raw.Route
	zone  string
	link  int       // its sender of whole frames, or -1
	tried time.Time // when the next hop's link address was last looked up
	known uint64    // generation of the neighbours then
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
	var state raw.NeighbourState
	switch {
	case p.Asks && k.hops.Silent(p.Interface, dst):
		return NeighbourFailed
	case p.Asks, k.framesPass(p): // it was known when something was sent
		return NeighbourKnown
	case k.byFrames(p):
		state, _ = k.hops.Lookup(p.Interface, dst.WithZone(""))
	default:
		state = k.hops.Kernel(p.Interface, dst.WithZone(""))
	}
	switch state {
	case raw.Reachable:
		return NeighbourKnown
	case raw.Failed:
		return NeighbourFailed
	}
	return NeighbourUnknown
}

// byFrames reports whether packets leave by the path as whole frames now.
func (k *Kernel) byFrames(p *Path) bool { return p.Sender > sender6 }

// hopPatience is how long an answer from behind a next hop stands against three requests to the hop itself without an answer. It may
// pass on more than it has time to answer.
const hopPatience = 3 * time.Second

// framesPass reports whether whole frames are known to get beyond the next hop.
func (k *Kernel) framesPass(p *Path) bool {
	return k.byFrames(p) && k.now.UnixNano()-p.Heard < int64(hopPatience)
}

// Path implements Wire.
func (k *Kernel) Path(dst netip.Addr) (*Path, error) {
	route, err := k.routes.Lookup(dst)
	if err == syscall.ENETUNREACH && k.chosenDown(dst) {
		err = syscall.ENETDOWN
	}
	if err != nil {
		return nil, err
	}
	if !route.Source.IsValid() {
		return nil, syscall.EADDRNOTAVAIL
	}
	for i := range k.paths {
		if p := &k.paths[i]; p.key == route && p.zone == dst.Zone() {
			if p.link >= 0 && !p.OnLink {
				k.followHop(p)
			}
			return p.Path, nil
		}
	}
	return k.addPath(dst, route)
}

// manyPaths is how many paths are remembered: where interfaces come and go, as with containers, most are of the past.
const manyPaths = match.MaxPaths / 2

func (k *Kernel) addPath(dst netip.Addr, route raw.Route) (*Path, error) {
	if len(k.paths) >= manyPaths {
		k.paths = k.paths[:0]
	}
	p := kernelPath{key: route, zone: dst.Zone(), link: -1, Path: &Path{
		Sender:    sender4,
		Source:    route.Source,
		Interface: route.Interface,
		Zone:      dst.Zone(),
		Gateway:   route.Gateway,
		OnLink:    route.Kind == raw.Link && !route.Gateway.IsValid(),
	}}
	p.Sender = ipSenderOf(p.Path)
	if k.cfg.Link && route.Kind == raw.Link {
		if err := k.addLink(&p); err != nil {
			return nil, err
		}
	}
	k.paths = append(k.paths, p)
	return p.Path, nil
}

// ipSenderOf returns the number of the raw IP socket for a path.
func ipSenderOf(p *Path) int {
	if p.Source.Is6() {
		return sender6
	}
	return sender4
}

// addLink has whole frames leave by a path.
func (k *Kernel) addLink(p *kernelPath) (err error) {
	if p.link, err = k.linkSender(p.key); err != nil {
		return err
	}
	copy(p.Link[6:], p.key.SourceMAC[:])
	p.Link[12], p.Link[13] = 0x08, 0x00
	if p.Source.Is6() {
		p.Link[12], p.Link[13] = 0x86, 0xdd
	}
	if p.OnLink {
		p.Sender, p.Asks = p.link, true
	} else {
		k.followHop(p)
	}
	return nil
}

// linkSender returns the number of the sender of whole frames on the route's interface.
func (k *Kernel) linkSender(route raw.Route) (int, error) {
	for i, s := range k.senders[sender6+1:] {
		if s.(*linkSender).ifindex == route.Interface {
			return sender6 + 1 + i, nil
		}
	}
	k.closeGone()
	socket, err := openLink(route.Interface, k.number, k.cfg.Mark)
	if err != nil {
		return 0, err
	}
	s := &linkSender{linkSocket: socket, ifindex: route.Interface}
	k.keep(func() error { return s.linkSocket.Close() })
	k.senders = append(k.senders, s)
	return len(k.senders) - 1, nil
}

// closeGone closes the sockets of interfaces that are gone, of which there may be ever more where containers come and go. It asks the
// kernel, as an interface may be so new that there was no notice of it yet.
func (k *Kernel) closeGone() {
	links := k.senders[sender6+1:]
	if len(links) == 0 {
		return
	}
	there, err := net.Interfaces()
	if err != nil {
		return
	}
	for _, s := range links {
		s := s.(*linkSender)
		if !slices.ContainsFunc(there, func(i net.Interface) bool { return i.Index == s.ifindex }) {
			s.linkSocket.Close()
			s.linkSocket, s.ifindex = noSender{syscall.ENXIO}, 0
		}
	}
}

// followHop keeps a path's link header up to date. Until the next hop's address is known, and when it does not answer any more, the
// path goes through the raw IP socket, whose packets have the kernel ask for it, too.
func (k *Kernel) followHop(p *kernelPath) {
	known := k.hops.Generation()
	if known == p.known && k.now.Sub(p.tried) < lookAgain {
		return
	}
	p.tried, p.known = k.now, known
	state, mac := k.hops.Lookup(p.Interface, p.Gateway.WithZone(""))
	if state != raw.Reachable {
		k.hops.Resolve(p.Interface, p.Gateway.WithZone("")) // the firewall may keep the kernel from asking; if we cannot, it may
		if state == raw.Failed && !k.framesPass(p.Path) {
			p.Sender = ipSenderOf(p.Path)
		}
		return
	}
	copy(p.Link[:], mac[:])
	p.Sender = p.link
}
