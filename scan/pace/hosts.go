package pace

import (
	"iter"
	"net/netip"
)

// HostConfig bounds the rates of single hosts and networks.
type HostConfig struct {
	PerHost float64 // packets a second to one address. If zero or negative, unlimited
	PerNet  float64 // packets a second to one network. If zero or negative, unlimited
	Bits4   int     // prefix length of an IPv4 network. If zero, DefaultBits4
	Bits6   int     // prefix length of an IPv6 network. If zero, DefaultBits6

	// Memory is the most hosts and networks that are remembered, 40 bytes and a map entry each: those that got a
	// packet within the last interval of their rate. If zero, 1<<20. When there are more, Admit returns Full, and
	// the scan yields to it.
	Memory int
	// Deferred is the most targets that wait for their time, 16 bytes each and for each host among them. If zero,
	// 1<<16.
	Deferred int
}

// The prefix lengths of a network when nobody says.
const (
	DefaultBits4 = 24
	DefaultBits6 = 64
)

func (c HostConfig) withDefaults() HostConfig {
	set := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	set(&c.Bits4, DefaultBits4)
	set(&c.Bits6, DefaultBits6)
	set(&c.Memory, 1<<20)
	c.Memory = max(c.Memory, 2) // a host and its network
	set(&c.Deferred, 1<<16)
	return c
}

// Admission is the answer of [HostLimiter.Admit].
type Admission uint8

const (
	// Go means that the target may be sent to now. It is counted as sent.
	Go Admission = iota
	// Later means that the limiter has taken the target and hands it back by Next when its time has come.
	Later
	// Full means that there is no room to wait. The caller keeps the target, takes no new ones, and asks again when
	// Next has handed something back or Due has come.
	Full
)

// String returns "go", "later" or "full".
func (a Admission) String() string { return [...]string{"go", "later", "full"}[a] }

// HostLimiter keeps packets to one host, and to one network, apart: 1/rate on the average and never less than nine
// tenths of that. Targets that come too early wait in a queue of bounded size: those of a host in the order in which
// they came, the hosts of a network by turns. None is lost: a target is with the caller or in the queue.
//
// A scan loop sends what Next returns first, and then new targets that Admit lets go. It is not safe for concurrent
// use; several loops have a limiter each, made by Share.
type HostLimiter struct {
	config      HostConfig
	shared      *sharedLimits // nil: the limits are its own
	hosts, nets interval
	table       table
	items       items
	timers      timers
	retry       int64 // when a full table may have room again; 0: it has
}

// interval is the time between two packets under a limit, in ns; 0: unlimited.
type interval int64

func newInterval(rate float64) interval {
	if !(rate > 0) {
		return 0
	}
	return interval(max(0, min(1e9/rate, 1<<60)))
}

// after returns when the packet after one that leaves now is due. What leaves a little late does not delay those
// after it, up to a tenth of the interval.
func (i interval) after(due, now int64) int64 {
	if i == 0 {
		return 0
	}
	return max(due, now-int64(i/10)) + int64(i)
}

// NewHostLimiter returns a limiter for c.
func NewHostLimiter(c HostConfig) *HostLimiter {
	c = c.withDefaults()
	return &HostLimiter{
		config: c, hosts: newInterval(c.PerHost), nets: newInterval(c.PerNet), table: newTable(c.Memory), items: newItems(c.Deferred),
	}
}

// retryAfter is how long a full table is left alone, in ns.
const retryAfter = 1e6

// Admit asks whether a packet to addr may leave at the time now. item stands for the target, in whatever way the
// caller likes.
func (l *HostLimiter) Admit(now int64, addr netip.Addr, item uint64) Admission {
	n, ok := l.find(now, l.keysOf(addr))
	if !ok {
		l.retry = now + retryAfter
		return Full
	}
	l.retry = 0
	s := l.table.at(n)
	if s.first == 0 && l.free(now, s) && l.leave(now, s) {
		return Go
	}
	node, ok := l.items.add(item)
	if !ok {
		return Full
	}
	if l.items.append(s, node) {
		l.table.at(s.parent).users++
		l.rearm(n)
	}
	return Later
}

// keys are those of the limits that an address meets: of its host, then of its network; 0: of none.
type keys struct{ first, parent uint64 }

func (l *HostLimiter) keysOf(addr netip.Addr) (k keys) {
	if l.hosts != 0 {
		k.first = hostKey(addr)
	}
	if l.nets != 0 {
		k.parent = netKey(addr, l.config.Bits4, l.config.Bits6)
	}
	if k.first == 0 {
		k.first, k.parent = k.parent, 0
	}
	return k
}

