//go:build linux && !android

package pass

import (
	"context"
	"sync/atomic"
	"time"
)

// sendClock measures how long SYNs are being sent, from the first one of a run to the last, by looking at their number now and then.
type sendClock struct {
	before  time.Duration // of the runs before a resume
	started time.Time
	seen    uint64
	last    atomic.Int64 // when the number was last seen to grow, in ns after started
}

// glance is how often the number is looked at, and so how exact the time is.
const glance = 10 * time.Millisecond

// run looks until ctx ends.
func (c *sendClock) run(ctx context.Context, sent func() uint64) {
	defer func() { c.look(sent()) }()
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.look(sent())
		case <-ctx.Done():
			return
		}
	}
}

// start begins, when so many SYNs have been sent before.
func (c *sendClock) start(sent uint64) { c.started, c.seen = time.Now(), sent }

// look notes that so many SYNs have been sent by now.
func (c *sendClock) look(sent uint64) {
	if sent != c.seen {
		c.seen = sent
		c.last.Store(int64(time.Since(c.started)))
	}
}

// total returns the time so far. Any goroutine may call it.
func (c *sendClock) total() time.Duration { return c.before + time.Duration(c.last.Load()) }
