//go:build linux && !android

package engine

import (
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
)

// outlet is a path with the segments that leave by it.
type outlet struct {
	*Path
	syn, rst *craft.Template
	first    netip.AddrPort // the target that it was made for

	health    health // of the link and, unless targets are neighbours, of the next hop
	healthyAt time.Duration
}

// outlet returns the number of the path to a target, by which slots know it.
func (s *Shard) outlet(target netip.AddrPort) (int, error) {
	p, err := s.wire.Path(target.Addr())
	if err != nil {
		return 0, err
	}
	if uint(p.number) < uint(len(s.paths)) && s.paths[p.number].Path == p {
		return p.number, nil
	}
	return s.addOutlet(p, target)
}

func (s *Shard) addOutlet(p *Path, target netip.AddrPort) (int, error) {
	o, err := s.newOutlet(p, target)
	if err != nil {
		return 0, err
	}
	if len(s.paths) < match.MaxPaths {
		p.number = len(s.paths)
		s.paths = append(s.paths, o)
		return p.number, nil
	}
	if len(s.vacant) == 0 {
		s.findVacant()
	}
	n := len(s.vacant)
	if n == 0 {
		return 0, fmt.Errorf("pending probes leave in %d ways: %w", match.MaxPaths, syscall.ENOBUFS)
	}
	p.number, s.vacant = s.vacant[n-1], s.vacant[:n-1]
	s.paths[p.number] = o
	return p.number, nil
}

func (s *Shard) newOutlet(p *Path, target netip.AddrPort) (*outlet, error) {
	spec := craft.Spec{Source: p.Source, TTL: s.cfg.TTL, TOS: s.cfg.TOS, Style: s.cfg.Style}
	syn, err := craft.NewSYN(spec)
	if err != nil {
		return nil, err
	}
	rst, err := craft.NewRST(spec)
	if err != nil {
		return nil, err
	}
	return &outlet{Path: p, syn: syn, rst: rst, first: target, healthyAt: -time.Hour}, nil
}

// findVacant takes the numbers from all paths that no pending probe has taken; one that is still good gets a new number when it is
// next taken. An answer that comes late may find another path under its number, and is then reset only if the source address is the
// same.
func (s *Shard) findVacant() {
	var used [match.MaxPaths]bool
	s.v4.pathsInUse(&used)
	s.v6.pathsInUse(&used)
	for i := range s.paths {
		if !used[i] {
			s.paths[i].number = -1
			s.vacant = append(s.vacant, i)
		}
	}
}

func (f *family[A]) pathsInUse(used *[match.MaxPaths]bool) {
	f.table.All(func(_ match.ID, slot *match.Slot[A]) bool {
		used[slot.Path()] = true
		return true
	})
}
