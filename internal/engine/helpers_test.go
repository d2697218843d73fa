//go:build linux && !android

package engine_test

import (
	"context"
	"iter"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

const ms = time.Millisecond

// families runs a test in a bubble of virtual time for each address family.
func families(t *testing.T, test func(t *testing.T, target netip.AddrPort)) {
	for _, target := range []netip.AddrPort{target4, target6} {
		name := "v4"
		if target.Addr().Is6() {
			name = "v6"
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, target) })
		})
	}
}

// nth returns target with the address n further.
func nth(target netip.AddrPort, n int) netip.AddrPort {
	addr := target.Addr()
	for range n {
		addr = addr.Next()
	}
	return netip.AddrPortFrom(addr, target.Port())
}

// syns makes a host that is asked about SYNs only.
func syns(answer func(syn wiretest.Segment) []wiretest.Packet) wiretest.Host {
	return func(pkt []byte) []wiretest.Packet {
		if s, ok := wiretest.Parse(pkt); ok && s.SYN {
			return answer(s)
		}
		return nil
	}
}

// after makes a packet of a segment that arrives after d.
func after(d time.Duration, s wiretest.Segment) wiretest.Packet {
	return wiretest.Packet{Data: s.Bytes(), After: d}
}

// plan has attempts leave at the given times.
func plan(t *testing.T, at ...time.Duration) func(*engine.Config) {
	t.Helper()
	p, err := match.NewPlan(at, 0)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *engine.Config) { c.Plan = p }
}

// every has n attempts leave, gap apart.
func every(t *testing.T, gap time.Duration, n int) func(*engine.Config) {
	t.Helper()
	var at []time.Duration
	for i := range n {
		at = append(at, time.Duration(i)*gap)
	}
	return plan(t, at...)
}

// with applies several changes.
func with(changes ...func(*engine.Config)) func(*engine.Config) {
	return func(c *engine.Config) {
		for _, change := range changes {
			change(c)
		}
	}
}

// pending is a probe that runs on a goroutine of its own.
type pending struct {
	v    engine.Verdict
	err  error
	took time.Duration
	done chan struct{}
}

func start(ctx context.Context, f *engine.Front, target netip.AddrPort, timeout time.Duration) *pending {
	p := &pending{done: make(chan struct{})}
	began := time.Now()
	go func() {
		defer close(p.done)
		p.err = f.Probe(ctx, target, timeout, keep(&p.v))
		p.took = time.Since(began)
	}()
	return p
}

// startIn starts probes that reach the engine in this order.
func startIn(ctx context.Context, f *engine.Front, timeout time.Duration, targets ...netip.AddrPort) (all []*pending) {
	for _, target := range targets {
		all = append(all, start(ctx, f, target, timeout))
		synctest.Wait()
	}
	return all
}

// want waits for the probe and checks its verdict and how long it took.
func (p *pending) want(t *testing.T, state match.State, reason match.Reason, took time.Duration) {
	t.Helper()
	<-p.done
	if p.err != nil || p.v.State != state || p.v.Reason != reason || p.took != took {
		t.Errorf("%v: %v %v, error %v, after %v, want %v %v after %v", p.v.Target, p.v.State, p.v.Reason, p.err, p.took, state, reason, took)
	}
}

// sent counts the packets on the wire.
func sent(w *wiretest.Wire) (syns, rsts int) {
	for _, s := range wireOf(w) {
		if s.SYN {
			syns++
		} else if s.RST {
			rsts++
		}
	}
	return syns, rsts
}

// wantSent checks the numbers of packets on the wire, when all is quiet.
func wantSent(t *testing.T, w *wiretest.Wire, syns, rsts int) {
	t.Helper()
	synctest.Wait()
	if s, r := sent(w); s != syns || r != rsts {
		t.Errorf("%d SYNs and %d RSTs on the wire, want %d and %d", s, r, syns, rsts)
	}
}

// times returns when packets left that pick chooses, counted from start.
func times(w *wiretest.Wire, start time.Time, pick func(wiretest.Segment) bool) (at []time.Duration) {
	for _, p := range w.Sent() {
		if s, _ := wiretest.Parse(p.Data); pick(s) {
			at = append(at, p.At.Sub(start))
		}
	}
	return at
}

func isSYN(s wiretest.Segment) bool { return s.SYN }
func isRST(s wiretest.Segment) bool { return s.RST }

// counters returns the counters once they are shown, and that nothing is pending.
func counters(t *testing.T, f *engine.Front) engine.Counters {
	t.Helper()
	time.Sleep(200 * ms)
	synctest.Wait()
	c, n := f.Counters()
	if n != 0 {
		t.Errorf("%d probes pending", n)
	}
	return c
}

// host is a target with memory, or many: it knows its half-open connections, and complains about SYNs that meet one.
type host struct {
	mu       sync.Mutex
	halfOpen map[[2]netip.AddrPort]bool
	met      int // SYNs that met a half-open connection
	resets   int // connections that a RST ended
}

func newHost() *host { return &host{halfOpen: map[[2]netip.AddrPort]bool{}} }

func (h *host) answer(pkt []byte) []wiretest.Packet {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, _ := wiretest.Parse(pkt)
	tuple := [2]netip.AddrPort{s.From, s.To}
	switch {
	case s.RST && h.halfOpen[tuple]:
		delete(h.halfOpen, tuple)
		h.resets++
	case s.SYN && h.halfOpen[tuple]:
		h.met++
		return []wiretest.Packet{after(0, wiretest.Segment{From: s.To, To: s.From, Seq: 5, Ack: 6, ACK: true})}
	case s.SYN:
		h.halfOpen[tuple] = true
		return []wiretest.Packet{after(0, s.SYNACK())}
	}
	return nil
}

func wantTimes(t *testing.T, got []time.Duration, want ...time.Duration) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("at %v, want %v", got, want)
	}
}

// verdicts streams targets through the Front and yields their verdicts.
func verdicts(t *testing.T, f *engine.Front, targets []netip.AddrPort, timeout time.Duration) iter.Seq[engine.Verdict] {
	t.Helper()
	return func(yield func(engine.Verdict) bool) {
		for v, err := range f.All(t.Context(), slices.Values(targets), timeout, 1<<16) {
			if err != nil {
				t.Fatal(err)
			}
			if !yield(*v) {
				return
			}
		}
	}
}
