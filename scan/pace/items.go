package pace

// items holds the targets that wait, as linked lists in one slice. Node 0 is the end of a list.
type items struct {
	nodes []node
	free  uint32
	used  int
	most  int
}

type node struct {
	item uint64
	next uint32
	used bool
}

func newItems(most int) items { return items{nodes: make([]node, 1), most: most} }

// add returns a node for an item; ok is false if there are too many.
func (q *items) add(item uint64) (n uint32, ok bool) {
	if q.used == q.most {
		return 0, false
	}
	q.used++
	if n = q.free; n != 0 {
		q.free = q.nodes[n].next
	} else {
		n = uint32(len(q.nodes))
		q.nodes = append(q.nodes, node{})
	}
	q.nodes[n] = node{item: item, used: true}
	return n, true
}

// append puts a node at the end of a slot's list, and reports whether it is the first.
func (q *items) append(s *slot, n uint32) (first bool) {
	if s.first == 0 {
		s.first, s.last = n, n
		return true
	}
	q.nodes[s.last].next = n
	s.last = n
	return false
}

// take removes the first item of a slot's list.
func (q *items) take(s *slot) uint64 {
	n := s.first
	item := q.nodes[n].item
	s.first = q.nodes[n].next
	q.nodes[n] = node{next: q.free}
	q.free = n
	q.used--
	return item
}
