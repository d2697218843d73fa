package target

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// span is a run of ports, both ends included. before is how many ports of its set come earlier.
type span struct{ lo, hi, before uint16 }

// Ports is an immutable set of TCP ports. The zero value is empty.
type Ports struct{ spans []span }

// ParsePorts reads a list such as "80,443,8000-8100". As in nmap an open end means the first or the last port: "-1024",
// "60000-", and "-" for every port. Order and repetition do not matter. The error is an *Error.
func ParsePorts(list string) (Ports, error) {
	var spans []span
	for item := range strings.SplitSeq(list, ",") {
		s, problem := parseSpan(strings.TrimSpace(item))
		if problem != "" {
			return Ports{}, &Error{Text: list, Problem: problem}
		}
		spans = append(spans, s)
	}
	return Ports{merge(spans)}, nil
}

func parseSpan(item string) (s span, problem string) {
	if item == "" {
		return s, "a port is missing: write ports and ranges as 80,443,8000-8100"
	}
	first, last, isRange := strings.Cut(item, "-")
	s = span{lo: 1, hi: 65535}
	if first != "" || !isRange {
		if s.lo, problem = parsePort(first); problem != "" {
			return s, problem
		}
		s.hi = s.lo
	}
	if isRange {
		s.hi = 65535
		if last != "" {
			if s.hi, problem = parsePort(last); problem != "" {
				return s, problem
			}
		}
	}
	if s.hi < s.lo {
		return s, fmt.Sprintf("the range %s ends before it begins: write %d-%d", item, s.hi, s.lo)
	}
	return s, ""
}

func parsePort(text string) (uint16, string) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Sprintf("%q is not a port: ports are numbers from 1 to 65535", text)
	}
	return uint16(n), ""
}

// merge sorts spans in place and joins those that touch. It is the only maker of the normal form that makes two
// equal sets have equal spans.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return int(a.lo) - int(b.lo) })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && int(s.lo) <= int(out[n-1].hi)+1 {
			out[n-1].hi = max(out[n-1].hi, s.hi)
			continue
		}
		out = append(out, s)
	}
	return count(out)
}

func count(spans []span) []span {
	n := 0
	for i := range spans {
		spans[i].before = uint16(n)
		n += spans[i].len()
	}
	return spans
}

func (s span) len() int { return int(s.hi) - int(s.lo) + 1 }

func sizeOf(spans []span) uint64 {
	if len(spans) == 0 {
		return 0
	}
	last := spans[len(spans)-1]
	return uint64(last.before) + uint64(last.len())
}

// rank returns how many ports of the set are below p, and whether p is in it.
func rank(spans []span, p uint16) (uint64, bool) {
	i, exact := slices.BinarySearchFunc(spans, p, func(s span, p uint16) int { return int(s.lo) - int(p) })
	if !exact {
		i--
	}
	if i < 0 || spans[i].hi < p {
		return 0, false
	}
	return uint64(spans[i].before + p - spans[i].lo), true
}

// pick is the inverse of rank.
func pick(spans []span, n uint64) uint16 {
	i := 0
	if len(spans) > 1 {
		var exact bool
		i, exact = slices.BinarySearchFunc(spans, n, func(s span, n uint64) int { return int(s.before) - int(n) })
		if !exact {
			i--
		}
	}
	return spans[i].lo + uint16(n) - spans[i].before
}

// minus returns a new slice with the ports of a that are not in b.
func minus(a, b []span) []span {
	var out []span
	for _, s := range a {
		for len(b) > 0 && b[0].hi < s.lo {
			b = b[1:]
		}
		lo := int(s.lo)
		for _, cut := range b {
			if cut.lo > s.hi {
				break
			}
			if lo < int(cut.lo) {
				out = append(out, span{lo: uint16(lo), hi: cut.lo - 1})
			}
			lo = int(cut.hi) + 1
		}
		if lo <= int(s.hi) {
			out = append(out, span{lo: uint16(lo), hi: s.hi})
		}
	}
	return count(out)
}

// Len returns how many ports the set holds.
func (p Ports) Len() int { return int(sizeOf(p.spans)) }

// Union returns the ports that are in either set.
func (p Ports) Union(o Ports) Ports { return Ports{merge(slices.Concat(p.spans, o.spans))} }

// Contains reports whether port is in the set.
func (p Ports) Contains(port uint16) bool {
	_, ok := rank(p.spans, port)
	return ok
}

// All yields the ports in rising order.
func (p Ports) All() iter.Seq[uint16] {
	return func(yield func(uint16) bool) {
		for i := range uint64(p.Len()) {
			if !yield(pick(p.spans, i)) {
				return
			}
		}
	}
}

// String returns the shortest list that [ParsePorts] reads back, such as "80,443,8000-8100".
func (p Ports) String() string {
	parts := make([]string, len(p.spans))
	for i, s := range p.spans {
		parts[i] = strconv.Itoa(int(s.lo))
		if s.hi > s.lo {
			parts[i] += "-" + strconv.Itoa(int(s.hi))
		}
	}
	return strings.Join(parts, ",")
}
