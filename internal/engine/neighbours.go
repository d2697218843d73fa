//go:build linux && !android

package engine

import (
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/match"
)

// The kernel keeps packets for a neighbour while it asks for its link address, and charges them to our socket: at about 256
// of them the socket is full, for every target. So at most 200 packets may wait at a time.
// Lanes of a scan have the same gateway, whose queue holds as many, and drops the oldest without a word.
const (
	maxUnresolved = 200
	maxForHop     = 16
	reviewEvery   = 20 * time.Millisecond
	believeFor    = 20 * time.Millisecond // how long what the kernel said of a path is believed
	givenUp       = 5 * time.Second       // when the kernel has surely given up: it asks three times, a second apart
	crowdedEvery  = 5 * time.Millisecond  // how long a full table of neighbours is not tried again
	crowdedFor    = time.Second           // how long it is taken for what holds up those that wait
)

// health is how far packets get on a path before anybody else has them.
type health uint8

const (
	healthy health = iota
	linkDown
	hopUnknown
	hopFailed
)

// health tells how far packets to dst get on the path.
func (s *Shard) health(path *outlet, dst netip.Addr) health {
	if !path.OnLink && s.at-path.healthyAt < believeFor {
		return path.health
	}
	path.healthyAt, path.health = s.at, healthy
	if !s.wire.LinkUp(path.Path) {
		path.health = linkDown
		return linkDown
	}
	switch s.wire.Neighbour(path.Path, dst) {
	case NeighbourFailed:
		path.health = hopFailed
	case NeighbourUnknown:
		path.health = hopUnknown
	}
	return path.health
}

// neighbours counts the packets that wait for link addresses.
type neighbours struct {
	waiting  map[hop]wait
	total    int
	reviewed time.Duration
}

type hop struct {
	path *Path
	addr netip.Addr
}

// hopOf returns the next hop towards dst.
func hopOf(path *outlet, dst netip.Addr) hop {
	if path.Gateway.IsValid() {
		dst = path.Gateway
	}
	return hop{path.Path, dst}
}

// wait is what waits for a hop, and since when the last of it does.
type wait struct {
	packets []Ticket // by their probes, which may be over
	since   time.Duration
}

// admit reports whether a packet may be sent towards dst now, and notes it if it will have to wait in the kernel. Crowded tells that the
// kernel has just had no room for a hop that it does not know.
func (n *neighbours) admit(s *Shard, path *outlet, dst netip.Addr, probe Ticket, crowded bool) bool {
	if h := s.health(path, dst); h == healthy || h == linkDown {
		return true
	}
	if crowded || n.total >= maxUnresolved {
		return false
	}
	if n.waiting == nil {
		n.waiting = make(map[hop]wait)
	}
	h := hopOf(path, dst)
	if s.cfg.Once && len(n.waiting[h].packets) >= maxForHop {
		return false
	}
	n.waiting[h] = wait{append(n.waiting[h].packets, probe), s.at}
	n.total++
	return true
}

// forget takes back what was noted of a packet that the kernel did not keep.
func (n *neighbours) forget(path *outlet, dst netip.Addr, probe Ticket) {
	h := hopOf(path, dst)
	w := n.waiting[h]
	i := slices.Index(w.packets, probe)
	if i < 0 {
		return
	}
	n.total--
	if w.packets = slices.Delete(w.packets, i, i+1); len(w.packets) > 0 {
		n.waiting[h] = w
	} else {
		delete(n.waiting, h)
	}
}

// review forgets the packets that wait no longer: their neighbour answered, or the kernel gave it up and dropped them. Who
// looks late may find no trace of a neighbour that was given up. The probes of one that was given up end: the kernel says it
// to connect(2) with ICMP errors, but makes only so many of those (net.ipv4.icmp_msgs_burst).
func (n *neighbours) review(s *Shard) {
	if n.total == 0 || s.at-n.reviewed < reviewEvery {
		return
	}
	n.reviewed = s.at
	for h, w := range n.waiting {
		state := s.wire.Neighbour(h.path, h.addr)
		if state == NeighbourUnknown && s.at-w.since <= givenUp {
			continue
		}
		delete(n.waiting, h)
		n.total -= len(w.packets)
		if state == NeighbourFailed && s.wire.LinkUp(h.path) {
			s.strand(h, w.packets)
		}
	}
}

// strand ends the probes whose packets got no further than to a dead hop.
func (s *Shard) strand(h hop, probes []Ticket) {
	for _, p := range probes {
		if p.six {
			s.v6.strand(h, p.id)
		} else {
			s.v4.strand(h, p.id)
		}
	}
}

// strand ends a probe, unless its slot belongs to another by now. One that has sent nothing yet asks the hop anew.
func (f *family[A]) strand(h hop, id match.ID) {
	s := f.table.Slot(id)
	if !s.Live() || !s.Is(match.FlagSent) {
		return
	}
	path := f.paths[s.Path()]
	if path.Path == h.path && !f.stuck(id, s) && (path.Gateway.IsValid() || s.Addr() == h.addr) {
		f.settle(id, s, f.stranded(path))
	}
}

// crowdedOut reports whether a packet was refused because the kernel has no room for its next hop in the table of neighbours. Over IPv6 it
// says EINVAL then (ip6_finish_output2 in net/ipv6/ip6_output.c), as it does of a route that leads nowhere.
func (f *family[A]) crowdedOut(s *match.Slot[A], path *outlet, err error) bool {
	switch {
	case err == syscall.ENOBUFS:
		return f.health(path, s.Addr()) == hopUnknown
	case err == syscall.EINVAL && f.six && (path.OnLink || path.Gateway.IsValid()):
		_, err := f.wire.Path(f.target(s).Addr())
		return err == nil
	}
	return false
}

// crowded reports whether there was no room for a neighbour within the last d.
func (f *family[A]) crowded(d time.Duration) bool { return f.at-f.crowdedAt < d }
