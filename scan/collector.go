//go:build linux && !android

package scan

import (
	"context"
	"slices"
)

// collect hands over what the lanes deliver, until all have ended.
func (s *Scan) collect(ctx context.Context, h Handler) error {
	c := collector{scan: s, handler: h, states: make([]*LaneState, len(s.lanes)), ended: make([]bool, len(s.lanes))}
	done, stopped := ctx.Done(), false
	for !c.finished() {
		var err error
		select {
		case d := <-s.results:
			err = c.take(d)
		case <-s.wanted:
			c.begin()
		case <-done:
			done, stopped = nil, true
			s.stop()
		}
		if err != nil {
			return err
		}
	}
	if !stopped {
		return nil
	}
	if err := c.point(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// collector puts together what lanes deliver. While it gathers a snapshot, what comes from a lane after the lane's own part
// waits until all parts are there.
type collector struct {
	scan      *Scan
	handler   Handler
	gathering bool
	states    []*LaneState
	ended     []bool
	later     []delivery
}

// begin asks every lane for its part of a snapshot.
func (c *collector) begin() {
	if c.gathering {
		return
	}
	c.gathering = true
	for i, l := range c.scan.lanes {
		if !c.ended[i] {
			l.ask.Add(1)
			l.wire.Wake()
		}
	}
}

// take handles one delivery.
func (c *collector) take(d delivery) error {
	if c.gathering && c.states[d.lane] != nil {
		c.later = append(c.later, d)
		return nil
	}
	if err := c.hand(d); err != nil {
		return err
	}
	if !c.gathering {
		return nil
	}
	for _, s := range c.states {
		if s == nil {
			return nil
		}
	}
	return c.complete()
}

// hand passes verdicts on and notes how far the lane is.
func (c *collector) hand(d delivery) error {
	if d.state != nil {
		c.states[d.lane] = d.state
	}
	c.ended[d.lane] = c.ended[d.lane] || d.ended
	if len(d.verdicts) == 0 {
		return nil
	}
	err := c.handler.Results(d.verdicts)
	select {
	case c.scan.free <- d.verdicts:
	default:
	}
	return err
}

// complete hands the snapshot over, and then what waited for that.
func (c *collector) complete() error {
	c.gathering = false
	if err := c.point(); err != nil {
		return err
	}
	for i, ended := range c.ended {
		if !ended { // the next one needs another, and a million targets take room
			c.states[i] = nil
		}
	}
	later := c.later
	c.later = nil
	for _, d := range later {
		if err := c.take(d); err != nil {
			return err
		}
	}
	return nil
}

// point hands over how far the lanes are.
func (c *collector) point() error {
	state := State{Totals: c.scan.before}
	var sending span
	for _, s := range c.states {
		state.Lanes = append(state.Lanes, *s)
		state.Ways = append(state.Ways, s.ways...)
		state.Totals.add(s.totals)
		sending = sending.with(s.sending)
	}
	slices.Sort(state.Ways)
	state.Ways = slices.Compact(state.Ways)
	state.Totals.SendTime += sending.length()
	return c.handler.Checkpoint(state)
}

// finished reports whether every lane has ended and nothing is left to be handed over.
func (c *collector) finished() bool {
	return !c.gathering && len(c.later) == 0 && !slices.Contains(c.ended, false)
}
