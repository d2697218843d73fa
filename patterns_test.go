package rawshake

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/loopback"
)

// The tests of this file call a Checker the ways that programs written for tcp-shaker, and its own tests, do.

// TestPatternReadme is that of its README: a Checker for each check, many at once, the context canceled by defer.
func TestPatternReadme(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		open, _ := loopback.Open(t, "127.0.0.1:0")
		closed := loopback.Closed(t, "127.0.0.1:0")
		check := func(addr string) error {
			c := NewCheckerConfig(config)
			ctx, stopChecker := context.WithCancel(context.Background())
			defer stopChecker()
			go func() {
				if err := c.CheckingLoop(ctx); err != nil {
					t.Error("checking loop stopped due to fatal error: ", err)
				}
			}()
			<-c.WaitReady()
			return c.CheckAddr(addr, 10*time.Second)
		}
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				if err := check(open); err != nil {
					t.Errorf("open port: %v", err)
				}
				if _, ok := check(closed).(*ErrConnect); !ok {
					t.Error("closed port: no *ErrConnect")
				}
			})
		}
		all.Wait()
	})
}

// TestPatternManyCheckersCostOneEngine is issue 28 of tcp-shaker: 20 000 Checkers of their own ran out of descriptors.
func TestPatternManyCheckersCostOneEngine(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		addr, _ := loopback.Open(t, "127.0.0.1:0")
		var opened atomic.Int32
		engines := &engineSet{idle: 50 * time.Millisecond, open: func(c Config) (backend, error) {
			opened.Add(1)
			return openChecked(c)
		}}
		before := runtime.NumGoroutine()
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				c := NewCheckerConfig(config)
				c.engines = engines
				go c.CheckingLoop(context.Background())
				<-c.WaitReady()
				if err := c.CheckAddr(addr, 10*time.Second); err != nil {
					t.Errorf("open port: %v", err)
				}
				c.Close()
			})
		}
		all.Wait()
		if n := opened.Load(); n < 1 || n > 3 {
			t.Errorf("%d engines for 1000 Checkers that overlap, want 1", n)
		}
		waitForGoroutines(t, before)
	})
}

// waitForGoroutines fails if there are still more goroutines than before when a few seconds have passed.
func waitForGoroutines(t *testing.T, before int) {
	t.Helper()
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	stacks := make([]byte, 1<<16)
	t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
}

// TestPatternOneCheckerManyWorkers is Harvester's: one embedded Checker, many workers, 1 s, any error is down.
func TestPatternOneCheckerManyWorkers(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		manager := struct{ *Checker }{started(t, NewCheckerConfig(config))}
		up, _ := loopback.Open(t, "127.0.0.1:0")
		down := loopback.Closed(t, "127.0.0.1:0")
		var workers sync.WaitGroup
		for range 1000 {
			workers.Go(func() {
				if err := manager.CheckAddr(up, 10*time.Second); err != nil {
					t.Errorf("up: %v", err)
				}
				if err := manager.CheckAddr(down, 10*time.Second); err == nil {
					t.Error("down is up")
				}
			})
		}
		workers.Wait()
	})
}

// TestPatternStartWhenNotReady is samaritan's: a global Checker, started by whoever finds it not ready.
func TestPatternStartWhenNotReady(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		shared := NewCheckerConfig(config)
		addr, _ := loopback.Open(t, "127.0.0.1:0")
		var ran atomic.Int32
		var all, loops sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if !shared.IsReady() {
					loops.Go(func() {
						if err := shared.CheckingLoop(t.Context()); err == nil {
							ran.Add(1)
						} else if err != ErrCheckerAlreadyStarted {
							t.Errorf("CheckingLoop: %v", err)
						}
					})
				}
				select {
				case <-shared.WaitReady():
				case <-time.After(10 * time.Second):
					t.Error("fatal: not ready within 10s")
				}
				if err := shared.CheckAddr(addr, 5*time.Second); err != nil {
					t.Errorf("open port: %v", err)
				}
			})
		}
		all.Wait()
		shared.Close()
		loops.Wait()
		if n := ran.Load(); n != 1 {
			t.Errorf("%d loops ran, want 1", n)
		}
	})
}

