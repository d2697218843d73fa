package pace

import (
	"net/netip"
	"sync"
)

// Share returns another limiter under the same limits: what leaves by one counts for all of them. Each keeps the targets that it was
// given, and may be used by a goroutine of its own, with times of the same clock. Call Share before l is used.
func (l *HostLimiter) Share() *HostLimiter {
	if l.shared == nil {
		l.shared = &sharedLimits{limiter: NewHostLimiter(l.config)}
	}
	other := NewHostLimiter(l.config)
	other.shared = l.shared
	return other
}

// sharedLimits know when something last left by any of several limiters.
type sharedLimits struct {
	mu      sync.Mutex
	limiter *HostLimiter // no target waits in it
}

// claim counts a packet that is about to leave, if the limits allow it. It returns when the next one may, for the limit that is met
// first and for its parent.
func (c *sharedLimits) claim(now int64, k keys) (due, parentDue int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, found := c.limiter.find(now, k)
	if !found {
		return now + retryAfter, now + retryAfter, false
	}
	s := c.limiter.table.at(n)
	if ok = c.limiter.free(now, s); ok {
		c.limiter.spend(now, s)
	}
	return s.next, c.limiter.table.at(s.parent).next, ok
}

// charge counts a packet that left without asking.
func (c *sharedLimits) charge(now int64, addr netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limiter.Charge(now, addr)
}
