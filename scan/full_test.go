//go:build linux && !android

package scan

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// newFull is a world whose interface stays up while it is out, but passes nothing on: it takes packets until its queue is full, for 50 ms,
// and then refuses them.
func newFull() *unplugged {
	w := newUnplugged(syscall.ENOBUFS)
	inner := w.tweak
	w.tweak = func(wire *wiretest.Wire) {
		inner(wire)
		refuse := wire.SendErr
		var since time.Time
		wire.Gone = nil
		wire.SendErr = func(pkt []byte) error {
			if !w.out.Load() {
				since = time.Now()
			}
			if time.Since(since) < 50*ms {
				return nil
			}
			return refuse(pkt)
		}
	}
	return w
}

// An interface that takes nothing for a while has the scan slow down, wait, and go on by itself. What it had taken before and not
// passed on is asked once more, so no verdict is wrong. If it takes long, the log says so.
func TestFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, lasts := range []time.Duration{250 * ms, 3 * time.Second, 20 * time.Second} {
			w, text := newFull(), &bytes.Buffer{}
			w.during(time.Second, lasts)
			c := Config{
				Targets: space(t, "80-109", mixed), Rate: 2000, Lanes: 2, Attempts: 1, Timeout: time.Second,
				Logger: slog.New(slog.NewTextHandler(text, nil)),
			}
			began := time.Now()
			verdicts, s := run(t, c, &w.world)
			right(t, s, verdicts)
			totals, backoff := s.Totals(), s.Backoff()
			if backoff.Drops == 0 || totals.SendErrors == 0 || totals.Incomplete > 0 || s.Outage() != nil || time.Since(began) < time.Second+lasts {
				t.Errorf("%v: slowed down %+v, %+v, %v", lasts, backoff, totals, s.Outage())
			}
			told := 0
			if lasts > fullAfter {
				told = 2
			}
			if got := text.String(); strings.Count(got, "\n") != told || told > 0 && (!strings.Contains(got, "takes no packets") || !strings.Contains(got, "goes on")) {
				t.Errorf("%v: the log says\n%s", lasts, got)
			}
		}
	})
}

// If it takes nothing for good, the scan ends as after any other outage, with all that is pending in its last Checkpoint; who goes on
// finds the rest, once, also after he has come too early.
func TestFullForGood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newFull()
		time.AfterFunc(time.Second, func() { w.out.Store(true) })
		c := Config{Targets: space(t, "80-109", mixed), Rate: 2000, Lanes: 2, Attempts: 1, Timeout: time.Second, Outage: 5 * time.Second}
		var l log
		for range 2 {
			began := time.Now()
			s := start(t, c, &w.world)
			var gone *OutageError
			err := s.Run(t.Context(), &l)
			if !errors.As(err, &gone) || gone.Waited != c.Outage || !strings.Contains(err.Error(), "is up, but takes no packets") {
				t.Fatalf("Run returned %v", err)
			}
			if took := time.Since(began); took < c.Outage || took > c.Outage+1300*ms {
				t.Errorf("it took %v", took)
			}
			if len(l.tail) > 0 || l.state.Totals.Done() >= c.Targets.Size() || l.state.Totals.Incomplete > 0 {
				t.Errorf("%d verdicts after the last Checkpoint, %+v", len(l.tail), l.state.Totals)
			}
			c.Resume = l.state
		}
		w.out.Store(false)
		s := start(t, c, &w.world)
		if err := s.Run(t.Context(), &l); err != nil {
			t.Fatal(err)
		}
		l.commit()
		right(t, s, once(t, l.kept))
	})
}

// Who does not want to wait hears of each target that could not be asked, and that verdicts are missing.
func TestFullWithoutWaiting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newFull()
		time.AfterFunc(400*ms, func() { w.out.Store(true) })
		c := Config{Targets: space(t, "80-83", mixed), Rate: 2000, Lanes: 2, Timeout: time.Second, Outage: -1}
		verdicts, s := run(t, c, &w.world)
		reasons := map[match.Reason]uint64{}
		for _, v := range verdicts {
			if v.State == match.Unsent {
				reasons[v.Reason]++
			}
		}
		if totals := s.Totals(); totals.Incomplete == 0 || reasons[match.NoBuffers]+reasons[match.LossOfOurs] != totals.Incomplete || reasons[match.LossOfOurs] == 0 {
			t.Errorf("%+v, unsent %v", totals, reasons)
		}
	})
}