// find returns the slot of the limit that is met first, with its parent set to that of the network if there are both. Without any
// limit it is slot 0, which is always free.
func (l *HostLimiter) find(now int64, k keys) (n uint32, ok bool) {
	if k.first == 0 {
		return 0, true
	}
	if n, ok = l.table.slot(now, k.first); !ok || k.parent == 0 || l.table.at(n).first != 0 {
		return n, ok
	}
	l.table.at(n).users++ // or it might make room for the network
	parent, ok := l.table.slot(now, k.parent)
	l.table.at(n).users--
	l.table.at(n).parent = parent
	return n, ok
}

// free reports whether a packet may leave under the limit of s and that of its parent, if nothing waits for s.
func (l *HostLimiter) free(now int64, s *slot) bool {
	parent := l.table.at(s.parent)
	return s.next <= now && parent.next <= now && parent.first == 0
}

// leave counts a packet under the limit of s, whose time has come, and that of its parent. With limits that are shared it may be that
// other limiters have sent meanwhile: then it returns false, and the slots learn when it is worth asking again.
func (l *HostLimiter) leave(now int64, s *slot) bool {
	if l.shared == nil {
		l.spend(now, s)
		return true
	}
	parent := l.table.at(s.parent)
	due, parentDue, ok := l.shared.claim(now, keys{s.key, parent.key})
	s.next = due
	if s.parent != 0 {
		parent.next = parentDue
	}
	return ok
}

func (l *HostLimiter) spend(now int64, s *slot) {
	if l.hosts == 0 {
		s.next = l.nets.after(s.next, now)
		return
	}
	s.next = l.hosts.after(s.next, now)
	if s.parent != 0 {
		parent := l.table.at(s.parent)
		parent.next = l.nets.after(parent.next, now)
	}
}

// Next returns a deferred target whose time has come. It is counted as sent and no longer with the limiter.
func (l *HostLimiter) Next(now int64) (item uint64, ok bool) {
	for l.timers.due(now) {
		n := l.timers.pop()
		s := l.table.at(n)
		switch {
		case s.next > now: // a packet was charged meanwhile
			l.timers.push(timer{s.next, n})
		case s.isParent:
			child := l.turn(n)
			if c := l.table.at(child); c.next <= now && l.leave(now, c) {
				return l.send(child), true
			}
			l.rearm(child) // likewise
			l.rearm(n)
		case s.parent != 0:
			l.join(s.parent, n)
		case l.leave(now, s):
			return l.send(n), true
		default: // another limiter was faster
			l.rearm(n)
		}
	}
	return 0, false
}

// join puts a host whose own time has come in the line of its network.
func (l *HostLimiter) join(parent, child uint32) {
	p := l.table.at(parent)
	p.isParent = true
	if l.table.append(p, child) {
		l.timers.push(timer{p.next, parent})
	}
}

// turn takes the first host out of the line of a network.
func (l *HostLimiter) turn(parent uint32) (child uint32) {
	p := l.table.at(parent)
	child = p.first
	p.first = l.table.at(child).link
	return child
}

// rearm sets the timer of a slot for which something waits.
func (l *HostLimiter) rearm(n uint32) {
	if s := l.table.at(n); s.first != 0 {
		l.timers.push(timer{s.next, n})
	}
}

// send takes the first target of a slot that may leave, and sets the timers for what waits behind it.
func (l *HostLimiter) send(n uint32) (item uint64) {
	s := l.table.at(n)
	item = l.items.take(s)
	l.rearm(n)
	if s.first == 0 {
		l.table.at(s.parent).users--
	}
	if s.parent != 0 {
		l.rearm(s.parent)
	}
	return item
}

// Charge counts a packet that left without asking, such as a reset. With a full memory it is not counted.
func (l *HostLimiter) Charge(now int64, addr netip.Addr) {
	if l.shared != nil {
		l.shared.charge(now, addr)
	} else if n, ok := l.find(now, l.keysOf(addr)); ok {
		l.spend(now, l.table.at(n))
	}
}

// Due returns the earliest time at which Next may have something or Admit may have room again. ok is false if
// nothing is waited for.
func (l *HostLimiter) Due() (at int64, ok bool) {
	at, ok = l.retry, l.retry > 0
	if len(l.timers) > 0 && (!ok || l.timers[0].at < at) {
		at, ok = l.timers[0].at, true
	}
	return at, ok
}

// Len returns how many targets wait.
func (l *HostLimiter) Len() int { return l.items.used }

// Items yields the targets that wait, in no order, for a checkpoint.
func (l *HostLimiter) Items() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, n := range l.items.nodes {
			if n.used && !yield(n.item) {
				return
			}
		}
	}
}
