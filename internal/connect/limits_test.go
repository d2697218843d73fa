package connect

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/match"
)

// The tests of this file and of sweep_test.go run in virtual time: the connections are made by functions.

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dialing(t, Config{}, after(never))
		start := time.Now()
		want(t, probe(t, p, "127.0.0.1:80", time.Second), match.Filtered, match.Timeout, nil)
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dialing(t, Config{Limit: 2}, after(never))
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() { p.Probe(context.Background(), host(1), time.Minute) })
		}
		synctest.Wait()
		if n := p.Counters().InFlight; n != 2 {
			t.Errorf("%d in flight, want 2", n)
		}
		start := time.Now()
		want(t, probe(t, p, "127.0.0.2:80", time.Second), match.Unsent, match.Overload, nil)
		if took := time.Since(start); took != time.Second {
			t.Errorf("it gave up after %v, want its timeout", took)
		}
		all.Wait()
	})
}

// TestTimeoutCountsFromTheDial: a probe that waits for its turn must not take its own wait for the target's silence.
func TestTimeoutCountsFromTheDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dialing(t, Config{Limit: 1}, after(func(target netip.AddrPort) time.Duration {
			if target == host(1) {
				return -1
			}
			return 700 * time.Millisecond
		}))
		var first sync.WaitGroup
		first.Go(func() { p.Probe(context.Background(), host(1), 900*time.Millisecond) })
		synctest.Wait()
		v := probe(t, p, "127.0.0.2:80", time.Second)
		want(t, v, match.Open, match.SYNACK, nil)
		if v.RTT != 700*time.Millisecond {
			t.Errorf("RTT %v, want 700ms of its own", v.RTT)
		}
		first.Wait()
	})
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times []time.Duration
		start := time.Now()
		p := dialing(t, Config{Rate: 10, Limit: 1}, func(context.Context, netip.AddrPort, netip.AddrPort) (handshake, error) {
			times = append(times, time.Since(start))
			return handshake{}, os.ErrDeadlineExceeded
		})
		for range p.All(t.Context(), hosts(6, nil), time.Minute) {
		}
		if len(times) != 6 {
			t.Fatalf("%d dials, want 6", len(times))
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

func TestRateCountsWhatAnOpenPortCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dialing(t, Config{Rate: 10}, after(atOnce))
		start := time.Now()
		for range p.All(t.Context(), hosts(11, nil), time.Minute) {
		}
		// SYN, ACK and RST for each before the last make 3s, less the ACK and RST of one that come after the next SYN's turn
		// was given away.
		if took := time.Since(start); took < 2700*time.Millisecond || took > 3*time.Second {
			t.Errorf("11 open ports at 10 packets/s took %v, want 2.8s", took)
		}
	})
}

func TestRateBeyondPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dialing(t, Config{Rate: 0.1}, after(atOnce))
		want(t, probe(t, p, "127.0.0.1:80", time.Second), match.Open, match.SYNACK, nil)
		want(t, probe(t, p, "127.0.0.1:80", time.Second), match.Unsent, match.Overload, nil)
	})
}

func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dialing(t, Config{Limit: 1}, after(never))
		cause := errors.New("had enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		var all sync.WaitGroup
		for range 2 { // one dials, one waits for a slot
			all.Go(func() {
				if _, err := p.Probe(ctx, host(1), time.Minute); err != cause {
					t.Errorf("probe: %v, want the cause", err)
				}
			})
		}
		all.Wait()
		if c := p.Counters(); c != (Counters{}) || len(p.slots) != 0 {
			t.Errorf("left behind: %+v, %d slots", c, len(p.slots))
		}
	})
}

func TestCloseEndsProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProber(Config{}, after(never))
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, err := p.Probe(t.Context(), host(1), time.Minute); err != ErrClosed {
					t.Errorf("probe: %v, want ErrClosed", err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		p.Close()
		all.Wait()
		if took := time.Since(start); took != 0 {
			t.Errorf("closing took %v", took)
		}
	})
}

func TestClosed(t *testing.T) {
	p := dialing(t, Config{}, after(never))
	if err := p.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := p.Close(); err != ErrClosed {
		t.Errorf("second Close: %v, want ErrClosed", err)
	}
	if _, err := p.Probe(t.Context(), host(1), time.Second); err != ErrClosed {
		t.Errorf("Probe: %v, want ErrClosed", err)
	}
	var errs []error
	for _, err := range p.All(t.Context(), hosts(1, nil), time.Second) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || errs[0] != ErrClosed {
		t.Errorf("All: %v, want ErrClosed", errs)
	}
}
