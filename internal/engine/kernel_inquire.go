//go:build linux && !android

package engine

import (
	"net/netip"
	"time"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/raw"
)

const (
	// A scan believes for a minute that a neighbour is dead: it may have all ports of it to ask. Who checks wants to know how it is now.
	scanBelieves  = time.Minute
	checkBelieves = 2 * time.Second
)

// Inquire implements Wire. If we cannot ask, as we have no sockets for it, the kernel does: the path goes on through the raw IP socket.
func (k *Kernel) Inquire(p *Path, dst netip.Addr) (Neighbour, bool) {
	believe := checkBelieves
	if k.cfg.Bulk {
		believe = scanBelieves
	}
	route := raw.Route{Interface: p.Interface, Source: p.Source, SourceMAC: [6]byte(p.Link[6:])}
	state, mac, asked, err := k.hops.Inquire(route, dst, believe)
	switch {
	case err != nil && !passes(err):
		p.Sender, p.Asks = ipSenderOf(p), false
		return NeighbourKnown, false
	case state == raw.Reachable:
		copy(p.Link[:], mac[:])
		return NeighbourKnown, false
	case state == raw.Failed:
		return NeighbourFailed, false
	}
	return NeighbourUnknown, asked
}

// passes reports whether an error of a send is about the present state of the interface.
func passes(err error) bool {
	_, why, _ := localError(err)
	return why == match.LinkDown || why == match.NoBuffers
}