// TestPatternCheckHosts is status-go's: hosts at once, some by name, the error read by its type, anything with a Timeout method first.
func TestPatternCheckHosts(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := started(t, NewCheckerConfig(config))
		open, _ := loopback.Open(t, "127.0.0.1:0")
		_, openPort, _ := net.SplitHostPort(open)
		closed := loopback.Closed(t, "127.0.0.1:0")
		_, closedPort, _ := net.SplitHostPort(closed)
		want := map[string]string{
			open: "reachable", "localhost:" + openPort: "reachable", closed: "refused", "localhost:" + closedPort: "refused",
			loopback.Silent(t, "127.0.0.1:0"): "timeout",
		}
		var all sync.WaitGroup
		for addr, state := range want {
			timeout := 10 * time.Second
			if state == "timeout" {
				timeout = 300 * time.Millisecond
			}
			for range 20 {
				all.Go(func() {
					if got := hostState(c.CheckAddr(addr, timeout)); got != state {
						t.Errorf("%s is %s, want %s", addr, got, state)
					}
				})
			}
		}
		all.Wait()
	})
}

func hostState(err error) string {
	type timeoutError interface{ Timeout() bool }
	switch e := err.(type) {
	case nil:
		return "reachable"
	case timeoutError:
		return "timeout"
	case ErrConnect, *ErrConnect:
		return "refused"
	default:
		return e.Error()
	}
}

// TestPatternPing is multiping's: a Checker for each target, IPv6 in brackets, a check with every tick.
func TestPatternPing(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		var all sync.WaitGroup
		for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
			up, _ := loopback.Open(t, host)
			for addr, timeout := range map[string]time.Duration{up: 10 * time.Second, loopback.Closed(t, host): 10 * time.Second, loopback.Silent(t, host): 30 * time.Millisecond} {
				all.Go(func() {
					target := struct{ checker *Checker }{started(t, NewCheckerConfig(config))}
					ticks := time.NewTicker(20 * time.Millisecond)
					defer ticks.Stop()
					for range 10 {
						<-ticks.C
						if err := target.checker.CheckAddr(addr, timeout); (err == nil) != (addr == up) {
							t.Errorf("%s: %v, want it open: %v", addr, err, addr == up)
						}
					}
				})
			}
		}
		all.Wait()
	})
}

// TestPatternRTTByWallClock is status-go's and multiping's: they take the time around CheckAddr, so we must not add to it.
func TestPatternRTTByWallClock(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := started(t, NewCheckerConfig(config))
		for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
			addr, _ := loopback.Open(t, host)
			best := time.Hour
			for range 50 {
				start := time.Now()
				if err := c.CheckAddr(addr, time.Second); err != nil {
					t.Fatalf("%s: %v", addr, err)
				}
				best = min(best, time.Since(start))
			}
			if best > 5*time.Millisecond {
				t.Errorf("%s: the quickest of 50 checks took %v on loopback", addr, best)
			}
		}
	})
}

// TestPatternThreeStates is tcpscan's: timeout is filtered, nil is open, everything else is closed.
func TestPatternThreeStates(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := started(t, NewCheckerConfig(config))
		open, _ := loopback.Open(t, "127.0.0.1:0")
		for addr, want := range map[string]string{open: "open", loopback.Closed(t, "127.0.0.1:0"): "closed", loopback.Silent(t, "127.0.0.1:0"): "filtered"} {
			host, port, _ := net.SplitHostPort(addr)
			var got string
			switch err := c.CheckAddr(net.JoinHostPort(host, port), 200*time.Millisecond); err {
			case ErrTimeout:
				got = "filtered"
			case nil:
				got = "open"
			default:
				got = "closed"
			}
			if got != want {
				t.Errorf("%s is %s, want %s", addr, got, want)
			}
		}
	})
}

