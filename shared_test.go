package rawshake

import (
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/match"
)

// counting is an engineSet whose engines are stubs; it counts them.
type counting struct {
	engineSet
	opened  atomic.Int32
	engines sync.Map // of *stub
}

func newCounting(idle time.Duration) *counting {
	n := new(counting)
	n.idle = idle
	n.open = func(Config) (backend, error) {
		n.opened.Add(1)
		b := answers(Open, match.SYNACK, nil)
		n.engines.Store(b, nil)
		time.Sleep(10 * time.Millisecond) // as if it made sockets
		return b, nil
	}
	return n
}

func (n *counting) running() (open int) {
	n.engines.Range(func(b, _ any) bool {
		if b.(*stub).closed.Load() == 0 {
			open++
		}
		return true
	})
	return open
}

func TestThousandsOfCheckersShareOneEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newCounting(engineIdle)
		var all sync.WaitGroup
		for range 5000 {
			all.Go(func() {
				runOnce(t, &Checker{engines: &n.engineSet})
			})
		}
		all.Wait()
		if got := n.opened.Load(); got != 1 {
			t.Errorf("%d engines opened for 5000 Checkers, want 1", got)
		}
		if n.running() != 1 {
			t.Error("the engine did not stay for the next Checker")
		}
		time.Sleep(engineIdle)
		synctest.Wait()
		if n.running() != 0 {
			t.Error("the engine outlived its idle time")
		}
	})
}

func TestCheckersInSequenceShareOneEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newCounting(engineIdle)
		for range 100 {
			c := &Checker{engines: &n.engineSet}
			stop := loop(c)
			<-c.WaitReady()
			stop()
			time.Sleep(engineIdle - 1)
		}
		if got := n.opened.Load(); got != 1 {
			t.Errorf("%d engines opened, want 1", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		c := &Checker{engines: &n.engineSet}
		stop := loop(c)
		<-c.WaitReady()
		if got := n.opened.Load(); got != 2 {
			t.Errorf("%d engines opened, want a second after the idle time", got)
		}
		time.Sleep(time.Hour)
		if n.running() != 1 {
			t.Error("an engine in use was closed")
		}
		stop()
		time.Sleep(engineIdle)
	})
}

func TestSharingFollowsTheConfig(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	allow := func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }
	tests := []struct {
		name string
		a, b Config
		want int32
	}{
		{"zero", Config{}, Config{}, 1},
		{"timeout", Config{Timeout: time.Second}, Config{Timeout: time.Minute}, 1},
		{"equal slices", Config{Allow: allow(), Schedule: []time.Duration{0, 1}}, Config{Allow: allow(), Schedule: []time.Duration{0, 1}}, 1},
		{"one logger", Config{Logger: logger}, Config{Logger: logger}, 1},
		{"method", Config{}, Config{Method: MethodConnect}, 2},
		{"scope", Config{Allow: allow()}, Config{}, 2},
		{"source", Config{Source: netip.MustParseAddr("127.0.0.1")}, Config{Source: netip.MustParseAddr("127.0.0.2")}, 2},
		{"rate", Config{Rate: 1}, Config{Rate: 2}, 2},
		{"other logger", Config{Logger: logger}, Config{Logger: slog.New(slog.DiscardHandler)}, 2},
		{"trace", Config{Trace: func(TracePacket) {}}, Config{Trace: func(TracePacket) {}}, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n := newCounting(0)
			for _, config := range []Config{test.a, test.b} {
				c := NewCheckerConfig(config)
				c.engines = &n.engineSet
				started(t, c)
			}
			if got := n.opened.Load(); got != test.want {
				t.Errorf("%d engines, want %d", got, test.want)
			}
		})
	}
}

func TestFailureToOpenIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("no sockets today")
		var opened atomic.Int32
		set := &engineSet{open: func(Config) (backend, error) {
			opened.Add(1)
			time.Sleep(time.Second)
			return nil, cause
		}}
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if err := (&Checker{engines: set}).CheckingLoop(t.Context()); err != cause {
					t.Errorf("CheckingLoop: %v", err)
				}
			})
		}
		all.Wait()
		if n := opened.Load(); n != 1 {
			t.Errorf("tried %d times at once, want 1", n)
		}
		(&Checker{engines: set}).CheckingLoop(t.Context())
		if n := opened.Load(); n != 2 {
			t.Errorf("tried %d times, want a new try for a later Checker", n)
		}
		if len(set.byID) != 0 {
			t.Errorf("%d entries left of engines that did not open", len(set.byID))
		}
	})
}
