//go:build linux && !android

package scan

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// OutageError says that our side of the network went away during a scan, and did not come back in time.
type OutageError struct {
	What   error         // the interface, the gateway or the way that is missing
	Waited time.Duration // for it
}

// Error says what is missing.
func (e *OutageError) Error() string {
	return fmt.Sprintf("waited %v for our side of the network: %v", e.Waited, e.What)
}

// Unwrap returns e.What.
func (e *OutageError) Unwrap() error { return e.What }

// outages are those of all lanes, which as a rule begin and end together.
type outages struct {
	logger *slog.Logger            // nil: nobody is told
	fail   context.CancelCauseFunc // ends the scan

	mu      sync.Mutex
	waiting int   // lanes
	what    error // for which they do
	since   time.Time
}

const (
	// tellAfter is when an outage is told of: what the kernel says first is often only a part of it.
	tellAfter = 100 * time.Millisecond
	// fullAfter is how long an interface takes no packets until that is an outage of its own: that it has lost its carrier, the kernel
	// may tell more than a second late.
	fullAfter = 2 * time.Second
)

// begin notes that a lane waits.
func (o *outages) begin(what error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting++; o.waiting > 1 {
		return
	}
	o.what, o.since = what, time.Now()
	if o.logger != nil {
		o.logger.Warn("the scan waits for our side of the network", "missing", what)
	}
}

// end notes that a lane goes on.
func (o *outages) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting--; o.waiting > 0 {
		return
	}
	o.what = nil
	if o.logger != nil {
		o.logger.Warn("the scan goes on", "waited", (time.Since(o.since) + tellAfter).Round(time.Millisecond))
	}
}

// Outage returns for what of our side of the network the scan waits now; nil for nothing. Any goroutine may call it.
func (s *Scan) Outage() error {
	s.outages.mu.Lock()
	defer s.outages.mu.Unlock()
	return s.outages.what
}

// watchOutage notes when an outage begins and ends, and ends the scan if it takes too long.
func (l *lane) watchOutage() {
	lasts, what := l.shard.Outage()
	patience := l.patience
	if l.waits = what != nil; !l.waits {
		lasts, what = l.refused()
		patience = max(patience, fullAfter)
	}
	switch {
	case what != nil && !l.told && lasts >= tellAfter:
		l.told = true
		l.outages.begin(what)
	case what == nil && l.told:
		l.told = false
		l.outages.end()
	}
	if what != nil && lasts >= patience {
		l.outages.fail(&OutageError{what, patience})
	}
}

// refused returns for how long an interface takes no packets, and which: an outage, too, but the lane goes on trying, since nothing
// else tells when it is over.
func (l *lane) refused() (lasts time.Duration, what error) {
	lasts, ifindex := l.shard.Refused()
	if lasts < fullAfter || l.patience == 0 {
		return 0, nil
	}
	return lasts, refusal(ifindex)
}

// refusal is an interface, by its index, that takes no packets.
type refusal int

// Error says so.
func (r refusal) Error() string {
	name := fmt.Sprintf("number %d", int(r))
	if i, err := net.InterfaceByIndex(int(r)); err == nil {
		name = i.Name
	}
	return fmt.Sprintf("interface %s is up, but takes no packets: its queue is full", name)
}

// ways returns targets to which there was a way before a resume.
func (c Config) ways() (ways []netip.AddrPort) {
	if c.Resume == nil {
		return nil
	}
	for _, i := range c.Resume.Ways {
		if i < c.Targets.Size() {
			ways = append(ways, c.Targets.At(i))
		}
	}
	return ways
}
