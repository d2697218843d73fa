package target

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"iter"
	"net/netip"
	"slices"
	"sort"
)

// Space is a set of targets, numbered from 0 in an order of its own. It is immutable and safe for concurrent use.
// Of the targets that were named, Size remain, and Duplicates, Excluded and Refused tell where the others went.
type Space struct {
	sets       portSets
	four       plane[v4]
	six        []plane[v6] // by zone
	base       []uint64    // the number of the first target of each plane of six
	labels     texts
	names      texts
	tally      tally
	pinned     map[string][]netip.Addr
	unresolved []Unresolved
	loose      loose
}

// Size returns how many targets there are, at most MaxSize.
func (s *Space) Size() uint64 { return s.tally.size }

// Addresses returns how many different addresses the targets have.
func (s *Space) Addresses() uint64 { return s.tally.addrs }

// Duplicates returns how many targets were named once more and merged.
func (s *Space) Duplicates() uint64 { return s.tally.merged }

// Excluded returns how many different targets were named and then excluded. Here and in Refused a number that does
// not fit reads as the largest.
func (s *Space) Excluded() uint64 { return s.tally.excluded }

// Refused returns how many targets were left out because no service can have their address, each as often as it
// was named.
func (s *Space) Refused() uint64 { return s.tally.refused }

// Loose returns how many prefixes, targets or excluded, had bits after their length, as 10.0.0.5/8 has, and the first of them as an
// error that says so; nil if there is none.
func (s *Space) Loose() (n uint64, first *Error) { return s.loose.count, s.loose.first }

// Zoned returns one address of each zone that the targets have.
func (s *Space) Zoned() (one []netip.Addr) {
	for i, p := range s.six {
		if p.zone != "" && p.size() > 0 {
			one = append(one, s.At(s.base[i]).Addr())
		}
	}
	return one
}

// Unzoned returns a link-local address among the targets that has no zone, if there is one.
func (s *Space) Unzoned() (netip.Addr, bool) {
	j, ok := s.zone(netip.IPv6Unspecified())
	if !ok {
		return netip.Addr{}, false
	}
	links := netip.MustParsePrefix("fe80::/10")
	return s.six[j].within(&s.sets, interval[v6]{v6Of(links.Addr()), v6Of(lastOf(links))})
}

// Families reports which address families the targets have.
func (s *Space) Families() (four, six bool) { return s.four.size() > 0, s.Size() > s.four.size() }

// Pinned returns the addresses of every name that was resolved, for [Spec].Pinned of a scan that goes on later. The
// map is not to be changed.
func (s *Space) Pinned() map[string][]netip.Addr { return s.pinned }

// Unresolved returns the targets that were left out because their name did not resolve (Spec.SkipUnresolved).
func (s *Space) Unresolved() []Unresolved { return s.unresolved }

// At returns target i. It panics if i is not below Size.
func (s *Space) At(i uint64) netip.AddrPort {
	if i < s.four.size() {
		k, port := s.four.at(&s.sets, i)
		return netip.AddrPortFrom(k.addr(), port)
	}
	if i >= s.tally.size {
		panic("target: number out of range")
	}
	j := sort.Search(len(s.base), func(j int) bool { return s.base[j] > i }) - 1
	k, port := s.six[j].at(&s.sets, i-s.base[j])
	a := k.addr()
	if zone := s.six[j].zone; zone != "" {
		a = a.WithZone(zone)
	}
	return netip.AddrPortFrom(a, port)
}

// Starts yields the numbers of the first targets of all ranges: of neighbouring addresses that have the same ports.
func (s *Space) Starts() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, i := range s.four.start[:len(s.four.lo)] {
			if !yield(i) {
				return
			}
		}
		for j := range s.six {
			for _, i := range s.six[j].start[:len(s.six[j].lo)] {
				if !yield(s.base[j] + i) {
					return
				}
			}
		}
	}
}

// Index is the inverse of At; ok is false if t is not among the targets.
func (s *Space) Index(t netip.AddrPort) (i uint64, ok bool) {
	a := t.Addr().Unmap()
	if a.Is4() {
		return s.four.index(&s.sets, v4Of(a), t.Port())
	}
	j, ok := s.zone(a)
	if !ok {
		return 0, false
	}
	i, ok = s.six[j].index(&s.sets, v6Of(a), t.Port())
	return s.base[j] + i, ok
}

// zone returns the plane of an IPv6 address.
func (s *Space) zone(a netip.Addr) (j int, ok bool) {
	if !a.IsValid() {
		return 0, false
	}
	zone := a.Zone()
	j = slices.IndexFunc(s.six, func(p plane[v6]) bool { return p.zone == zone })
	return j, j >= 0
}

// Label returns the label of a target: that of the narrowest labelled line which names it, or "".
func (s *Space) Label(t netip.AddrPort) string {
	a := t.Addr().Unmap()
	if a.Is4() {
		return s.four.labels.find(&s.sets, &s.labels, v4Of(a), t.Port())
	}
	if j, ok := s.zone(a); ok {
		return s.six[j].labels.find(&s.sets, &s.labels, v6Of(a), t.Port())
	}
	return ""
}

// Name returns the name by which a target was asked for, or "" if it was named by its address only. If several
// names lead to it, it is the first of them in the alphabet.
func (s *Space) Name(t netip.AddrPort) string {
	a := t.Addr().Unmap()
	if a.Is4() {
		return s.four.names.find(&s.sets, &s.names, v4Of(a), t.Port())
	}
	if j, ok := s.zone(a); ok {
		return s.six[j].names.find(&s.sets, &s.names, v6Of(a), t.Port())
	}
	return ""
}

// Hash identifies the set of targets together with options, each a text such as "seed=1". Neither the order of the
// options nor the order and manner in which the targets were written matter; labels do not count. It visits every
// interval, which takes about 26 ms a million.
func (s *Space) Hash(options ...string) (sum [32]byte) {
	h := sha256.New()
	hashPlane(h, &s.sets, &s.four)
	for i := range s.six {
		hashPlane(h, &s.sets, &s.six[i])
	}
	for _, o := range slices.Sorted(slices.Values(options)) {
		h.Write(binary.AppendUvarint([]byte{'o'}, uint64(len(o))))
		h.Write([]byte(o))
	}
	return [32]byte(h.Sum(nil))
}

// hashPlane writes the intervals in their normal form: disjoint, in order, neighbours with the same ports joined.
func hashPlane[K key[K]](h hash.Hash, sets *portSets, p *plane[K]) {
	if len(p.lo) == 0 {
		return
	}
	buf := make([]byte, 0, 1<<12)
	buf = append(buf, byte(len(p.lo[0].appendTo(nil))))
	buf = append(binary.AppendUvarint(buf, uint64(len(p.zone))), p.zone...)
	buf = binary.AppendUvarint(buf, uint64(len(p.lo)))
	for j, lo := range p.lo {
		buf = lo.appendTo(buf)
		buf = p.last(sets, j).appendTo(buf)
		spans := sets.get(p.ports[j])
		buf = binary.AppendUvarint(buf, uint64(len(spans)))
		for _, s := range spans {
			buf = binary.BigEndian.AppendUint16(buf, s.lo)
			buf = binary.BigEndian.AppendUint16(buf, s.hi)
			if len(buf) > cap(buf)-64 {
				h.Write(buf)
				buf = buf[:0]
			}
		}
	}
	h.Write(buf)
}
