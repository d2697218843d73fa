//go:build linux && !android

package engine_test

import (
	"errors"
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

// localErrors are what an errno of ours means for the target.
var localErrors = []struct {
	err    error
	state  match.State
	reason match.Reason
	errno  syscall.Errno
}{
	{syscall.ENETUNREACH, match.Unreachable, match.NoRoute, syscall.ENETUNREACH},
	{syscall.EHOSTUNREACH, match.Unreachable, match.NoRoute, syscall.EHOSTUNREACH},
	{syscall.EACCES, match.Unreachable, match.NoRoute, syscall.EACCES},
	{syscall.EINVAL, match.Unreachable, match.NoRoute, syscall.EINVAL},
	{syscall.EPERM, match.Unsent, match.LocalFirewall, syscall.EPERM},
	{syscall.ENETDOWN, match.Unsent, match.LinkDown, syscall.ENETDOWN},
	{syscall.ENXIO, match.Unsent, match.LinkDown, syscall.ENXIO},
	{syscall.ENODEV, match.Unsent, match.LinkDown, syscall.ENODEV},
	{syscall.EADDRNOTAVAIL, match.Unsent, match.NoSource, syscall.EADDRNOTAVAIL},
	{syscall.EMSGSIZE, match.Unsent, match.SendFailed, syscall.EMSGSIZE},
	{errors.New("no errno at all"), match.Unsent, match.SendFailed, syscall.EIO},
}

// wantLocal checks a verdict that fell without a packet on the wire.
func wantLocal(t *testing.T, v engine.Verdict, target netip.AddrPort, state match.State, reason match.Reason, errno syscall.Errno) {
	t.Helper()
	check(t, v, state, reason, 0, 0)
	if v.Errno != errno || v.Target != target || v.Source.IsValid() {
		t.Errorf("%v: errno %v, target %v, source %v, want errno %v and no source", reason, v.Errno, v.Target, v.Source, errno)
	}
}

func TestSendErrors(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		for _, e := range localErrors {
			w := wiretest.New(wiretest.Open)
			w.SendErr = func([]byte) error { return e.err }
			f := open(t, w, nil)
			began := time.Now()
			wantLocal(t, probe(t, f, target, time.Second), target, e.state, e.reason, e.errno)
			if d := time.Since(began); d != 0 {
				t.Errorf("%v: after %v", e.err, d)
			}
			if c := counters(t, f); c.SendErrors != 1 || c.SYNSent != 0 || c.Verdicts[e.state] != 1 {
				t.Errorf("%v: counters %+v", e.err, c)
			}
			wantSent(t, w, 0, 0)
			f.Close()
		}
	})
}

func TestRouteErrors(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		for _, e := range localErrors {
			w := wiretest.New(wiretest.Open)
			w.RouteErr = func(netip.Addr) error { return e.err }
			f := open(t, w, nil)
			wantLocal(t, probe(t, f, target, time.Second), target, e.state, e.reason, e.errno)
			wantSent(t, w, 0, 0)
			f.Close()
		}
	})
}

// A firewall that rejects with a RST also has the send fail: what the RST says is not the target's.
func TestFirewallOutranksItsRST(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		w.SendErr = func(pkt []byte) error {
			s, _ := wiretest.Parse(pkt)
			w.Inject(s.Refusal().Bytes())
			return syscall.EPERM
		}
		f := open(t, w, nil)
		wantLocal(t, probe(t, f, target, time.Second), target, match.Unsent, match.LocalFirewall, syscall.EPERM)
		if c := counters(t, f); c.Verdicts[match.Closed] != 0 || c.Answers != 0 {
			t.Errorf("counters %+v", c)
		}
	})
}

// A later attempt that the firewall refuses outranks the silence before it.
func TestFirewallComesLater(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Silent)
		began := time.Now()
		w.SendErr = func([]byte) error {
			if time.Since(began) > 0 {
				return syscall.EPERM
			}
			return nil
		}
		f := open(t, w, nil)
		v := probe(t, f, target, 4*time.Second)
		check(t, v, match.Unsent, match.LocalFirewall, 0, 0)
		if d := time.Since(began); d != time.Second || v.Errno != syscall.EPERM {
			t.Errorf("errno %v after %v", v.Errno, d)
		}
	})
}

