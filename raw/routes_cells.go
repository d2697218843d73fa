//go:build linux && !android

package raw

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// routeTable is one reading of the kernel's tables. Only its cells change,
// each from unknown to known.
type routeTable struct {
	links map[int]linkInfo
	cells [2]*cells // by family
	zones sync.Map  // interface index to *cells of IPv6
}

// indexOf returns the index of an interface by its name, or by its number as
// a string, which netip and net take for a zone too.
func (t *routeTable) indexOf(name string) (int, error) {
	for i, l := range t.links {
		if l.name == name {
			return i, nil
		}
	}
	if i, err := strconv.Atoi(name); err == nil && t.links[i].index == i && i > 0 {
		return i, nil
	}
	return 0, named("interface "+strconv.Quote(name), unix.ENODEV)
}

// zoneCell returns the cell of dst when it is reached by one interface. A
// table without cells remembers nothing.
func (t *routeTable) zoneCell(oif int, dst netip.Addr) *atomic.Pointer[answer] {
	all := t.cells[family(dst)]
	if all == nil {
		return new(atomic.Pointer[answer])
	}
	zone, ok := t.zones.Load(oif)
	if !ok {
		zone, _ = t.zones.LoadOrStore(oif, all.empty())
	}
	return zone.(*cells).find(dst)
}

// key is an address as a number; IPv4 addresses use lo only.
type key struct{ hi, lo uint64 }

func toKey(addr netip.Addr) key {
	if addr.Is4() {
		b := addr.As4()
		return key{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := addr.As16()
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// addr is the inverse of toKey.
func (k key) addr(v6 bool) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	if v6 {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[12:]))
}

func (k key) less(o key) bool {
	return k.hi < o.hi || k.hi == o.hi && k.lo < o.lo
}

// commonBits returns how many leading bits of the 128 are the same.
func (k key) commonBits(o key) int {
	if n := bits.LeadingZeros64(k.hi ^ o.hi); n < 64 {
		return n
	}
	return 64 + bits.LeadingZeros64(k.lo^o.lo)
}

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo))
}

// next returns k+1, and false when there is none in the family.
func (k key) next(v6 bool) (key, bool) {
	n := key{k.hi, k.lo + 1}
	if !v6 {
		return n, n.lo <= 1<<32-1
	}
	if n.lo == 0 {
		n.hi++
	}
	return n, n != key{}
}

// cells are the address space of one family, cut where an address begins that
// some rule or route can tell from the address before it.
type cells struct {
	starts  []key // sorted, the first is zero
	answers []atomic.Pointer[answer]
}

func newCells(v6 bool, prefixes []netip.Prefix) *cells {
	starts := []key{{}}
	for _, p := range prefixes {
		first, last := bounds(p)
		starts = append(starts, first)
		if after, ok := last.next(v6); ok {
			starts = append(starts, after)
		}
	}
	slices.SortFunc(starts, compareKeys)
	starts = slices.Clip(slices.Compact(starts))
	return (&cells{starts: starts}).empty()
}

// empty returns cells with the same bounds and nothing known.
func (c *cells) empty() *cells {
	return &cells{starts: c.starts, answers: make([]atomic.Pointer[answer], len(c.starts))}
}

// bounds returns the first and the last address of a prefix.
func bounds(p netip.Prefix) (first, last key) {
	first = toKey(p.Masked().Addr())
	host := p.Addr().BitLen() - p.Bits()
	last = first
	if host >= 64 {
		last.hi |= 1<<(host-64) - 1
		last.lo = 1<<64 - 1
	} else {
		last.lo |= 1<<host - 1
	}
	return first, last
}

// find returns the cell of an address of the family.
func (c *cells) find(addr netip.Addr) *atomic.Pointer[answer] {
	k := toKey(addr)
	low, high := 0, len(c.starts) // starts[low] <= k < starts[high]
	for high-low > 1 {
		mid := int(uint(low+high) / 2)
		if k.less(c.starts[mid]) {
			high = mid
		} else {
			low = mid
		}
	}
	return &c.answers[low]
}
