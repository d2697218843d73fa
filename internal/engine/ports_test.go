//go:build linux && !android

package engine_test

import (
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// Many callers ask one open target at a time: each has a four-tuple to itself, and waits for one if there is none, the last ones
// longer than a silent target would have them wait.
func TestOneTargetManyCallers(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		h := newHost()
		w := wiretest.New(wiretest.Delay(35*ms, h.answer))
		f := open(t, w, nil)
		var all []*pending
		for range 200 {
			all = append(all, start(t.Context(), f, target, 4*time.Second))
		}
		for _, p := range all {
			if <-p.done; p.err != nil || p.v.State != match.Open || p.v.Attempt != 0 || p.v.RTT != 35*ms {
				t.Errorf("%v %v, attempt %d, RTT %v, error %v", p.v.State, p.v.Reason, p.v.Attempt, p.v.RTT, p.err)
			}
		}
		wantSent(t, w, 200, 200)
		if h.met != 0 || len(h.halfOpen) != 0 {
			t.Errorf("%d SYNs met a half-open connection, %d were left", h.met, len(h.halfOpen))
		}
	})
}

// While more and more probes are in flight the ledger grows, and no port is given away twice by that.
func TestPortsOutlastGrowth(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		h := newHost()
		w := wiretest.New(wiretest.Delay(35*ms, h.answer))
		f := open(t, w, nil)
		var all []*pending
		for range 2 {
			all = append(all, startIn(t.Context(), f, 4*time.Second, many(target, 600)...)...)
		}
		for _, p := range all {
			if <-p.done; p.v.State != match.Open || p.v.Attempt != 0 {
				t.Errorf("%v %v, attempt %d", p.v.State, p.v.Reason, p.v.Attempt)
			}
		}
		synctest.Wait()
		if h.met != 0 || len(h.halfOpen) != 0 {
			t.Errorf("%d SYNs met a half-open connection, %d were left", h.met, len(h.halfOpen))
		}
	})
}

// A target that has a port of ours for its own, as our own host may: a SYN from that very port would be its own answer.
func TestPortOfOurs(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		h := newHost()
		w := wiretest.New(wiretest.Delay(5*ms, h.answer))
		f := open(t, w, nil)
		target = netip.AddrPortFrom(target.Addr(), 40001)
		var all []*pending
		for range 60 {
			all = append(all, start(t.Context(), f, target, 4*time.Second))
		}
		for _, p := range all {
			if <-p.done; p.v.State != match.Open || p.v.Source.Port() == 40001 {
				t.Errorf("%v from %v", p.v.State, p.v.Source)
			}
		}
		synctest.Wait()
		if h.met != 0 || len(h.halfOpen) != 0 {
			t.Errorf("%d SYNs met a half-open connection, %d were left", h.met, len(h.halfOpen))
		}
	})
}

// A silent target keeps no caller from asking: after a while ports are shared, and then it has the whole timeout.
func TestSilentTargetManyCallers(t *testing.T) {
	for _, timeout := range []time.Duration{4 * time.Second, time.Second, 100 * ms, 2 * ms} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := wiretest.New(wiretest.Silent)
			f := open(t, w, plan(t, 0))
			began := time.Now()
			all := startIn(t.Context(), f, timeout, slices.Repeat([]netip.AddrPort{target}, 20)...)
			for _, p := range all[:4] {
				p.want(t, match.Filtered, match.Timeout, timeout)
			}
			shared := min(time.Second, timeout/2)
			for _, p := range all[4:] {
				p.want(t, match.Filtered, match.Timeout, shared+timeout)
			}
			for i, at := range times(w, began, isSYN) {
				if want := shared * time.Duration(min(i/4, 1)); at != want {
					t.Errorf("SYN %d left at %v, want %v", i, at, want)
				}
			}
			wantSent(t, w, 20, 0)
		})
	}
}

// A probe that had no source port before its time was over says so with the errno of connect(2).
func TestNoPortInTime(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		f := open(t, w, plan(t, 0))
		startIn(t.Context(), f, time.Second, target, target, target, target) // all ports
		p := start(t.Context(), f, target, ms)
		p.want(t, match.Unsent, match.Overload, ms)
		wantLocal(t, p.v, target, match.Unsent, match.Overload, syscall.EADDRNOTAVAIL)
		start(t.Context(), f, nth(target, 1), ms).want(t, match.Filtered, match.Timeout, ms)
	})
}

// Probes of different targets spread over the ports.
func TestPortsAreSpread(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		f := open(t, w, plan(t, 0))
		for range verdicts(t, f, many(target, 400), 100*ms) {
		}
		ports := map[uint16]int{}
		for _, s := range wireOf(w) {
			ports[s.From.Port()]++
		}
		for port, n := range ports {
			if len(ports) != 4 || n < 90 || n > 110 {
				t.Errorf("%d of 400 from port %d", n, port)
			}
		}
	})
}

// Attempts of a probe leave from different ports, as long as there are any.
func TestAttemptsChangePorts(t *testing.T) {
	for n := 1; n <= 4; n++ {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := wiretest.New(wiretest.Silent)
			f := open(t, w, with(every(t, 10*ms, match.MaxAttempts), func(c *engine.Config) { c.Ports = c.Ports[:n] }))
			all := startIn(t.Context(), f, 300*ms, target, target, target)
			for _, p := range all { // with one port or two, some wait for theirs
				if <-p.done; p.v.State != match.Filtered || p.took < 300*ms || p.took > 450*ms {
					t.Errorf("%d ports: %v %v after %v", n, p.v.State, p.v.Reason, p.took)
				}
			}
			if got, _ := sent(w); got != 3*match.MaxAttempts {
				t.Errorf("%d ports: %d SYNs", n, got)
			}
			probe(t, f, nth(target, 1), 300*ms)
			got := wireOf(w)
			for i := 3*match.MaxAttempts + 1; i < len(got); i++ {
				if n > 1 && got[i].From == got[i-1].From {
					t.Errorf("%d ports: attempts from %v and again", n, got[i].From)
				}
			}
		})
	}
}

// With ports free, none is shared, whatever ports the attempts before had.
func TestFreePortsAreNotShared(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		f := open(t, w, every(t, 100*ms, 2))
		all := startIn(t.Context(), f, time.Second, target, target, target)
		time.Sleep(100 * ms)
		for range 40 { // at each moment three of four ports are taken
			time.Sleep(900 * ms)
			for _, p := range all {
				<-p.done
			}
			all = startIn(t.Context(), f, time.Second, target, target, target)
			time.Sleep(100 * ms)
			synctest.Wait()
			got := wireOf(w)
			ports := map[uint16]bool{}
			for _, s := range got[len(got)-3:] {
				ports[s.From.Port()] = true
			}
			if len(ports) != 3 {
				t.Fatalf("three probes of a target use %d ports", len(ports))
			}
		}
	})
}