// Full buffers pass: the attempt is repeated, until the timeout.
func TestNoBuffers(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOBUFS, syscall.EAGAIN, syscall.ENOMEM} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := wiretest.New(wiretest.Delay(10*ms, wiretest.Open))
			refusals := 3
			w.SendErr = func([]byte) error {
				if refusals > 0 {
					refusals--
					return errno
				}
				return nil
			}
			losses := 0
			f := open(t, w, func(c *engine.Config) { c.OnLoss = func(time.Duration) { losses++ } })
			p := start(t.Context(), f, target, time.Second)
			p.want(t, match.Open, match.SYNACK, 13*ms)
			check(t, p.v, match.Open, match.SYNACK, 0, 10*ms)
			if losses != 3 {
				t.Errorf("told of %d losses", losses)
			}
			wantSent(t, w, 1, 1)
			refusals = 1 << 20
			p = start(t.Context(), f, nth(target, 1), 300*ms)
			p.want(t, match.Unsent, match.NoBuffers, 300*ms)
			wantLocal(t, p.v, nth(target, 1), match.Unsent, match.NoBuffers, syscall.ENOBUFS)
			if c := counters(t, f); c.SendErrors < 300 || c.SendErrors > 310 {
				t.Errorf("%d send errors: want one each millisecond", c.SendErrors)
			}
			wantSent(t, w, 1, 1)
		})
	}
}

// One refusal is about one packet: the others of its batch go out.
func TestRefusalWithinABatch(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		bad := nth(target, 3)
		w := wiretest.New(wiretest.Delay(10*ms, wiretest.Open))
		w.SendErr = func(pkt []byte) error {
			if s, _ := wiretest.Parse(pkt); s.To == bad {
				return syscall.EPERM
			}
			return nil
		}
		f := open(t, w, nil)
		var all []netip.AddrPort
		for i := range 100 {
			all = append(all, nth(target, i))
		}
		states := map[match.State]int{}
		for v := range verdicts(t, f, all, time.Second) {
			if states[v.State]++; v.State == match.Unsent && v.Target != bad {
				t.Errorf("%v is %v", v.Target, v.Reason)
			}
		}
		if states[match.Open] != 99 || states[match.Unsent] != 1 {
			t.Errorf("states %v", states)
		}
	})
}

func TestScope(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Delay(10*ms, wiretest.Open))
		allowed := target.Addr()
		f := open(t, w, func(c *engine.Config) { c.Allow = func(a netip.Addr) bool { return a == allowed } })
		wantLocal(t, probe(t, f, nth(target, 1), time.Second), nth(target, 1), match.Unsent, match.OutOfScope, syscall.EPERM)
		wantSent(t, w, 0, 0)
		check(t, probe(t, f, target, time.Second), match.Open, match.SYNACK, 0, 10*ms)
		wantSent(t, w, 1, 1)
	})
}

// The scope holds for resets, too.
func TestScopeOfResets(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Duplicate(1, 10*ms, wiretest.Delay(10*ms, wiretest.Open)))
		var narrowed atomic.Bool
		f := open(t, w, func(c *engine.Config) { c.Allow = func(netip.Addr) bool { return !narrowed.Load() } })
		time.AfterFunc(5*ms, func() { narrowed.Store(true) })
		check(t, probe(t, f, target, time.Second), match.Open, match.SYNACK, 0, 10*ms)
		time.Sleep(time.Second)
		wantSent(t, w, 1, 0)
	})
}

func TestNoSourceOfFamily(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Open)
		other := target6
		if target.Addr().Is4() {
			w.Source4 = netip.Addr{}
		} else {
			w.Source6, other = netip.Addr{}, target4
		}
		f := open(t, w, nil)
		wantLocal(t, probe(t, f, target, time.Second), target, match.Unsent, match.NoSource, syscall.EADDRNOTAVAIL)
		check(t, probe(t, f, other, time.Second), match.Open, match.SYNACK, 0, 0)
	})
}

// Silence of a link without carrier says nothing about the target, whether the sends went through or not.
func TestLinkDown(t *testing.T) {
	for _, err := range []error{nil, syscall.ENOBUFS, syscall.ENETUNREACH} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			w := wiretest.New(wiretest.Silent)
			began := time.Now()
			down := func() bool { return time.Since(began) >= 500*ms }
			w.Down = down
			w.SendErr = func([]byte) error {
				if down() {
					return err
				}
				return nil
			}
			f := open(t, w, nil)
			p := start(t.Context(), f, target, 2500*ms)
			took := 2500 * ms
			if err == syscall.ENETUNREACH {
				took = time.Second
			}
			p.want(t, match.Unsent, match.LinkDown, took)
		})
	}
}

// The carrier comes back: the next attempt finds the target.
func TestLinkComesBack(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Delay(10*ms, wiretest.Open))
		began := time.Now()
		w.Down = func() bool { return time.Since(began) < 1500*ms }
		w.SendErr = func([]byte) error {
			if w.Down() {
				return syscall.ENOBUFS
			}
			return nil
		}
		f := open(t, w, nil)
		start(t.Context(), f, target, 4*time.Second).want(t, match.Open, match.SYNACK, 1510*ms)
	})
}

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
