package targets

import (
	"fmt"
	"math"
	"strings"

	"github.com/rawshake/rawshake/scan/target"
)

// Remarks say, a line each, what became of targets that are not among those of the set, or that stay unsent.
func (s *Set) Remarks() []string {
	var lines []string
	add := func(n uint64, format string, args ...any) {
		if n > 0 {
			lines = append(lines, Amount(n, "target")+fmt.Sprintf(format, args...))
		}
	}
	for _, u := range s.Unresolved() {
		e := target.Error{File: u.File, Line: u.Line, Text: u.Name, Problem: fmt.Sprintf("does not resolve: %v", u.Err)}
		lines = append(lines, e.Error())
	}
	if n, first := s.Loose(); n > 0 {
		line := first.Error()
		if n > 1 {
			line += fmt.Sprintf(" (and %d more)", n-1)
		}
		lines = append(lines, line)
	}
	add(s.Duplicates(), " named more than once: merged")
	add(s.Excluded(), " excluded")
	add(s.Refused(), " refused, because no service can have such an address (multicast, broadcast, 0.0.0.0/8, 240.0.0.0/4, ::): "+
		"name them by themselves to keep them")
	add(s.Outside, " outside the scope, the first is %v: nothing is sent to them", s.FirstOutside)
	return lines
}

// Amount is a number of things: "1 target", "5 targets", "2 addresses". The largest number there is means more than was counted.
func Amount(n uint64, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"):
		noun += "e"
	}
	if n == math.MaxUint64 {
		return "more than 2^64 " + noun + "s"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
