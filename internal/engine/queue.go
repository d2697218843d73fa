//go:build linux && !android

package engine

import "github.com/rawshake/rawshake/match"

// queue is a first-in-first-out ring of probes.
type queue struct {
	ids  []match.ID // a power of two long
	head int
	n    int
}

func (q *queue) len() int { return q.n }

func (q *queue) push(id match.ID) {
	if q.n == len(q.ids) {
		q.grow()
	}
	q.ids[(q.head+q.n)&(len(q.ids)-1)] = id
	q.n++
}

func (q *queue) first() match.ID { return q.ids[q.head] }

func (q *queue) pop() match.ID {
	id := q.ids[q.head]
	q.head = (q.head + 1) & (len(q.ids) - 1)
	q.n--
	return id
}

func (q *queue) grow() {
	bigger := make([]match.ID, max(2*len(q.ids), 64))
	for i := range q.n {
		bigger[i] = q.ids[(q.head+i)&(len(q.ids)-1)]
	}
	q.ids, q.head = bigger, 0
}
