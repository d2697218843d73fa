package rawshake

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/loopback"
)

// The tests of this file go through tcp-shaker's situations on real sockets, with each method. A subtest named
// "difference/..." holds an answer that is better on purpose.

func TestSituationOpen(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := started(t, NewCheckerConfig(config))
		for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
			addr, _ := loopback.Open(t, host)
			for range 20 {
				if err := c.CheckAddr(addr, 5*time.Second); err != nil {
					t.Fatalf("%s: %v", addr, err)
				}
			}
		}
	})
}

func TestSituationRefused(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := started(t, NewCheckerConfig(config))
		for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
			addr := loopback.Closed(t, host)
			err := c.CheckAddr(addr, 5*time.Second)
			wantErrConnect(t, err, syscall.ECONNREFUSED)
			if err.Error() != "connection refused" {
				t.Errorf("%s: text %q", addr, err)
			}
			if _, ok := err.(net.Error); ok {
				t.Errorf("%s: it is a net.Error", addr)
			}
			t.Run("difference/errors.Is", func(t *testing.T) {
				if !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("%s: errors.Is does not find ECONNREFUSED", addr)
				}
			})
		}
	})
}

func TestSituationSilent(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := started(t, NewCheckerConfig(config))
		for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
			addr := loopback.Silent(t, host)
			start := time.Now()
			err := c.CheckAddr(addr, 150*time.Millisecond)
			took := time.Since(start)
			if err != ErrTimeout || !os.IsTimeout(err) {
				t.Errorf("%s: %v, want ErrTimeout", addr, err)
			}
			if took < 150*time.Millisecond || took > time.Second {
				t.Errorf("%s: it took %v, want 150ms", addr, took)
			}
		}
	})
}

func TestSituationAddresses(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := started(t, NewCheckerConfig(config))
		addr, _ := loopback.Open(t, "127.0.0.1:0")
		_, port, _ := net.SplitHostPort(addr)
		for name, addr := range map[string]string{
			"unspecified": "0.0.0.0:" + port,
			"IPv4-mapped": "[::ffff:127.0.0.1]:" + port,
			"localhost":   "localhost:" + port,
		} {
			if err := c.CheckAddr(addr, 5*time.Second); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := c.CheckAddr(loopback.Closed(t, "127.0.0.2:0"), 5*time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("another loopback address: %v", err)
		}
		t.Run("port 0", func(t *testing.T) {
			wantErrConnect(t, c.CheckAddr("127.0.0.1:0", 5*time.Second), syscall.ECONNREFUSED)
		})
	})
}

func TestSituationNetwork(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := started(t, NewCheckerConfig(config))
		four, _ := loopback.Open(t, "127.0.0.1:0")
		six, _ := loopback.Open(t, "[::1]:0")
		for _, test := range []struct {
			addr, network string
			open          bool
		}{
			{four, "tcp", true}, {four, "", true}, {four, "tcp4", true}, {four, "tcp6", false},
			{six, "tcp", true}, {six, "", true}, {six, "tcp6", true}, {six, "tcp4", false},
		} {
			if err := c.CheckAddrWithOptions(test.addr, DefaultOptions().WithNetwork(test.network)); (err == nil) != test.open {
				t.Errorf("%s by %q: %v, want open: %v", test.addr, test.network, err, test.open)
			}
		}
	})
}

func TestSituationStopInFlight(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := NewCheckerConfig(config)
		addr := loopback.Silent(t, "127.0.0.1:0")
		stop := loop(c)
		<-c.WaitReady()
		var checks sync.WaitGroup
		for range 50 {
			checks.Go(func() {
				if err := c.CheckAddr(addr, time.Minute); err != ErrCheckerStopped {
					t.Errorf("check in flight: %v, want ErrCheckerStopped", err)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		start := time.Now()
		if err := stop(); err != nil {
			t.Errorf("CheckingLoop: %v", err)
		}
		checks.Wait()
		t.Run("difference/at once", func(t *testing.T) {
			if took := time.Since(start); took > 500*time.Millisecond {
				t.Errorf("stopping took %v", took)
			}
		})
	})
}

// TestSituationConcurrent mixes the three answers, with timeouts that end close to the events: in tcp-shaker late events
// of a recycled descriptor reach the wrong check.
func TestSituationConcurrent(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := started(t, NewCheckerConfig(config))
		open, _ := loopback.Open(t, "127.0.0.1:0")
		closed := loopback.Closed(t, "127.0.0.1:0")
		hole := loopback.Silent(t, "127.0.0.1:0")
		// A check's time may be over before its turn, or, as the raw method has few ports for many checks of one target, before
		// there is one for it.
		tooLate := func(err error) bool {
			return errors.Is(err, ErrUnsent) || config.Method == MethodRaw && errors.Is(err, syscall.EADDRNOTAVAIL)
		}
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				short := time.Duration(i) * 20 * time.Microsecond
				for range 5 {
					if err := c.CheckAddr(hole, short); err != ErrTimeout && !tooLate(err) {
						t.Errorf("silent port: %v", err)
					}
					if err := c.CheckAddr(closed, 10*time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("closed port: %v", err)
					}
					if err := c.CheckAddr(open, 10*time.Second); err != nil {
						t.Errorf("open port: %v", err)
					}
					if err := c.CheckAddr(closed, short); err != ErrTimeout && !tooLate(err) && !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("closed port, in no time: %v", err)
					}
				}
			})
		}
		all.Wait()
	})
}

func TestSituationZeroLinger(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		c := started(t, NewCheckerConfig(config))
		addr, accepted := loopback.Open(t, "127.0.0.1:0")
		for _, zero := range []bool{true, false} {
			if err := c.CheckAddrZeroLinger(addr, 5*time.Second, zero); err != nil {
				t.Errorf("zeroLinger %v: %v", zero, err)
			}
		}
		if config.Method == MethodConnect {
			return // it has no choice but to be accepted
		}
		t.Run("difference/never accepted", func(t *testing.T) {
			time.Sleep(300 * time.Millisecond) // tcp-shaker's late ACK comes after 200 ms
			if n := accepted.Load(); n != 0 {
				t.Errorf("the server accepted %d connections", n)
			}
		})
	})
}
