//go:build linux && !android

package engine

import "net/netip"

// Armed returns the number of probes on a timer. After a Step, every pending one is on one.
func (s *Shard) Armed() int { return s.v4.table.Armed() + s.v6.table.Armed() }

// Holds reports whether a source port is taken for target.
func (s *Shard) Holds(target netip.AddrPort) bool {
	target = netip.AddrPortFrom(target.Addr().WithZone(""), target.Port())
	for i := range s.cfg.Ports {
		if s.ledger.Taken(target, i) {
			return true
		}
	}
	return false
}
