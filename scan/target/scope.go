package target

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
)

// Scope is a list of addresses that may be sent to; every other address may not. It is immutable and safe for
// concurrent use. The zero value allows nothing.
type Scope struct {
	four []interval[v4]
	six  []interval[v6]
}

// ReadScope reads a scope, one address, prefix or range a line, with comments and remarks as in a file of targets.
// Names, ports, zones and prefixes with bits after their length are refused, and so is a scope that allows nothing, because
// an empty allow-list is easily taken for none. The error is an *Error or that of the reader.
func ReadScope(name string, r io.Reader) (*Scope, error) {
	var s Scope
	err := eachLine(name, r, func(at place, line []byte) error {
		text, remark, comma := columns(line)
		if text == "" && remark == "" {
			return nil
		}
		problem := checkLabel(remark, comma)
		if problem == "" {
			problem = s.add(text)
		}
		if problem != "" {
			return at.err(text, problem)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(s.four)+len(s.six) == 0 {
		return nil, place{file: name}.err("", "the scope is empty, so that nothing may be sent to: write the ranges that may be")
	}
	s.four, s.six = joined(s.four), joined(s.six)
	return &s, nil
}

func (s *Scope) add(text string) (problem string) {
	d, problem := parse(text)
	switch {
	case problem != "":
		return problem
	case d.name != "":
		return "a scope holds addresses, not names: what a name means may change"
	case d.ports != nil:
		return "a scope holds addresses without ports"
	case d.lo.Zone() != "":
		return fmt.Sprintf("a scope holds addresses without zones: write %v for the address in every zone", d.lo.WithZone(""))
	case d.loose: // it may have been meant as one address
		return fmt.Sprintf("it has bits after its prefix length, so that it would allow more than it seems to: write the prefix as it begins, at %v, "+
			"or the address alone", d.lo)
	case d.lo.Is4():
		s.four = append(s.four, d.range4())
	default:
		s.six = append(s.six, d.range6())
	}
	return ""
}

// joined sorts intervals and joins those that touch.
func joined[K key[K]](in []interval[K]) []interval[K] {
	slices.SortFunc(in, func(a, b interval[K]) int { return a.lo.compare(b.lo) })
	out := in[:0]
	for _, r := range in {
		if n := len(out); n > 0 && (r.lo.compare(out[n-1].hi) <= 0 || r.lo == out[n-1].hi.next()) {
			out[n-1].hi = larger(out[n-1].hi, r.hi)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Contains reports whether a, in whatever zone, may be sent to.
func (s *Scope) Contains(a netip.Addr) bool {
	a = a.Unmap()
	if a.Is4() {
		return covers(s.four, v4Of(a))
	}
	return a.IsValid() && covers(s.six, v6Of(a))
}

func covers[K key[K]](list []interval[K], k K) bool {
	lo, hi := 0, len(list) // list[:lo] begins at or below k, list[hi:] above it
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); list[mid].lo.compare(k) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo > 0 && list[lo-1].hi.compare(k) >= 0
}

// Prefixes returns the same addresses as the fewest prefixes, in rising order.
func (s *Scope) Prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, r := range s.four {
		out = appendPrefixes(out, r, 32)
	}
	for _, r := range s.six {
		out = appendPrefixes(out, r, 128)
	}
	return out
}

// appendPrefixes takes from the front of r the largest block that is aligned and fits, until nothing is left.
func appendPrefixes[K key[K]](out []netip.Prefix, r interval[K], width int) []netip.Prefix {
	for {
		host := r.lo.trailingZeros()
		for r.lo.block(host).compare(r.hi) > 0 {
			host--
		}
		out = append(out, netip.PrefixFrom(r.lo.addr(), width-host))
		last := r.lo.block(host)
		if last == r.hi {
			return out
		}
		r.lo = last.next()
	}
}

// Outside returns how many targets of the space the scope does not allow, and the first of them.
func (s *Scope) Outside(sp *Space) (n uint64, first netip.AddrPort) {
	n, number := outside(&sp.four, &sp.sets, s.four)
	for i := range sp.six {
		m, at := outside(&sp.six[i], &sp.sets, s.six)
		if n == 0 {
			number = sp.base[i] + at
		}
		n += m
	}
	if n > 0 {
		first = sp.At(number)
	}
	return n, first
}

// outside counts the targets of a plane that no interval allows; first is the number of the first, in the plane.
func outside[K key[K]](p *plane[K], sets *portSets, allowed []interval[K]) (n, first uint64) {
	for j, lo := range p.lo {
		ports := sets.size(p.ports[j])
		allowed = gaps(interval[K]{lo, p.last(sets, j)}, allowed, func(gap interval[K]) {
			if n == 0 {
				first = p.start[j] + (lo.upTo(gap.lo)-1)*ports
			}
			n += gap.lo.upTo(gap.hi) * ports
		})
	}
	return n, first
}

// gaps calls fn with the parts of r that are not in allowed, and returns what of allowed may still matter to an
// interval after r.
func gaps[K key[K]](r interval[K], allowed []interval[K], fn func(interval[K])) []interval[K] {
	for {
		for len(allowed) > 0 && allowed[0].hi.compare(r.lo) < 0 {
			allowed = allowed[1:]
		}
		if len(allowed) == 0 || allowed[0].lo.compare(r.hi) > 0 {
			fn(r)
			return allowed
		}
		if r.lo.compare(allowed[0].lo) < 0 {
			fn(interval[K]{r.lo, allowed[0].lo.prev()})
		}
		if allowed[0].hi.compare(r.hi) >= 0 {
			return allowed
		}
		r.lo = allowed[0].hi.next()
	}
}
