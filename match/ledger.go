package match

import (
	"math/bits"
	"net/netip"
)

// Ledger keeps two pending probes off one four-tuple: a second SYN on a half-open one draws a bare ACK or a false RST. It
// remembers for each target which of at most 64 source ports are taken, and when it last answered, in a table; two targets that
// share a row merely share its ports.
type Ledger struct {
	rows  []row
	ports uint64 // a bit for each port there is
	n     int
}

type row struct {
	taken uint64 // a bit for each port
	heard uint32 // the tick of the last answer
}

const (
	minRows = 1 << 10
	maxRows = 1 << 20
)

// NewLedger makes a ledger for the given number of source ports, at most 64. It begins small, so that it stays in the processor's
// caches where few probes are in flight.
func NewLedger(ports int) *Ledger {
	return &Ledger{rows: make([]row, minRows), ports: ^uint64(0) >> (64 - ports), n: ports}
}

// Suffices reports whether the ledger has room for so many probes in flight: with a sixteenth of the ports taken on the average, even
// targets that share a row find a port as good as always.
func (l *Ledger) Suffices(inFlight int) bool {
	return inFlight <= len(l.rows)*l.n/16 || len(l.rows) == maxRows
}

// Grow doubles the ledger. Ports that are taken have to be marked as such again, with Hold.
func (l *Ledger) Grow() {
	l.rows = append(l.rows, l.rows...) // when a target answered is in the row that it has now, as the lower bits stay
	for i := range l.rows {
		l.rows[i].taken = 0
	}
}

// Hold marks a port of target as taken.
func (l *Ledger) Hold(target netip.AddrPort, port int) { l.row(target).taken |= 1 << port }

func (l *Ledger) row(target netip.AddrPort) *row {
	return &l.rows[hash(target.Addr(), target.Port())&uint64(len(l.rows)-1)]
}

// Take takes a free port for target, the first one from start on, and returns its index; false when all are taken.
func (l *Ledger) Take(target netip.AddrPort, start int) (int, bool) {
	row := l.row(target)
	free := ^row.taken & l.ports
	if free == 0 {
		return 0, false
	}
	start %= l.n
	i := bits.TrailingZeros64(free &^ (1<<start - 1))
	if i == 64 {
		i = bits.TrailingZeros64(free)
	}
	row.taken |= 1 << i
	return i, true
}

// Taken reports whether a probe to target holds the port.
func (l *Ledger) Taken(target netip.AddrPort, port int) bool {
	return l.row(target).taken>>port&1 != 0
}

// Give gives a port of target back.
func (l *Ledger) Give(target netip.AddrPort, port int) {
	l.row(target).taken &^= 1 << port
}

// Heard notes that target answered at the given tick.
func (l *Ledger) Heard(target netip.AddrPort, tick uint32) { l.row(target).heard = tick }

// Quiet returns how many ticks ago target last answered; before its first answer, how many ticks after tick 0 it is.
func (l *Ledger) Quiet(target netip.AddrPort, tick uint32) uint32 { return tick - l.row(target).heard }
