package rawshake

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/match"
)

const anyAddr = "127.0.0.1:80"

// loop starts c's loop and returns what stops it and then gives its error.
func loop(c *Checker) func() error {
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- c.CheckingLoop(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestBeforeTheLoop(t *testing.T) {
	for name, c := range map[string]*Checker{
		"NewChecker": NewChecker(), "NewCheckerZeroLinger": NewCheckerZeroLinger(false),
		"NewCheckerConfig": NewCheckerConfig(Config{Method: MethodConnect}), "zero value": new(Checker),
	} {
		t.Run(name, func(t *testing.T) {
			if c.IsReady() || isClosed(c.WaitReady()) {
				t.Error("ready without a loop")
			}
			if fd := c.PollerFd(); fd != -1 {
				t.Errorf("PollerFd %d, want -1", fd)
			}
			if err := c.CheckAddr(anyAddr, time.Second); err != ErrCheckerNotStarted {
				t.Errorf("CheckAddr: %v", err)
			}
			if err := c.CheckAddr("localhost:80", time.Second); err != ErrCheckerNotStarted {
				t.Errorf("CheckAddr of a name: %v", err)
			}
			if err := c.CheckAddr("127.0.0.1", time.Second); err == nil || err == ErrCheckerNotStarted {
				t.Errorf("CheckAddr of a bad address: %v, want what is wrong with it", err)
			}
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

// TestDifferencePollerFd: tcp-shaker gives away the descriptor of its poller.
func TestDifferencePollerFd(t *testing.T) {
	if fd := started(t, withBackend(silence())).PollerFd(); fd != -1 {
		t.Errorf("PollerFd %d, want -1", fd)
	}
}

func TestReadyAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withBackend(answers(Open, match.SYNACK, nil))
		before := c.WaitReady()
		stop := loop(c)
		<-before
		if !c.IsReady() {
			t.Error("WaitReady fired but IsReady is false")
		}
		if err := c.CheckAddr(anyAddr, time.Second); err != nil {
			t.Errorf("CheckAddr: %v", err)
		}
		if err := stop(); err != nil {
			t.Errorf("CheckingLoop: %v, want nil", err)
		}
		if !isClosed(before) {
			t.Error("the old channel of WaitReady opened again")
		}
		if c.IsReady() || isClosed(c.WaitReady()) {
			t.Error("still ready after the loop has stopped")
		}
		if err := c.CheckAddr(anyAddr, time.Second); err != ErrCheckerNotStarted {
			t.Errorf("CheckAddr after the loop: %v", err)
		}
		time.Sleep(engineIdle)
	})
}

func TestDifferenceStopIsImmediate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withBackend(silence())
		stop := loop(c)
		<-c.WaitReady()
		start := time.Now()
		stop()
		if took := time.Since(start); took != 0 {
			t.Errorf("stopping took %v of virtual time", took)
		}
	})
}

func TestDifferenceAlreadyStartedIsBare(t *testing.T) {
	c := started(t, withBackend(silence()))
	if err := c.CheckingLoop(t.Context()); err != ErrCheckerAlreadyStarted {
		t.Errorf("second loop: %v, want == ErrCheckerAlreadyStarted", err)
	}
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withBackend(answers(Open, match.SYNACK, nil))
		for range 3 {
			stop := loop(c)
			<-c.WaitReady()
			if err := c.CheckAddr(anyAddr, time.Second); err != nil {
				t.Errorf("CheckAddr: %v", err)
			}
			if err := stop(); err != nil {
				t.Errorf("CheckingLoop: %v", err)
			}
		}
	})
}

func TestDifferenceStopEndsChecksInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withBackend(silence())
		stop := loop(c)
		<-c.WaitReady()
		var checks sync.WaitGroup
		start := time.Now()
		for range 100 {
			checks.Go(func() {
				if err := c.CheckAddr(anyAddr, time.Minute); err != ErrCheckerStopped {
					t.Errorf("check in flight: %v, want ErrCheckerStopped", err)
				}
			})
		}
		time.Sleep(time.Second)
		stop()
		checks.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("the checks ended after %v, want 1s", took)
		}
	})
}

func TestSecondLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withBackend(answers(Open, match.SYNACK, nil))
		stop := loop(c)
		<-c.WaitReady()
		if err := c.CheckingLoop(t.Context()); !errors.Is(err, ErrCheckerAlreadyStarted) {
			t.Errorf("second loop: %v", err)
		}
		if err := c.CheckAddr(anyAddr, time.Second); err != nil {
			t.Errorf("the first loop suffered: %v", err)
		}
		stop()
	})
}

func TestLoopWithCanceledContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withBackend(answers(Open, match.SYNACK, nil))
		ready := c.WaitReady()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.CheckingLoop(ctx); err != nil {
			t.Errorf("CheckingLoop: %v, want nil", err)
		}
		if !isClosed(ready) {
			t.Error("it never became ready")
		}
	})
}

