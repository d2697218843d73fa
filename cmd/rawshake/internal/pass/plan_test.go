//go:build linux && !android

package pass

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan"
	"github.com/rawshake/rawshake/scan/checkpoint"
	"github.com/rawshake/rawshake/scan/record"
)

// testPlan is a plan for a /24 with four ports.
func testPlan(tb testing.TB, change func(*Options, *plan)) plan {
	tb.Helper()
	o := &Options{Timeout: 3 * time.Second, Attempts: 2, MaxInFlight: 1 << 20}
	p := plan{Options: o, set: &targets.Set{Space: space(tb, "10.0.0.0/24:80-83")}, size: 1024, rate: 100}
	change(o, &p)
	return p
}

func TestDuration(t *testing.T) {
	for _, test := range []struct {
		change func(*Options, *plan)
		want   string
	}{
		{func(*Options, *plan) {}, "10.2s if everything answers, 22.0s if nothing does"},
		{func(_ *Options, p *plan) { p.size = 256 }, "2.5s if everything answers, 6.6s if nothing does"},
		{func(_ *Options, p *plan) { p.set.Outside = 512 }, "5.1s if everything answers, 11.7s if nothing does"},
		{func(o *Options, _ *plan) { o.Attempts = 3 }, "10.2s if everything answers, 31.7s if nothing does"},
		{func(o *Options, _ *plan) { o.MaxInFlight = 10 }, "10.2s if everything answers, 5m9s if nothing does"},
		{func(_ *Options, p *plan) { p.hostRate = 0.01 }, "5m0s if everything answers, 11m42s if nothing does"}, // 4 ports a host
		{func(_ *Options, p *plan) { p.netRate = 10 }, "1m42s if everything answers, 3m26s if nothing does"},
		{func(_ *Options, p *plan) { p.size = 256; p.netRate = 10 }, "25.5s if everything answers, 52.6s if nothing does"}, // a shard of 4
		{func(_ *Options, p *plan) { p.rate, p.netRate = math.Inf(1), 10 }, "1m42s if everything answers, 3m26s if nothing does"},
		{func(_ *Options, p *plan) { p.size, p.hostRate = 64, 10 }, "0.6s if everything answers, 3.6s if nothing does"},
		{func(_ *Options, p *plan) { p.rate = 1e6 }, "under 0.1s if everything answers, 3.0s if nothing does"},
		{func(_ *Options, p *plan) { p.rate = math.Inf(1) }, "as fast as this machine sends, about 3.0s if nothing answers"},
		{func(o *Options, _ *plan) { o.Resume = goingOn(512, 1024) }, "5.1s if everything answers, 11.7s if nothing does"},
		{func(o *Options, _ *plan) { o.Resume = goingOn(1024, 1024) }, "under 0.1s if everything answers, under 0.1s if nothing does"},
		{func(o *Options, _ *plan) { o.Resume = goingOn(0, 0) }, "10.2s if everything answers, 22.0s if nothing does"}, // killed at once
		{func(_ *Options, p *plan) { p.size = 1 << 48; p.rate = 1e6 }, "3257 days and 19 hours if everything answers, 9320 days and 16 hours if nothing does"},
		{func(_ *Options, p *plan) { p.size = 1 << 48; p.rate = 1 }, "8919404 years if everything answers, 17838808 years if nothing does"},
		{func(_ *Options, p *plan) { p.set.Space, p.size = space(t), 0 }, "under 0.1s if everything answers, under 0.1s if nothing does"}, // no address
	} {
		if got := testPlan(t, test.change).duration(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

// goingOn is the checkpoint of a scan that is so far.
func goingOn(done, targets uint64) *checkpoint.Checkpoint {
	return &checkpoint.Checkpoint{Run: record.Run{Filtered: done, Targets: targets}}
}

// TestFewerThanThreads: a scan goes on with the threads that it began with, each of which has a target on its way.
func TestFewerThanThreads(t *testing.T) {
	set := &targets.Set{Space: space(t, "10.0.0.0/24:80")}
	o := &Options{Rate: "max", MaxInFlight: 1, Resume: &checkpoint.Checkpoint{Hash: hashOf(set, nil), Lanes: make([]checkpoint.Lane, 2)}}
	_, err := newPlan(o, set)
	if err == nil || exit.Of(err) != exit.Usage || !strings.HasPrefix(err.Error(), "--max-inflight 1: the scan began with 2 threads") {
		t.Errorf("error %v", err)
	}
	o.MaxInFlight = 2
	if _, err := newPlan(o, set); err != nil {
		t.Error(err)
	}
}

// TestCode: what could not be done outranks what was found.
func TestCode(t *testing.T) {
	for _, test := range []struct {
		complete bool
		found    match.State
		want     exit.Code
	}{
		{true, match.Open, exit.OK}, {true, match.Closed, exit.NotOpen}, {false, match.Open, exit.Incomplete}, {false, match.Closed, exit.Incomplete},
	} {
		r := &run{Options: Options{FailOn: 1 << match.Closed}, set: &targets.Set{Space: space(t, "10.0.0.1:80")}}
		var totals scan.Totals
		totals.Verdicts[test.found] = 1
		if got := r.code(&record.Run{Complete: test.complete}, totals); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
}

func TestQuoted(t *testing.T) {
	for name, want := range map[string]string{"a/b.checkpoint": "a/b.checkpoint", "a b": "'a b'", "it's": `'it'\''s'`} {
		if got := quoted(name); got != want {
			t.Errorf("%s", got)
		}
	}
}
