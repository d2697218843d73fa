package connect

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/match"
)

func TestAllInOrderOfCompletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delay := func(target netip.AddrPort) time.Duration {
			return time.Duration(100-target.Addr().As4()[3]) * time.Millisecond
		}
		p := dialing(t, Config{}, after(delay))
		var got []netip.AddrPort
		for v, err := range p.All(t.Context(), hosts(50, nil), time.Minute) {
			if err != nil {
				t.Fatal(err)
			}
			want(t, v, match.Open, match.SYNACK, nil)
			got = append(got, v.Target)
		}
		all := slices.Collect(hosts(50, nil))
		slices.Reverse(all)
		if !slices.Equal(got, all) {
			t.Errorf("order %v, want the quickest first", got)
		}
	})
}

// TestAllTakesNoMoreThanItHasRoomFor: what is pending is bounded, and so is what a slow consumer leaves lying.
func TestAllTakesNoMoreThanItHasRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room = 8
		taken, consumed := 0, 0
		p := dialing(t, Config{Limit: room}, after(func(netip.AddrPort) time.Duration { return time.Millisecond }))
		for range p.All(t.Context(), hosts(200, &taken), time.Minute) {
			synctest.Wait()
			// Besides those pending there are the one in the loop's body and the one that is next in line.
			if ahead := taken - consumed; ahead > room+2 {
				t.Fatalf("%d targets taken, %d verdicts consumed: more than room for %d", taken, consumed, room)
			}
			consumed++
			time.Sleep(5 * time.Millisecond)
		}
		if consumed != 200 {
			t.Errorf("%d verdicts, want 200", consumed)
		}
	})
}

func TestAllBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := false
		targets := func(yield func(netip.AddrPort) bool) {
			defer func() { over = true }()
			hosts(math.MaxInt, nil)(yield)
		}
		p := dialing(t, Config{Limit: 100}, after(func(target netip.AddrPort) time.Duration {
			if target == host(7) {
				return time.Second
			}
			return -1
		}))
		start := time.Now()
		for v := range p.All(t.Context(), targets, time.Minute) {
			if v.Target != host(7) {
				t.Errorf("%v came first", v.Target)
			}
			break
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("the loop ended after %v, want 1s", took)
		}
		if !over {
			t.Error("the sequence of targets was still running")
		}
		if n := p.Counters().InFlight; n != 0 {
			t.Errorf("%d still in flight", n)
		}
	})
}

func TestAllPanicInTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dialing(t, Config{Limit: 10}, after(atOnce))
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
			if n := p.Counters().InFlight; n != 0 {
				t.Errorf("%d still in flight", n)
			}
		}()
		for range p.All(t.Context(), hosts(100, nil), time.Minute) {
			panic("by the caller")
		}
	})
}

// TestAllCanceled: every target that was taken comes out once, then the error.
func TestAllCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("had enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		p := dialing(t, Config{Limit: 10}, after(never))
		taken, verdicts, failed := 0, 0, 0
		for v, err := range p.All(ctx, hosts(1000, &taken), time.Minute) {
			if failed > 0 {
				t.Error("something came after the error")
			}
			if err != nil {
				failed++
				if err != cause || v != (Verdict{}) {
					t.Errorf("last: %v, %v, want the cause alone", v, err)
				}
				continue
			}
			verdicts++
			want(t, v, match.Unsent, match.Canceled, nil)
		}
		if failed != 1 || verdicts != taken {
			t.Errorf("%d errors, %d verdicts for %d targets taken", failed, verdicts, taken)
		}
	})
}

func TestAllFinishedBeforeTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := dialing(t, Config{}, after(atOnce))
		n := 0
		for _, err := range p.All(ctx, hosts(5, nil), time.Minute) {
			if err != nil {
				t.Errorf("error %v though nothing was cut short", err)
			}
			if n++; n == 5 {
				cancel()
			}
		}
		if n != 5 {
			t.Errorf("%d verdicts, want 5", n)
		}
	})
}

func TestAllClosedFromItsLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dialing(t, Config{Limit: 10}, after(func(netip.AddrPort) time.Duration { return time.Millisecond }))
		var last error
		for _, err := range p.All(t.Context(), hosts(1000, nil), time.Minute) {
			if last = err; err == nil {
				p.Close()
			}
		}
		if last != ErrClosed {
			t.Errorf("the loop ended with %v, want ErrClosed", last)
		}
	})
}
