//go:build linux && !android

package scan

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"strconv"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/record"
	"github.com/rawshake/rawshake/scan/target"
)

// Verdict is what a probe found out; [Recorder] makes records of it.
type Verdict = engine.Verdict

// Results scans and yields the verdicts that Config.Keep lets through, in the order in which they fall. Breaking out of the loop
// ends the scan. At most one error is yielded, last, with a zero Record. The sequence is for one use, instead of Run.
func (s *Scan) Results(ctx context.Context) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		y := yielder{records: Recorder{Space: s.cfg.Targets}, yield: yield}
		if err := s.Run(ctx, &y); err != nil && !errors.Is(err, errStopped) {
			yield(record.Record{}, err)
		}
	}
}

var errStopped = errors.New("the loop was left")

// yielder is a Handler that yields.
type yielder struct {
	records Recorder
	yield   func(record.Record, error) bool
}

func (y *yielder) Results(verdicts []engine.Verdict) error {
	for i := range verdicts {
		var r record.Record
		y.records.Fill(&r, &verdicts[i])
		if !y.yield(r, nil) {
			return errStopped
		}
	}
	return nil
}

func (y *yielder) Checkpoint(State) error { return nil }

// Recorder makes records of verdicts. It is not safe for concurrent use.
type Recorder struct {
	Space *target.Space // knows the names and labels of targets
	words record.Interner
	text  []byte
}

// Fill makes the record of a verdict. Unlike the verdict, it may be kept.
func (c *Recorder) Fill(r *record.Record, v *engine.Verdict) {
	options := v.Options()
	c.text = craft.AppendOptions(c.text[:0], options)
	*r = record.Record{
		Time: v.When(), Name: c.name(v.Target), Target: v.Target, State: v.State, Reason: v.Reason,
		RTT: v.Took(), Attempt: v.Attempt, TTL: v.TTL, Window: v.Window,
		MSS: craft.ParseOptions(options).MSS, Options: c.words.String(c.text),
		ICMPType: v.ICMPType, ICMPCode: v.ICMPCode, Responder: v.Responder, MTU: v.MTU,
		Source: v.Source, Method: "raw", Suspect: suspect(v, options), Label: c.Space.Label(v.Target),
	}
	if v.Errno != 0 && v.State != match.Closed {
		r.Err = v.Errno.Error()
	}
}

// name returns the target as the user wrote it, when that was a name.
func (c *Recorder) name(t netip.AddrPort) string {
	name := c.Space.Name(t)
	if name == "" {
		return ""
	}
	return name + ":" + strconv.Itoa(int(t.Port()))
}

// suspect says why an open port may be no service: the signs of SYN proxies and tarpits.
func suspect(v *engine.Verdict, options []byte) string {
	switch {
	case v.State != match.Open:
		return ""
	case v.Window == 0 && len(options) == 0:
		return "window 0, no options"
	case v.Window == 0:
		return "window 0"
	case len(options) == 0:
		return "no options"
	}
	return ""
}
