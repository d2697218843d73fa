package pace

// timer says when a slot for which something waits is due. A slot has at most one.
type timer struct {
	at   int64
	slot uint32
}

// timers is a heap with the earliest first.
type timers []timer

func (h timers) due(now int64) bool { return len(h) > 0 && h[0].at <= now }

func (h *timers) push(t timer) {
	q := append(*h, t)
	for i := len(q) - 1; i > 0; {
		parent := (i - 1) / 2
		if q[parent].at <= q[i].at {
			break
		}
		q[parent], q[i] = q[i], q[parent]
		i = parent
	}
	*h = q
}

func (h *timers) pop() uint32 {
	q := *h
	top, n := q[0], len(q)-1
	q[0] = q[n]
	q = q[:n]
	*h = q
	for i := 0; ; {
		child := 2*i + 1
		if child+1 < n && q[child+1].at < q[child].at {
			child++
		}
		if child >= n || q[i].at <= q[child].at {
			return top.slot
		}
		q[i], q[child] = q[child], q[i]
		i = child
	}
}
