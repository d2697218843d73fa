package target

// pile is a list that grows without being copied: with millions of entries the copies that append leaves behind
// would cost more memory than the list.
type pile[T any] struct {
	full [][]T
	last []T
}

const pileChunk = 1 << 14

func (p *pile[T]) add(t T) {
	if len(p.last) == pileChunk {
		p.full = append(p.full, p.last)
		p.last = make([]T, 0, pileChunk)
	}
	p.last = append(p.last, t)
}

// take empties the pile into one slice.
func (p *pile[T]) take() []T {
	all := make([]T, 0, len(p.full)*pileChunk+len(p.last))
	for i := range p.full {
		all = append(all, p.full[i]...)
		p.full[i] = nil
	}
	all = append(all, p.last...)
	*p = pile[T]{}
	return all
}
