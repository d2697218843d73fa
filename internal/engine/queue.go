//go:build linux && !android

package engine

// queue is a first-in-first-out ring.
type queue[T any] struct {
	items []T // a power of two long
	head  int
	n     int
}

func (q *queue[T]) len() int { return q.n }

func (q *queue[T]) push(item T) {
	if q.n == len(q.items) {
		q.grow()
	}
	q.items[(q.head+q.n)&(len(q.items)-1)] = item
	q.n++
}

// at returns the item that i others are before.
func (q *queue[T]) at(i int) *T { return &q.items[(q.head+i)&(len(q.items)-1)] }

func (q *queue[T]) pop() T {
	item := q.items[q.head]
	q.head = (q.head + 1) & (len(q.items) - 1)
	q.n--
	return item
}

func (q *queue[T]) grow() {
	bigger := make([]T, max(2*len(q.items), 64))
	for i := range q.n {
		bigger[i] = *q.at(i)
	}
	q.items, q.head = bigger, 0
}
