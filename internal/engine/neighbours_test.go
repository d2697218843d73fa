//go:build linux && !android

package engine_test

import (
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// neighbourTest is a wire to many neighbours, or to a gateway, whose link addresses become known at some time.
func neighbourTest(onLink bool, target netip.AddrPort, hop func(time.Duration) engine.Neighbour) *wiretest.Wire {
	began := time.Now()
	w := wiretest.New(wiretest.Delay(10*ms, wiretest.Open))
	w.OnLink = onLink
	if !onLink {
		w.Gateway = router(target)
	}
	w.Hop = func(netip.Addr) engine.Neighbour { return hop(time.Since(began)) }
	answer := w.Host
	w.Host = func(pkt []byte) []wiretest.Packet {
		if hop(time.Since(began)) != engine.NeighbourKnown {
			return nil // the kernel keeps it, and in the end drops it
		}
		return answer(pkt)
	}
	return w
}

func many(target netip.AddrPort, n int) (all []netip.AddrPort) {
	for ; len(all) < n; target = nth(target, 1) {
		all = append(all, target)
	}
	return all
}

// No more than 200 packets wait in the kernel for link addresses.
func TestUnresolvedNeighbours(t *testing.T) {
	for _, onLink := range []bool{true, false} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := neighbourTest(onLink, target, func(at time.Duration) engine.Neighbour {
				if at < 1500*ms {
					return engine.NeighbourUnknown
				}
				return engine.NeighbourKnown
			})
			f := open(t, w, nil)
			began := time.Now()
			n := 0
			for v := range verdicts(t, f, many(target, 500), 5*time.Second) {
				if n++; v.State != match.Open {
					t.Errorf("%v is %v %v", v.Target, v.State, v.Reason)
				}
			}
			early := 0
			for _, at := range times(w, began, isSYN) {
				if at < 1500*ms {
					early++
				}
			}
			if n != 500 || early != 200 {
				t.Errorf("%d verdicts, %d SYNs to the kernel while nothing was resolved, want 200", n, early)
			}
		})
	}
}

func TestNeighboursNeverResolved(t *testing.T) {
	for _, c := range []struct {
		onLink bool
		hop    engine.Neighbour
		state  match.State
		reason match.Reason
	}{
		{true, engine.NeighbourUnknown, match.Unsent, match.Unresolved},
		{false, engine.NeighbourUnknown, match.Unsent, match.Unresolved},
		{true, engine.NeighbourFailed, match.Unreachable, match.NoNeighbour},
		{false, engine.NeighbourFailed, match.Unsent, match.GatewayDown},
	} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := neighbourTest(c.onLink, target, func(at time.Duration) engine.Neighbour {
				if at < time.Second {
					return engine.NeighbourUnknown
				}
				return c.hop
			})
			f := open(t, w, plan(t, 0))
			n := 0
			for v := range verdicts(t, f, many(target, 300), 3*time.Second) {
				if n++; v.State != c.state || v.Reason != c.reason || v.Errno != syscall.EHOSTUNREACH {
					t.Errorf("%v is %v %v, errno %v, want %v %v", v.Target, v.State, v.Reason, v.Errno, c.state, c.reason)
				}
			}
			if n != 300 {
				t.Errorf("%d verdicts", n)
			}
		})
	}
}

// When the kernel gives a neighbour up, what was sent there ends, however long it might have waited for an answer.
func TestNeighbourGivenUp(t *testing.T) {
	for onLink, want := range map[bool]struct {
		state  match.State
		reason match.Reason
	}{
		true:  {match.Unreachable, match.NoNeighbour},
		false: {match.Unsent, match.GatewayDown},
	} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := neighbourTest(onLink, target, func(at time.Duration) engine.Neighbour {
				if at < 1500*ms {
					return engine.NeighbourUnknown
				}
				return engine.NeighbourFailed
			})
			f := open(t, w, nil)
			for _, p := range startIn(t.Context(), f, 10*time.Second, target, nth(target, 1), target) {
				if <-p.done; p.v.State != want.state || p.v.Reason != want.reason || p.v.Errno != syscall.EHOSTUNREACH {
					t.Errorf("%v is %v %v, errno %v", p.v.Target, p.v.State, p.v.Reason, p.v.Errno)
				}
				if p.took < 1500*ms || p.took > 1500*ms+20*ms {
					t.Errorf("it took %v", p.took)
				}
			}
			wantSent(t, w, 6, 0)
		})
	}
}

