package rawshake

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/match"
)

// The tests of this file run in virtual time: the connections are made by functions.

// after returns a dialFunc that succeeds after d(target), or is silent if that is negative.
func after(d func(target netip.AddrPort) time.Duration) dialFunc {
	return func(ctx context.Context, _, target netip.AddrPort) (handshake, error) {
		wait := d(target)
		if wait < 0 {
			<-ctx.Done()
			return handshake{}, os.ErrDeadlineExceeded
		}
		if !sleep(ctx, wait) {
			return handshake{}, os.ErrDeadlineExceeded
		}
		return handshake{remote: target}, nil
	}
}

func never(netip.AddrPort) time.Duration { return -1 }

// hosts yields n targets 127.0.x.y:80.
func hosts(n int) iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		for i := range n {
			if !yield(host(i)) {
				return
			}
		}
	}
}

func host(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(i >> 8), byte(i)}), 80)
}

func TestConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dialing(t, Config{}, after(never))
		start := time.Now()
		r, err := b.probe(t.Context(), host(1), time.Second)
		if err != nil || r.State != Filtered || r.Reason != match.Timeout || r.Err != nil {
			t.Errorf("%v, %v, %v (%v), want filtered", r.State, r.Reason, r.Err, err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestConnectOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dialing(t, Config{MaxInFlight: 2}, after(never))
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() { b.probe(context.Background(), host(1), time.Minute) })
		}
		synctest.Wait()
		if n := b.stats().InFlight; n != 2 {
			t.Errorf("%d in flight, want 2", n)
		}
		start := time.Now()
		r, err := b.probe(t.Context(), host(2), time.Second)
		if err != nil || r.State != Unsent || r.Reason != match.Overload || r.Err != nil {
			t.Errorf("%v, %v, %v (%v), want unsent by overload", r.State, r.Reason, r.Err, err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("it gave up after %v, want its timeout", took)
		}
		all.Wait()
	})
}

// TestConnectTimeoutCountsFromTheDial: a probe that waits for its turn must not take its own wait for the target's silence.
func TestConnectTimeoutCountsFromTheDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dialing(t, Config{MaxInFlight: 1}, after(func(target netip.AddrPort) time.Duration {
			if target == host(1) {
				return -1
			}
			return 700 * time.Millisecond
		}))
		var first sync.WaitGroup
		first.Go(func() { b.probe(context.Background(), host(1), 900*time.Millisecond) })
		synctest.Wait()
		r, err := b.probe(t.Context(), host(2), time.Second)
		if err != nil || r.State != Open || r.RTT != 700*time.Millisecond {
			t.Errorf("%v, RTT %v (%v), want open after 700ms of its own", r.State, r.RTT, err)
		}
		first.Wait()
	})
}

func TestConnectRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times []time.Duration
		start := time.Now()
		b := dialing(t, Config{Rate: 10, MaxInFlight: 1}, func(context.Context, netip.AddrPort, netip.AddrPort) (handshake, error) {
			times = append(times, time.Since(start))
			return handshake{}, &ErrConnect{os.ErrDeadlineExceeded}
		})
		for range b.probeAll(t.Context(), hosts(6)) {
		}
		// The first two may leave 10 ms apart at most: a pacer catches up by that much.
		for i := 1; i < len(times); i++ {
			if gap := times[i] - times[i-1]; gap < 90*time.Millisecond || gap > 110*time.Millisecond {
				t.Errorf("dials at %v: want one each 100ms", times)
				break
			}
		}
	})
}

func TestConnectRateCountsWhatAnOpenPortCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dialing(t, Config{Rate: 10}, after(func(netip.AddrPort) time.Duration { return 0 }))
		start := time.Now()
		for range b.probeAll(t.Context(), hosts(11)) {
		}
		// SYN, ACK and RST for each before the last make 3s, less the ACK and RST of one that come after the next SYN's turn
		// was given away.
		if took := time.Since(start); took < 2700*time.Millisecond || took > 3*time.Second {
			t.Errorf("11 open ports at 10 packets/s took %v, want 2.8s", took)
		}
	})
}

func TestConnectRateBeyondPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dialing(t, Config{Rate: 0.1}, after(func(netip.AddrPort) time.Duration { return 0 }))
		if r, err := b.probe(t.Context(), host(1), time.Second); err != nil || r.State != Open {
			t.Fatalf("first: %v, %v", r.State, err)
		}
		r, err := b.probe(t.Context(), host(1), time.Second)
		if err != nil || r.State != Unsent || r.Reason != match.Overload {
			t.Errorf("second: %v, %v (%v), want unsent by overload", r.State, r.Reason, err)
		}
	})
}

func TestConnectContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dialing(t, Config{MaxInFlight: 1}, after(never))
		cause := errors.New("had enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		var all sync.WaitGroup
		for range 2 { // one dials, one waits for a slot
			all.Go(func() {
				if _, err := b.probe(ctx, host(1), time.Minute); err != cause {
					t.Errorf("probe: %v, want the cause", err)
				}
			})
		}
		all.Wait()
		if s := b.stats(); s.InFlight != 0 || s.Unsent != 0 || len(b.slots) != 0 {
			t.Errorf("left behind: %+v, %d slots", s, len(b.slots))
		}
	})
}

func TestConnectCloseEndsProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newConnect(Config{}, after(never))
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, err := b.probe(t.Context(), host(1), time.Minute); err != ErrClosed {
					t.Errorf("probe: %v, want ErrClosed", err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		b.close()
		all.Wait()
		if took := time.Since(start); took != 0 {
			t.Errorf("closing took %v", took)
		}
	})
}

func TestConnectAllInOrderOfCompletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delay := func(target netip.AddrPort) time.Duration {
			return time.Duration(100-target.Addr().As4()[3]) * time.Millisecond
		}
		b := dialing(t, Config{}, after(delay))
		var got []netip.AddrPort
		for r, err := range b.probeAll(t.Context(), hosts(50)) {
			if err != nil || r.State != Open {
				t.Errorf("%v: %v, %v", r.Target, r.State, err)
			}
			got = append(got, r.Target)
		}
		want := slices.Collect(hosts(50))
		slices.Reverse(want)
		if !slices.Equal(got, want) {
			t.Errorf("order %v, want the quickest first", got)
		}
	})
}

// TestConnectAllTakesNoMoreThanItHasRoomFor: what is pending is bounded, and so is what a slow consumer leaves lying.
func TestConnectAllTakesNoMoreThanItHasRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room = 8
		taken, consumed := 0, 0
		targets := func(yield func(netip.AddrPort) bool) {
			for target := range hosts(200) {
				taken++
				if !yield(target) {
					return
				}
			}
		}
		b := dialing(t, Config{MaxInFlight: room}, after(func(netip.AddrPort) time.Duration { return time.Millisecond }))
		for range b.probeAll(t.Context(), targets) {
			synctest.Wait()
			// Besides those pending there are the one in the loop's body and the one that is next in line.
			if ahead := taken - consumed; ahead > room+2 {
				t.Fatalf("%d targets taken, %d results consumed: more than room for %d", taken, consumed, room)
			}
			consumed++
			time.Sleep(5 * time.Millisecond)
		}
		if consumed != 200 {
			t.Errorf("%d results, want 200", consumed)
		}
	})
}

func TestConnectAllBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := false
		targets := func(yield func(netip.AddrPort) bool) {
			defer func() { over = true }()
			for i := 0; ; i++ {
				if !yield(host(i & 0xffff)) {
					return
				}
			}
		}
		b := dialing(t, Config{MaxInFlight: 100}, after(func(target netip.AddrPort) time.Duration {
			if target == host(7) {
				return time.Second
			}
			return -1
		}))
		start := time.Now()
		for r := range b.probeAll(t.Context(), targets) {
			if r.Target != host(7) {
				t.Errorf("%v came first", r.Target)
			}
			break
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("the loop ended after %v, want 1s", took)
		}
		if !over {
			t.Error("the sequence of targets was still running")
		}
		if s := b.stats(); s.InFlight != 0 {
			t.Errorf("%d still in flight", s.InFlight)
		}
	})
}

func TestConnectAllPanicInTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dialing(t, Config{MaxInFlight: 10}, after(func(netip.AddrPort) time.Duration { return 0 }))
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
			if n := b.stats().InFlight; n != 0 {
				t.Errorf("%d still in flight", n)
			}
		}()
		for range b.probeAll(t.Context(), hosts(100)) {
			panic("by the caller")
		}
	})
}

// TestConnectAllCanceled: every target that was taken comes out once, then the error.
func TestConnectAllCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("had enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		b := dialing(t, Config{MaxInFlight: 10}, after(never))
		taken := 0
		targets := func(yield func(netip.AddrPort) bool) {
			for target := range hosts(1000) {
				taken++
				if !yield(target) {
					return
				}
			}
		}
		results, failed := 0, 0
		for r, err := range b.probeAll(ctx, targets) {
			if failed > 0 {
				t.Error("something came after the error")
			}
			if err != nil {
				failed++
				if err != cause || r != (Result{}) {
					t.Errorf("last: %v, %v, want the cause alone", r, err)
				}
				continue
			}
			results++
			if r.State != Unsent || r.Reason != match.Canceled {
				t.Errorf("%v: %v, %v, want unsent, canceled", r.Target, r.State, r.Reason)
			}
		}
		if failed != 1 || results != taken {
			t.Errorf("%d errors, %d results for %d targets taken", failed, results, taken)
		}
	})
}

func TestConnectAllFinishedBeforeTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		b := dialing(t, Config{}, after(func(netip.AddrPort) time.Duration { return 0 }))
		n := 0
		for _, err := range b.probeAll(ctx, hosts(5)) {
			if err != nil {
				t.Errorf("error %v though nothing was cut short", err)
			}
			if n++; n == 5 {
				cancel()
			}
		}
		if n != 5 {
			t.Errorf("%d results, want 5", n)
		}
	})
}

func TestConnectAllClosedFromItsLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dialing(t, Config{MaxInFlight: 10}, after(func(netip.AddrPort) time.Duration { return time.Millisecond }))
		var last error
		for _, err := range b.probeAll(t.Context(), hosts(1000)) {
			if last = err; err == nil {
				b.close()
			}
		}
		if last != ErrClosed {
			t.Errorf("the loop ended with %v, want ErrClosed", last)
		}
	})
}
