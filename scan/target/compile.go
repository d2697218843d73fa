package target

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// Compile resolves the names and returns the space. It ends the Spec, which gives its lists away.
//
// The error is an *Error if a target has no port (wrapping ErrNoPorts) or if there are more than MaxSize targets,
// an *UnresolvedError if a name does not resolve, or that of ctx. A space without any target is not an error.
func (s *Spec) Compile(ctx context.Context) (*Space, error) {
	s.init()
	defaults := s.table.number(s.Ports.spans)
	if defaults == 0 && s.bare != nil {
		return nil, s.bare
	}
	pinned, unresolved, err := s.resolveNames(ctx)
	if err != nil {
		return nil, err
	}
	sp := &Space{labels: s.labels, names: s.names, pinned: pinned, unresolved: unresolved, loose: s.loose}
	sp.labels.known, sp.names.known = nil, nil
	sp.tally = compile(&sp.four, &s.four, s.table, defaults, s.four.exclude.take())
	s.compileZones(sp, defaults)
	sp.sets = s.table.portSets
	*s = Spec{}
	if sp.tally.size > MaxSize {
		return nil, tooMany(sp.tally.size)
	}
	sp.four.guide = newGuide(sp.four.start)
	for i := range sp.six {
		sp.six[i].guide = newGuide(sp.six[i].start)
	}
	return sp, nil
}

// compileZones makes a plane for each zone. What is excluded without a zone is excluded in all of them.
func (s *Spec) compileZones(sp *Space, defaults uint32) {
	zones := slices.Sorted(maps.Keys(s.six)) // "" comes first
	var everywhere []entry[v6]
	for _, zone := range zones {
		f := s.six[zone]
		out := slices.Concat(f.exclude.take(), everywhere)
		if zone == "" {
			everywhere = out
		}
		p := plane[v6]{zone: zone}
		t := compile(&p, f, s.table, defaults, out)
		sp.base = append(sp.base, sp.tally.size)
		sp.six = append(sp.six, p)
		sp.tally = sp.tally.plus(t)
	}
}

// compile builds one plane from the entries of a family, which it takes away.
func compile[K key[K]](p *plane[K], f *family[K], t *portTable, defaults uint32, out []entry[K]) tally {
	in := withDefault(f.include.take(), defaults)
	sortEntries(in)
	sortEntries(out)
	n := p.build(t, in, out)
	for _, e := range withDefault(f.refused.take(), defaults) {
		n.refused = add(n.refused, mul(e.lo.upTo(e.hi), t.size(e.ports)))
	}
	p.labels = newTags(f.labels.take(), defaults)
	p.names = newTags(f.names.take(), defaults)
	return n
}

// withDefault fills in the ports of entries that were written without.
func withDefault[K key[K]](entries []entry[K], defaults uint32) []entry[K] {
	for i := range entries {
		if entries[i].ports == 0 {
			entries[i].ports = defaults
		}
	}
	return entries
}

func (t tally) plus(o tally) tally {
	return tally{
		size: add(t.size, o.size), addrs: add(t.addrs, o.addrs),
		merged: add(t.merged, o.merged), excluded: add(t.excluded, o.excluded), refused: add(t.refused, o.refused),
	}
}

func tooMany(n uint64) *Error {
	return &Error{Problem: fmt.Sprintf("%d targets (addresses times ports) are more than a scan can number: the most is 2^48 (%d). "+
		"Give fewer ports or narrower prefixes, or split the scan", n, uint64(MaxSize))}
}
