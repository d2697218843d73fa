package match

import (
	"math/bits"
	"net/netip"
)

// Ledger keeps two pending probes off one four-tuple: a second SYN on a half-open one draws a bare ACK or a false RST. It
// remembers for each target which of at most 64 source ports are taken, in a fixed table of bitmaps; two targets that share
// a row merely share its ports.
type Ledger struct {
	rows  []uint64
	ports uint64 // a bit for each port there is
	n     int
}

// NewLedger makes a ledger for the given number of source ports, at most 64, and a number of probes in flight.
func NewLedger(ports, inFlight int) *Ledger {
	rows := 1 << bits.Len(uint(min(max(inFlight/16, 1024), 1<<16)-1))
	return &Ledger{rows: make([]uint64, rows), ports: ^uint64(0) >> (64 - ports), n: ports}
}

func (l *Ledger) row(target netip.AddrPort) *uint64 {
	return &l.rows[hash(target.Addr(), target.Port())&uint64(len(l.rows)-1)]
}

// Take takes a free port for target, the first one from start on, and returns its index; false when all are taken.
func (l *Ledger) Take(target netip.AddrPort, start int) (int, bool) {
	row := l.row(target)
	free := ^*row & l.ports
	if free == 0 {
		return 0, false
	}
	start %= l.n
	i := bits.TrailingZeros64(free &^ (1<<start - 1))
	if i == 64 {
		i = bits.TrailingZeros64(free)
	}
	*row |= 1 << i
	return i, true
}

// Taken reports whether a probe to target holds the port.
func (l *Ledger) Taken(target netip.AddrPort, port int) bool {
	return *l.row(target)>>port&1 != 0
}

// Give gives a port of target back.
func (l *Ledger) Give(target netip.AddrPort, port int) {
	*l.row(target) &^= 1 << port
}
