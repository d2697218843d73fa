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
	sp := &Space{labels: s.labels, names: s.names, pinned: pinned, unresolved: unresolved}
	sp.labels.known, sp.names.known = nil, nil
	sp.tally = compile(&sp.four, &s.four, s.table, defaults, nil)
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
	var everywhere []entry[v6]
	if f := s.six[""]; f != nil {
		everywhere = slices.Clone(f.exclude)
	}
	for _, zone := range slices.Sorted(maps.Keys(s.six)) {
		p, out := plane[v6]{zone: zone}, everywhere
		if zone == "" {
			out = nil
		}
		t := compile(&p, s.six[zone], s.table, defaults, out)
		sp.base = append(sp.base, sp.tally.size)
		sp.six = append(sp.six, p)
		sp.tally = sp.tally.plus(t)
	}
}

// compile builds one plane from the entries of a family and takes them out of it.
func compile[K key[K]](p *plane[K], f *family[K], t *portTable, defaults uint32, exclude []entry[K]) tally {
	for _, list := range [][]entry[K]{f.include, f.refused} {
		for i := range list {
			list[i].ports = orDefault(list[i].ports, defaults)
		}
	}
	for _, list := range [][]tagged[K]{f.labels, f.names} {
		for i := range list {
			list[i].ports = orDefault(list[i].ports, defaults)
		}
	}
	out := slices.Concat(f.exclude, exclude)
	sortEntries(f.include)
	sortEntries(out)
	n := p.build(t, f.include, out)
	for _, e := range f.refused {
		n.refused = add(n.refused, mul(e.lo.upTo(e.hi), t.size(e.ports)))
	}
	p.labels, p.names = newTags(f.labels), newTags(f.names)
	*f = family[K]{}
	return n
}

func orDefault(ports, defaults uint32) uint32 {
	if ports == 0 {
		return defaults
	}
	return ports
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
