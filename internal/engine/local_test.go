//go:build linux && !android

package engine_test

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
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

// A target of a sweep does not wait for ever for an interface that takes nothing.
func TestNoBuffersInASweep(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Open)
		w.SendErr = func([]byte) error { return syscall.ENOBUFS }
		began := time.Now()
		n := 0
		for v := range verdicts(t, open(t, w, nil), many(target, 3), 300*ms) {
			n++
			if d := time.Since(began); v.Reason != match.NoBuffers || v.Errno != syscall.ENOBUFS || d != 300*ms {
				t.Errorf("%v is %v %v, errno %v, after %v", v.Target, v.State, v.Reason, v.Errno, d)
			}
		}
		if n != 3 {
			t.Errorf("%d verdicts", n)
		}
	})
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
