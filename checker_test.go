package rawshake

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/match"
)

const anyAddr = "127.0.0.1:80"

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
			t.Run("difference/not started", func(t *testing.T) { // health makes checks with no loop at all
				for _, addr := range []string{anyAddr, "localhost:80"} {
					if err := c.CheckAddr(addr, time.Second); err != ErrCheckerNotStarted {
						t.Errorf("CheckAddr(%q): %v", addr, err)
					}
				}
			})
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

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withBackend(answers(Open, match.SYNACK, nil))
		for range 3 {
			runOnce(t, c)
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

// TestDifferenceSecondLoop: tcp-shaker wraps the error, so that == does not hold.
func TestDifferenceSecondLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withBackend(answers(Open, match.SYNACK, nil))
		stop := loop(c)
		<-c.WaitReady()
		if err := c.CheckingLoop(t.Context()); err != ErrCheckerAlreadyStarted {
			t.Errorf("second loop: %v, want == ErrCheckerAlreadyStarted", err)
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

// TestCloseTwice: a Close that comes when the loop has ended waits until it has let go of the sockets.
func TestCloseTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := silence()
		b.slow = time.Second
		c := withBackend(b)
		c.config.Trace = func(TracePacket) {} // an engine of its own, which is closed with the loop
		go c.CheckingLoop(context.Background())
		<-c.WaitReady()
		for i := range 3 {
			time.AfterFunc(time.Duration(i)*400*time.Millisecond, func() {
				if c.Close(); b.closed.Load() != 1 {
					t.Errorf("Close %d returned, and the backend was closed %d times", i, b.closed.Load())
				}
			})
		}
		time.Sleep(time.Minute)
	})
}