// TestPatternLoopErrorOrReady is eagleeye's: whichever comes first.
func TestPatternLoopErrorOrReady(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := NewCheckerConfig(config)
		defer c.Close()
		loopErr := make(chan error, 1)
		go func() { loopErr <- c.CheckingLoop(context.Background()) }()
		select {
		case err := <-loopErr:
			t.Fatalf("the loop ended: %v", err)
		case <-c.WaitReady():
		}
		addr, _ := loopback.Open(t, "127.0.0.1:0")
		if err := c.CheckAddr(addr, time.Second); err != nil {
			t.Errorf("open port: %v", err)
		}
	})
}

// TestPatternDefaultChecker is that of a package with TCP_HALF checks: only errors.Is(err, ErrTimeout) is looked at.
func TestPatternDefaultChecker(t *testing.T) {
	defaultWorks(t)
	if err := DefaultChecker().CheckAddr(loopback.Silent(t, "127.0.0.1:0"), 100*time.Millisecond); !errors.Is(err, ErrTimeout) {
		t.Errorf("silent port: %v", err)
	}
	if err := DefaultChecker().CheckAddr(loopback.Closed(t, "127.0.0.1:0"), time.Second); err == nil || errors.Is(err, ErrTimeout) {
		t.Errorf("closed port: %v", err)
	}
}

// TestPatternCheckerPerPort is liwasc's scan: a Checker for each port from a pool, any error is closed.
func TestPatternCheckerPerPort(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		open, _ := loopback.Open(t, "127.0.0.1:0")
		closed := loopback.Closed(t, "127.0.0.1:0")
		var all sync.WaitGroup
		workers := make(chan struct{}, 32)
		for i := range 300 {
			workers <- struct{}{}
			all.Go(func() {
				defer func() { <-workers }()
				c := started(t, NewCheckerConfig(config))
				addr, want := open, true
				if i%2 == 1 {
					addr, want = closed, false
				}
				if got := c.CheckAddr(addr, 10*time.Second) == nil; got != want {
					t.Errorf("%s open: %v, want %v", addr, got, want)
				}
			})
		}
		all.Wait()
	})
}

// TestPatternNotAwaited is tcp-shaker's own TestCheckAddrConcurrently: nobody waits for the loop.
func TestPatternNotAwaited(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := NewCheckerConfig(config)
		defer c.Close()
		hole := loopback.Silent(t, "127.0.0.1:0")
		go c.CheckingLoop(context.Background())
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if err := c.CheckAddr(hole, 50*time.Millisecond); err == nil {
					t.Error("a black hole is open")
				}
			})
		}
		all.Wait()
		<-c.WaitReady()
	})
}

// TestPatternStopAndStart is tcp-shaker's own TestStopNStartChecker.
func TestPatternStopAndStart(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := NewCheckerConfig(config)
		if c.IsReady() {
			t.Error("ready before the loop")
		}
		live, _ := loopback.Open(t, "127.0.0.1:0")
		for range 2 {
			stop := loop(c)
			<-c.WaitReady()
			if _, ok := c.CheckAddr(loopback.Closed(t, "127.0.0.1:0"), time.Second).(*ErrConnect); !ok {
				t.Error("dead address: no *ErrConnect")
			}
			if err := c.CheckAddr(live, time.Second); err != nil {
				t.Errorf("live address: %v", err)
			}
			if err := c.CheckAddr(loopback.Silent(t, "127.0.0.1:0"), 500*time.Millisecond); err != ErrTimeout {
				t.Errorf("black hole: %v", err)
			}
			if err := stop(); err != nil {
				t.Errorf("CheckingLoop: %v", err)
			}
		}
	})
}
