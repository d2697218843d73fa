//go:build linux && !android

package engine

import (
	"fmt"
	"net/netip"
	"time"
)

// Missing implements Wire. It asks the next hop whether it is there: the kernel does so only for packets of its own, and believes in a
// gateway of whole frames for ever.
func (k *Kernel) Missing(dst netip.Addr, was *Path) (what error, ever bool) {
	p, err := k.Path(dst)
	if err != nil {
		return k.noWay(dst, was != nil, err)
	}
	losses, name := k.links.Losses(p.Interface)
	switch told := k.losses[p.Interface]; {
	case !k.LinkUp(p):
		k.losses[p.Interface] = losses
		return k.linkDown(p.Interface, name), losses > 0
	case told != losses:
		k.losses[p.Interface] = losses
		return fmt.Errorf("interface %s was down for a moment", name), true
	case !p.Gateway.IsValid() || !k.cfg.Bulk:
		return nil, true
	}
	k.askHop(p)
	if k.Neighbour(p, dst) == NeighbourFailed {
		return fmt.Errorf("gateway %v on interface %s does not answer", p.Gateway, name), p.Answers
	}
	return nil, true
}

// askHop asks the next hop for its link address once a second, or when the shard is in doubt, and notes what it has answered. If it
// cannot be asked, the kernel's word is all there is.
func (k *Kernel) askHop(p *Path) {
	heard := k.hops.Heard(p.Interface, p.Gateway)
	if p.Doubt || k.now.Sub(heard) >= askHopEvery {
		k.hops.Resolve(p.Interface, p.Gateway)
		p.Doubt = false
	}
	if !heard.IsZero() {
		p.Answers, p.Heard = true, max(p.Heard, heard.UnixNano())
	}
}

const askHopEvery = time.Second

// noWay words why there is no path to dst: because of the interface, if there was one.
func (k *Kernel) noWay(dst netip.Addr, ever bool, err error) (error, bool) {
	route, name, first := k.routes.Was(dst)
	if s := k.links.State(route.Interface); first && (!s.Exists || !s.Up) {
		return k.linkDown(route.Interface, name), true
	}
	return fmt.Errorf("there is no way to %v: %w", dst, err), ever || first
}

func (k *Kernel) linkDown(index int, name string) error {
	switch s := k.links.State(index); {
	case !s.Exists:
		return fmt.Errorf("interface %s is gone", name)
	case !s.Up:
		return fmt.Errorf("interface %s is down", name)
	}
	return fmt.Errorf("interface %s has no carrier", name)
}
