//go:build linux && !android

package engine_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

var (
	target4 = netip.MustParseAddrPort("198.51.100.7:443")
	target6 = netip.MustParseAddrPort("[2001:db8::7]:443")
)

// open makes a Front on w that is closed when the test ends.
func open(t *testing.T, w *wiretest.Wire, change func(*engine.Config)) *engine.Front {
	t.Helper()
	plan, err := match.NewPlan(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	cfg := engine.Config{Plan: plan, Ports: []uint16{40000, 40001, 40002, 40003}, Limit: 1 << 16}
	if change != nil {
		change(&cfg)
	}
	f, err := engine.NewFront([]engine.Config{cfg}, []engine.Wire{w})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func probe(t *testing.T, f *engine.Front, target netip.AddrPort, timeout time.Duration) engine.Verdict {
	t.Helper()
	var v engine.Verdict
	if err := f.Probe(context.Background(), target, timeout, keep(&v)); err != nil {
		t.Fatalf("Probe(%v): %v", target, err)
	}
	return v
}

func check(t *testing.T, v engine.Verdict, state match.State, reason match.Reason, attempt int, rtt time.Duration) {
	t.Helper()
	if v.State != state || v.Reason != reason || v.Attempt != attempt || v.RTT != rtt {
		t.Errorf("verdict %v %v attempt %d rtt %v, want %v %v attempt %d rtt %v",
			v.State, v.Reason, v.Attempt, v.RTT, state, reason, attempt, rtt)
	}
}

// wireOf returns the segments that were sent.
func wireOf(w *wiretest.Wire) (all []wiretest.Segment) {
	for _, p := range w.Sent() {
		s, _ := wiretest.Parse(p.Data)
		all = append(all, s)
	}
	return all
}

func TestOpen(t *testing.T) { synctest.Test(t, testOpen) }

func testOpen(t *testing.T) {
	for _, target := range []netip.AddrPort{target4, target6} {
		w := wiretest.New(wiretest.Delay(30*time.Millisecond, wiretest.Open))
		f := open(t, w, nil)
		start := time.Now()
		v := probe(t, f, target, 4*time.Second)
		check(t, v, match.Open, match.SYNACK, 0, 30*time.Millisecond)
		if v.Target != target {
			t.Errorf("target %v, want %v", v.Target, target)
		}
		if d := time.Since(start); d != 30*time.Millisecond {
			t.Errorf("took %v", d)
		}
		synctest.Wait()
		got := wireOf(w)
		if len(got) != 2 || !got[0].SYN || got[0].ACK || !got[1].RST || got[1].ACK || got[1].Seq != got[0].Seq+1 {
			t.Fatalf("on the wire %+v, want a SYN and a RST of ISN+1", got)
		}
		if got[0].From != got[1].From || got[0].From != v.Source || got[1].To != target {
			t.Errorf("addresses on the wire %+v, source in the verdict %v", got, v.Source)
		}
		f.Close()
	}
}

func TestClosed(t *testing.T) { synctest.Test(t, testClosed) }

func testClosed(t *testing.T) {
	w := wiretest.New(wiretest.Delay(time.Millisecond, wiretest.Closed))
	f := open(t, w, nil)
	check(t, probe(t, f, target4, time.Second), match.Closed, match.RST, 0, time.Millisecond)
	synctest.Wait()
	if got := wireOf(w); len(got) != 1 {
		t.Errorf("on the wire %+v, want one SYN", got)
	}
}

func TestSilentSchedule(t *testing.T) { synctest.Test(t, testSilentSchedule) }

func testSilentSchedule(t *testing.T) {
	w := wiretest.New(wiretest.Silent)
	f := open(t, w, nil)
	start := time.Now()
	v := probe(t, f, target4, 3500*time.Millisecond)
	check(t, v, match.Filtered, match.Timeout, 3, 0)
	if d := time.Since(start); d != 3500*time.Millisecond {
		t.Errorf("the verdict came after %v", d)
	}
	var at []time.Duration
	ports := map[uint16]bool{}
	for _, p := range w.Sent() {
		at = append(at, p.At.Sub(start))
		s, _ := wiretest.Parse(p.Data)
		ports[s.From.Port()] = true
	}
	if want := []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second}; !slices.Equal(at, want) {
		t.Errorf("SYNs left at %v, want %v", at, want)
	}
	if len(ports) < 2 {
		t.Errorf("all attempts left from %v", ports)
	}
}

func TestSecondAttemptIsAnswered(t *testing.T) { synctest.Test(t, testSecondAttemptIsAnswered) }

func testSecondAttemptIsAnswered(t *testing.T) {
	w := wiretest.New(wiretest.LoseFirst(1, wiretest.Delay(20*time.Millisecond, wiretest.Open)))
	f := open(t, w, nil)
	start := time.Now()
	check(t, probe(t, f, target4, 4*time.Second), match.Open, match.SYNACK, 1, 20*time.Millisecond)
	if d := time.Since(start); d != 1020*time.Millisecond {
		t.Errorf("took %v", d)
	}
}

func TestCancel(t *testing.T) { synctest.Test(t, testCancel) }

func testCancel(t *testing.T) {
	w := wiretest.New(wiretest.Silent)
	f := open(t, w, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	var v engine.Verdict
	start := time.Now()
	if err := f.Probe(ctx, target4, 10*time.Second, keep(&v)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if d := time.Since(start); d != 300*time.Millisecond {
		t.Errorf("returned after %v", d)
	}
	time.Sleep(5 * time.Second)
	if n := len(w.Sent()); n != 1 {
		t.Errorf("%d packets sent, want the first SYN only", n)
	}
	if _, pending := f.Counters(); pending != 0 {
		t.Errorf("%d probes pending", pending)
	}
}

func TestCloseEndsPending(t *testing.T) { synctest.Test(t, testCloseEndsPending) }

func testCloseEndsPending(t *testing.T) {
	w := wiretest.New(wiretest.Silent)
	f := open(t, w, nil)
	time.AfterFunc(500*time.Millisecond, func() { f.Close() })
	start := time.Now()
	var v engine.Verdict
	if err := f.Probe(context.Background(), target4, 10*time.Second, keep(&v)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v", err)
	}
	if d := time.Since(start); d != 500*time.Millisecond {
		t.Errorf("returned after %v", d)
	}
	if err := f.Probe(context.Background(), target4, time.Second, keep(&v)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error after Close %v", err)
	}
}

func TestManyCallers(t *testing.T) { synctest.Test(t, testManyCallers) }

func testManyCallers(t *testing.T) {
	w := wiretest.New(wiretest.ByPort(map[uint16]wiretest.Host{
		80: wiretest.Delay(5*time.Millisecond, wiretest.Open),
		81: wiretest.Delay(5*time.Millisecond, wiretest.Closed),
	}, wiretest.Silent))
	f := open(t, w, nil)
	want := map[uint16]match.State{80: match.Open, 81: match.Closed, 82: match.Filtered}
	done := make(chan bool)
	for i := range 300 {
		go func() {
			port := uint16(80 + i%3)
			target := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), port)
			v := probe(t, f, target, 1500*time.Millisecond)
			if v.State != want[port] || v.Target != target {
				t.Errorf("%v is %v", target, v.State)
			}
			done <- true
		}()
	}
	for range 300 {
		<-done
	}
}

func TestAll(t *testing.T) { synctest.Test(t, testAll) }

func testAll(t *testing.T) {
	w := wiretest.New(wiretest.ByPort(map[uint16]wiretest.Host{80: wiretest.Delay(time.Millisecond, wiretest.Open)}, wiretest.Silent))
	f := open(t, w, nil)
	const n = 5000
	targets := func(yield func(netip.AddrPort) bool) {
		for i := range n {
			if !yield(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), uint16(80+i%2))) {
				return
			}
		}
	}
	seen := map[netip.AddrPort]bool{}
	states := map[match.State]int{}
	for v, err := range f.All(context.Background(), targets, time.Second, 1000) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[v.Target] {
			t.Fatalf("%v came twice", v.Target)
		}
		seen[v.Target] = true
		states[v.State]++
	}
	if states[match.Open] != n/2 || states[match.Filtered] != n/2 {
		t.Errorf("states %v", states)
	}
}

func TestAllBreak(t *testing.T) { synctest.Test(t, testAllBreak) }

func testAllBreak(t *testing.T) {
	w := wiretest.New(wiretest.ByPort(map[uint16]wiretest.Host{80: wiretest.Delay(time.Millisecond, wiretest.Open)}, wiretest.Silent))
	f := open(t, w, nil)
	ended := false
	targets := func(yield func(netip.AddrPort) bool) {
		defer func() { ended = true }()
		for i := 0; ; i++ {
			if !yield(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), uint16(80+i%2))) {
				return
			}
		}
	}
	n := 0
	for _, err := range f.All(context.Background(), targets, time.Minute, 500) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 100 {
			break
		}
	}
	if _, pending := f.Counters(); !ended || pending != 0 {
		t.Errorf("feeder ended: %v, pending %d", ended, pending)
	}
}

// keep copies a verdict.
func keep(v *engine.Verdict) func(*engine.Verdict) {
	return func(got *engine.Verdict) { *v = *got }
}
