package check

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/record"
)

// totals are what the probes of a check add up to.
type totals struct {
	mu         sync.Mutex // probes begin on other goroutines than they end on
	endpoints  map[endpointKey]*endpoint
	begun      uint64 // probes
	verdicts   [match.NumStates]uint64
	unresolved uint64 // targets whose name did not resolve
	unasked    uint64 // targets that an interruption came before
	ownLoss    uint64 // probes that losses of our own kept from a verdict
	failed     uint64 // probes that this machine could not send
}

// endpointKey tells endpoints apart: a target that was named twice is two.
type endpointKey struct {
	host   int // number of its argument
	target netip.AddrPort
}

// endpoint is what is known of one endpoint.
type endpoint struct {
	name     string // as the user wrote it
	begun    uint64 // probes
	verdicts [match.NumStates]uint64
	tally    record.Tally // of the verdicts
	untimed  uint64       // probes that were answered, but not in a time that can be told: they are no times of 0
}

// pending is how many probes have no verdict yet.
func (e *endpoint) pending() uint64 { return e.begun - sum(e.verdicts) }

// unsettled reports whether there are such.
func (e *endpoint) unsettled() bool { return e.pending() > 0 }

func sum(verdicts [match.NumStates]uint64) (n uint64) {
	for _, v := range verdicts {
		n += v
	}
	return n
}

// begin counts a probe.
func (t *totals) begin(key endpointKey, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun++
	t.endpoint(key, name).begun++
}

// miss counts targets that will not be asked.
func (t *totals) miss(targets uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unasked += targets
}

// verdict counts the Result of a probe that has begun.
func (t *totals) verdict(key endpointKey, r rawshake.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.verdicts[r.State]++
	e := t.endpoints[key]
	e.verdicts[r.State]++
	switch answered := r.State == rawshake.Open || r.State == rawshake.Closed; {
	case answered && r.RTT > 0:
		e.tally.Answered(r.RTT)
	case answered:
		e.untimed++
	case r.State != rawshake.Unsent:
		e.tally.Lost()
	}
	switch {
	case r.State != rawshake.Unsent:
	case r.Reason == match.LossOfOurs || r.Reason == match.Overload:
		t.ownLoss++
	default:
		t.failed++
	}
}

func (t *totals) endpoint(key endpointKey, name string) *endpoint {
	e := t.endpoints[key]
	if e == nil {
		if t.endpoints == nil {
			t.endpoints = map[endpointKey]*endpoint{}
		}
		e = &endpoint{name: cmp.Or(name, key.target.String())}
		t.endpoints[key] = e
	}
	return e
}

// code is the exit code, the gravest that applies: what could not be done outranks what was found.
func (t *totals) code() exit.Code {
	switch {
	case t.failed > 0:
		return exit.System
	case t.ownLoss > 0:
		return exit.Incomplete
	case t.unresolved > 0:
		return exit.Unresolved
	}
	for _, e := range t.endpoints {
		if e.verdicts[rawshake.Open] == 0 {
			return exit.NotOpen
		}
	}
	return exit.OK
}

// summaries are the figures of the endpoints that are wanted, in the order of the arguments.
func (t *totals) summaries(now time.Time, wanted func(*endpoint) bool) []record.Summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := make([]endpointKey, 0, len(t.endpoints))
	for key, e := range t.endpoints {
		if wanted(e) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b endpointKey) int {
		return cmp.Or(cmp.Compare(a.host, b.host), a.target.Compare(b.target))
	})
	all := make([]record.Summary, len(keys))
	for i, key := range keys {
		all[i] = t.endpoints[key].summary(now)
		all[i].Addr = key.target
	}
	return all
}

// summary is the figures so far.
func (e *endpoint) summary(now time.Time) record.Summary {
	s := e.tally.Summary(e.name, now)
	s.Pending, s.Verdicts = e.pending(), e.verdicts
	s.Sent += e.untimed + s.Pending
	s.Received += e.untimed
	return s
}

// String is one line about all probes: "3 probes: 1 open, 2 filtered".
func (t *totals) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var parts []string
	add := func(n uint64, text string) {
		if n > 0 {
			parts = append(parts, text)
		}
	}
	for _, s := range []rawshake.State{rawshake.Open, rawshake.Closed, rawshake.Unreachable, rawshake.Filtered, rawshake.Unsent} {
		add(t.verdicts[s], fmt.Sprintf("%d %v", t.verdicts[s], s))
	}
	pending := t.begun - sum(t.verdicts)
	add(pending, fmt.Sprintf("%d pending", pending))
	add(t.unresolved, targets.Amount(t.unresolved, "target")+" not resolved")
	add(t.unasked, targets.Amount(t.unasked, "target")+" not asked")
	return strings.TrimSuffix(targets.Amount(t.begun, "probe")+": "+strings.Join(parts, ", "), ": ")
}
