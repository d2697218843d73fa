package check

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/record"
)

// totals are what the verdicts of a check add up to.
type totals struct {
	endpoints  map[endpointKey]*endpoint
	verdicts   [match.NumStates]uint64
	unresolved int // targets whose name did not resolve
	ownLoss    int // probes that losses of our own kept from a verdict
	failed     int // probes that this machine could not send
}

// endpointKey tells endpoints apart: a target that was named twice is two.
type endpointKey struct {
	host   int // number of its argument
	target netip.AddrPort
}

// endpoint is what is known of one endpoint.
type endpoint struct {
	name    string // as the user wrote it
	open    bool   // some probe found it so
	tally   record.Tally
	untimed uint64 // probes that were answered, but not in a time that can be told: they are no times of 0
}

// verdict counts a Result.
func (t *totals) verdict(key endpointKey, name string, r rawshake.Result) {
	t.verdicts[r.State]++
	e := t.endpoint(key, name)
	switch answered := r.State == rawshake.Open || r.State == rawshake.Closed; {
	case answered && r.RTT > 0:
		e.tally.Answered(r.RTT)
	case answered:
		e.untimed++
	case r.State != rawshake.Unsent:
		e.tally.Lost()
	}
	e.open = e.open || r.State == rawshake.Open
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
		if !e.open {
			return exit.NotOpen
		}
	}
	return exit.OK
}

// summaries are the figures of every endpoint, in the order of the arguments.
func (t *totals) summaries(now time.Time) []record.Summary {
	keys := make([]endpointKey, 0, len(t.endpoints))
	for key := range t.endpoints {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b endpointKey) int {
		return cmp.Or(cmp.Compare(a.host, b.host), a.target.Compare(b.target))
	})
	all := make([]record.Summary, len(keys))
	for i, key := range keys {
		e := t.endpoints[key]
		all[i] = e.tally.Summary(e.name, now)
		all[i].Sent += e.untimed
		all[i].Received += e.untimed
	}
	return all
}

// String is one line about all verdicts: "3 probes: 1 open, 2 filtered".
func (t *totals) String() string {
	var n uint64
	var parts []string
	for _, s := range []rawshake.State{rawshake.Open, rawshake.Closed, rawshake.Unreachable, rawshake.Filtered, rawshake.Unsent} {
		if t.verdicts[s] > 0 {
			n += t.verdicts[s]
			parts = append(parts, fmt.Sprintf("%d %v", t.verdicts[s], s))
		}
	}
	if t.unresolved > 0 {
		parts = append(parts, fmt.Sprintf("%d targets not resolved", t.unresolved))
	}
	noun := "probes"
	if n == 1 {
		noun = "probe"
	}
	return strings.TrimSuffix(fmt.Sprintf("%d %s: %s", n, noun, strings.Join(parts, ", ")), ": ")
}