// A next hop that was known and dies while the answer is waited for.
func TestNeighbourDies(t *testing.T) {
	for _, c := range []struct {
		onLink bool
		state  match.State
		reason match.Reason
	}{{true, match.Unreachable, match.NoNeighbour}, {false, match.Unsent, match.GatewayDown}} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := neighbourTest(c.onLink, target, func(at time.Duration) engine.Neighbour {
				if at < 500*ms {
					return engine.NeighbourKnown
				}
				return engine.NeighbourFailed
			})
			w.Host = wiretest.Silent
			f := open(t, w, plan(t, 0))
			start(t.Context(), f, target, time.Second).want(t, c.state, c.reason, time.Second)
		})
	}
}

// A neighbour that was given up while nobody looked leaves no trace; its packets must not be counted for ever.
func TestForgottenNeighbours(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := neighbourTest(true, target, func(time.Duration) engine.Neighbour { return engine.NeighbourUnknown })
		f := open(t, w, plan(t, 0))
		for i := range 250 {
			check(t, probe(t, f, nth(target, i), 100*ms), match.Unsent, match.Unresolved, 0, 0)
			time.Sleep(10 * time.Second)
		}
		wantSent(t, w, 250, 0)
	})
}

// Neighbours that are known are not held up by those that are not.
func TestKnownNeighboursPass(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		alive := nth(target, 1000)
		w := wiretest.New(wiretest.Delay(10*ms, wiretest.ByPort(map[uint16]wiretest.Host{80: wiretest.Open}, wiretest.Silent)))
		w.OnLink = true
		w.Hop = func(a netip.Addr) engine.Neighbour {
			if a == alive.Addr() {
				return engine.NeighbourKnown
			}
			return engine.NeighbourUnknown
		}
		f := open(t, w, nil)
		for _, dead := range many(target, 300) {
			start(t.Context(), f, dead, 2*time.Second)
		}
		synctest.Wait()
		start(t.Context(), f, netip.AddrPortFrom(alive.Addr(), 80), time.Second).want(t, match.Open, match.SYNACK, 10*ms)
	})
}

// While the kernel's table of neighbours is full, who needs a place in it waits, and is unsent if its time is over. What was refused waits
// nowhere, so it holds nobody up.
func TestNeighbourTableFull(t *testing.T) {
	const room = 1500 * ms
	for _, onLink := range []bool{true, false} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := neighbourTest(onLink, target, func(at time.Duration) engine.Neighbour {
				if at < room {
					return engine.NeighbourUnknown
				}
				return engine.NeighbourKnown
			})
			began := time.Now()
			var tries atomic.Int32
			w.SendErr = func([]byte) error {
				switch tries.Add(1); {
				case time.Since(began) >= room:
					return nil
				case target.Addr().Is6():
					return syscall.EINVAL
				}
				return syscall.ENOBUFS
			}
			var losses atomic.Int32
			f := open(t, w, func(c *engine.Config) { c.OnLoss = func(time.Duration) { losses.Add(1) } })
			var hasty, patient []*pending
			for i, target := range many(target, 500) {
				hasty = append(hasty, start(t.Context(), f, target, time.Second))
				if i%100 == 0 {
					patient = append(patient, start(t.Context(), f, nth(target, 1000), 5*time.Second))
				}
			}
			for _, p := range hasty {
				p.want(t, match.Unsent, match.NoBuffers, time.Second)
				wantLocal(t, p.v, p.v.Target, match.Unsent, match.NoBuffers, syscall.ENOBUFS)
			}
			if n := tries.Load(); n < 50 || n > 200*engine.BatchSize || losses.Load() != 0 {
				t.Errorf("%d packets tried in a second, told of %d losses", n, losses.Load())
			}
			for _, p := range patient {
				if <-p.done; p.v.State != match.Open || p.v.Attempt != 0 || p.took < room || p.took > room+30*ms {
					t.Errorf("%v is %v %v in attempt %d after %v", p.v.Target, p.v.State, p.v.Reason, p.v.Attempt, p.took)
				}
			}
			wantSent(t, w, len(patient), len(patient))
		})
	}
}

// Packets that are refused, by whatever, wait for no link address.
func TestRefusedWaitNowhere(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		good := nth(target, 1000)
		w := neighbourTest(true, target, func(time.Duration) engine.Neighbour { return engine.NeighbourUnknown })
		w.SendErr = func(pkt []byte) error {
			if s, _ := wiretest.Parse(pkt); s.To != good {
				return syscall.EPERM
			}
			return nil
		}
		f := open(t, w, nil)
		began := time.Now()
		for v := range verdicts(t, f, many(target, 300), time.Second) {
			if v.State != match.Unsent || v.Reason != match.LocalFirewall {
				t.Errorf("%v is %v %v", v.Target, v.State, v.Reason)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("after %v", took)
		}
		check(t, probe(t, f, good, 100*ms), match.Unsent, match.Unresolved, 0, 0)
		wantSent(t, w, 1, 0)
	})
}