func TestDifferenceLoopThatCannotStart(t *testing.T) {
	cause := errors.New("no sockets today")
	synctest.Test(t, func(t *testing.T) {
		b := answers(Open, match.SYNACK, nil)
		broken := true
		c := &Checker{engines: &engineSet{open: func(Config) (backend, error) {
			if broken {
				return nil, cause
			}
			return b, nil
		}}}
		early := c.WaitReady()
		if err := c.CheckingLoop(t.Context()); !errors.Is(err, cause) {
			t.Errorf("CheckingLoop: %v, want the cause", err)
		}
		<-early // hangs, and the bubble fails, if a loop that cannot start leaves its waiters
		<-c.WaitReady()
		if !c.IsReady() {
			t.Error("WaitReady fired but IsReady is false")
		}
		for range 3 {
			if err := c.CheckAddr(anyAddr, time.Second); !errors.Is(err, cause) {
				t.Errorf("CheckAddr: %v, want the cause", err)
			}
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		broken = false
		stop := loop(c)
		synctest.Wait()
		if err := c.CheckAddr(anyAddr, time.Second); err != nil {
			t.Errorf("after a restart that works: %v", err)
		}
		stop()
	})
}

func TestDifferenceConfigErrorReachesEveryCheck(t *testing.T) {
	c := started(t, NewCheckerConfig(Config{Attempts: -1}))
	err := c.CheckAddr(anyAddr, time.Second)
	if err == nil || err.Error() == "" || errors.Is(err, ErrCheckerNotStarted) {
		t.Fatalf("check with a broken Config: %v", err)
	}
	if again := c.CheckingLoop(t.Context()); again == nil || again.Error() != err.Error() {
		t.Errorf("CheckingLoop: %v, want %v", again, err)
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := silence()
		c := withBackend(b)
		done := make(chan error, 1)
		go func() { done <- c.CheckingLoop(context.Background()) }()
		<-c.WaitReady()
		checked := make(chan error, 1)
		go func() { checked <- c.CheckAddr(anyAddr, time.Minute) }()
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("CheckingLoop: %v", err)
		}
		if err := <-checked; err != ErrCheckerStopped {
			t.Errorf("check in flight: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		synctest.Wait()
		if n := b.closed.Load(); n != 1 {
			t.Errorf("backend closed %d times", n)
		}
	})
}

func TestTimeoutZeroOrNegative(t *testing.T) {
	for _, b := range []*stub{answers(Open, match.SYNACK, nil), answers(Closed, match.RST, syscall.ECONNREFUSED)} {
		c := started(t, withBackend(b))
		for _, timeout := range []time.Duration{0, -1, -time.Hour} {
			if err := c.CheckAddr(anyAddr, timeout); err != ErrTimeout {
				t.Errorf("timeout %v: %v, want ErrTimeout", timeout, err)
			}
			if err := c.CheckAddr("localhost:80", timeout); err != ErrTimeout {
				t.Errorf("timeout %v, by name: %v, want ErrTimeout", timeout, err)
			}
		}
		if err := c.CheckAddrWithOptions(anyAddr, Options{}); err != ErrTimeout {
			t.Errorf("zero Options: %v, want ErrTimeout", err)
		}
	}
}

func TestOptions(t *testing.T) {
	if got, want := DefaultOptions(), (Options{Timeout: 3 * time.Second, Network: "tcp", ZeroLinger: true}); got != want {
		t.Errorf("DefaultOptions %+v, want %+v", got, want)
	}
	base := DefaultOptions()
	got := base.WithTimeout(time.Minute).WithNetwork("tcp6").WithZeroLinger(false)
	if want := (Options{Timeout: time.Minute, Network: "tcp6"}); got != want {
		t.Errorf("chained %+v, want %+v", got, want)
	}
	if base != DefaultOptions() {
		t.Error("With... changed its receiver")
	}
}

// TestCheckPassesOn holds what a check asks of the engine.
func TestCheckPassesOn(t *testing.T) {
	var gotTarget netip.AddrPort
	var gotTimeout time.Duration
	c := started(t, withBackend(&stub{answer: func(_ context.Context, target netip.AddrPort, timeout time.Duration) (Result, error) {
		gotTarget, gotTimeout = target, timeout
		return Result{State: Open}, nil
	}}))
	calls := map[string]func(addr string, timeout time.Duration) error{
		"CheckAddr":                  c.CheckAddr,
		"CheckAddrZeroLinger, true":  func(a string, d time.Duration) error { return c.CheckAddrZeroLinger(a, d, true) },
		"CheckAddrZeroLinger, false": func(a string, d time.Duration) error { return c.CheckAddrZeroLinger(a, d, false) },
		"CheckAddrWithOptions": func(a string, d time.Duration) error {
			return c.CheckAddrWithOptions(a, DefaultOptions().WithTimeout(d))
		},
		"CheckAddrWithOptions, no network": func(a string, d time.Duration) error {
			return c.CheckAddrWithOptions(a, Options{Timeout: d})
		},
	}
	for name, call := range calls {
		gotTarget, gotTimeout = netip.AddrPort{}, 0
		if err := call("127.0.0.9:99", 7*time.Second); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if gotTarget.String() != "127.0.0.9:99" || gotTimeout != 7*time.Second {
			t.Errorf("%s asked for %v within %v", name, gotTarget, gotTimeout)
		}
	}
}

func TestEngineErrorIsReturned(t *testing.T) {
	broken := errors.New("ring is gone")
	c := started(t, withBackend(&stub{answer: func(context.Context, netip.AddrPort, time.Duration) (Result, error) {
		return Result{}, broken
	}}))
	if err := c.CheckAddr(anyAddr, time.Second); err != broken {
		t.Errorf("error %v, want the engine's", err)
	}
}

func TestLiteralCheckAllocatesNothing(t *testing.T) {
	for _, b := range []*stub{answers(Open, match.SYNACK, nil), answers(Closed, match.RST, syscall.ECONNREFUSED), answers(Filtered, match.Timeout, nil)} {
		c := started(t, withBackend(b))
		for _, addr := range []string{"127.0.0.1:80", "[::1]:443", "[::ffff:127.0.0.1]:80"} {
			if n := testing.AllocsPerRun(100, func() { c.CheckAddr(addr, time.Second) }); n != 0 {
				t.Errorf("%s: %v allocations", addr, n)
			}
		}
	}
}
