package rawshake

import (
	"context"
	"sync"
	"testing"
	"time"
)

// The tests of this file assert what tcp-shaker's own tests assert, under the same names where they have no test elsewhere
// here.

func assertThreeAnswers(t *testing.T, c *Checker) {
	t.Helper()
	live, _ := listen(t, "127.0.0.1:0")
	if _, ok := c.CheckAddr(refusing(t, "127.0.0.1:0"), time.Second).(*ErrConnect); !ok {
		t.Error("dead address: no *ErrConnect")
	}
	if err := c.CheckAddr(live, time.Second); err != nil {
		t.Errorf("live address: %v", err)
	}
	if err := c.CheckAddr(silent(t, "127.0.0.1:0"), 500*time.Millisecond); err != ErrTimeout {
		t.Errorf("black hole: %v", err)
	}
}

func TestCheckAddr(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		assertThreeAnswers(t, started(t, NewCheckerConfig(config)))
	})
}

// TestCheckAddrConcurrently does not wait for the loop.
func TestCheckAddrConcurrently(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := NewCheckerConfig(config)
		defer c.Close()
		hole := silent(t, "127.0.0.1:0")
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

func TestCheckerReadyOK(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := NewCheckerConfig(config)
		defer c.Close()
		if c.IsReady() {
			t.Error("ready before the loop")
		}
		go c.CheckingLoop(context.Background())
		select {
		case <-c.WaitReady():
		case <-time.After(time.Second):
			t.Error("not ready within a second")
		}
	})
}

func TestStopNStartChecker(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := NewCheckerConfig(config)
		for range 2 {
			stop := loop(c)
			<-c.WaitReady()
			assertThreeAnswers(t, c)
			if err := stop(); err != nil {
				t.Errorf("CheckingLoop: %v", err)
			}
		}
	})
}

func TestCheckerWithOptions(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := started(t, NewCheckerConfig(config))
		addr, _ := listen(t, "127.0.0.1:0")
		for _, options := range []Options{DefaultOptions(), DefaultOptions().WithNetwork("tcp4")} {
			if err := c.CheckAddrWithOptions(addr, options); err != nil {
				t.Errorf("%+v: %v", options, err)
			}
		}
	})
}
