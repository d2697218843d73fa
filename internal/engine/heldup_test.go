//go:build linux && !android

package engine_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// settled counts verdicts.
type settled map[match.State]int

func (s settled) Settle(_ uint32, v *engine.Verdict) { s[v.State]++ }

// An owner that was held up beyond the timeouts finds what had arrived in time, however much it is, and calls the rest filtered.
func TestHeldUp(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		const n = 1000
		w := wiretest.New(wiretest.Delay(10*ms, wiretest.ByPort(map[uint16]wiretest.Host{8080: wiretest.Silent}, wiretest.Open)))
		plan, err := match.NewPlan(nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		got := settled{}
		s, err := engine.New(engine.Config{Plan: plan, Ports: []uint16{40000, 40001, 40002, 40003}, Limit: 1 << 14}, w, got)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			s.Submit(nth(target, i), 0, s.Now(), time.Second, true)
		}
		silent := netip.AddrPortFrom(target.Addr(), 8080)
		s.Submit(silent, 0, s.Now(), time.Second, true)
		for s.Step() {
		}
		time.Sleep(3 * time.Second)
		for s.Step() {
		}
		if got[match.Open] < n-10 || got[match.Filtered] != 1 || s.Len() != 0 { // a few found no source port of their own in time
			t.Errorf("%v, %d pending", got, s.Len())
		}
	})
}
