package rawshake

import (
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/loopback"
)

// defaultWorks skips where the default method needs a privilege that is not there.
func defaultWorks(t *testing.T) {
	t.Helper()
	if hasRaw {
		needRaw(t)
	}
}

func TestDefaultChecker(t *testing.T) {
	defaultWorks(t)
	c := DefaultChecker()
	if c == nil || c != DefaultChecker() {
		t.Fatalf("DefaultChecker %p, then %p", c, DefaultChecker())
	}
	select {
	case <-c.WaitReady():
	case <-time.After(100 * time.Millisecond):
		t.Fatal("not ready when it is returned")
	}
	if !c.IsReady() {
		t.Error("IsReady is false")
	}
	addr, _ := loopback.Open(t, "127.0.0.1:0")
	if err := c.CheckAddr(addr, 5*time.Second); err != nil {
		t.Errorf("open port: %v", err)
	}
	if err := c.CheckingLoop(t.Context()); !errors.Is(err, ErrCheckerAlreadyStarted) {
		t.Errorf("a loop of our own: %v", err)
	}
	t.Run("difference/Close leaves it running", func(t *testing.T) {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := c.CheckAddr(addr, 5*time.Second); err != nil {
			t.Errorf("open port after Close: %v", err)
		}
	})
}

func TestDefaultCheckerIsOne(t *testing.T) {
	want := DefaultChecker()
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if got := DefaultChecker(); got != want || !got.IsReady() {
				t.Errorf("DefaultChecker %p, ready %v; want %p", got, got.IsReady(), want)
			}
		})
	}
	all.Wait()
}

// TestDifferenceDefaultCheckerTriesAgain: what kept it from starting may pass.
func TestDifferenceDefaultCheckerTriesAgain(t *testing.T) {
	broken := true
	c := &Checker{permanent: true, engines: &engineSet{open: func(Config) (backend, error) {
		if broken {
			return nil, os.ErrPermission
		}
		return answers(Open, 0, nil), nil
	}}}
	c.keepRunning()
	if err := c.CheckAddr(anyAddr, time.Second); !errors.Is(err, os.ErrPermission) {
		t.Errorf("check: %v", err)
	}
	broken = false
	c.keepRunning()
	if err := c.CheckAddr(anyAddr, time.Second); err != nil {
		t.Errorf("check after a new try: %v", err)
	}
}

// TestDefaultCheckerAlwaysHasItsCause: while one call tries again, checks of others still get the cause.
func TestDefaultCheckerAlwaysHasItsCause(t *testing.T) {
	c := &Checker{permanent: true, engines: &engineSet{open: func(Config) (backend, error) {
		return nil, os.ErrPermission
	}}}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 100 {
				c.keepRunning()
				if err := c.CheckAddr(anyAddr, time.Second); !errors.Is(err, os.ErrPermission) {
					t.Errorf("check: %v, want the cause", err)
				}
			}
		})
	}
	all.Wait()
}
