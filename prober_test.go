package rawshake

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/internal/loopback"
	"github.com/rawshake/rawshake/match"
)

// The tests of this file are of the Prober on loopback, with each method.

func TestResult(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		config.Timeout = 5 * time.Second
		p := prober(t, config)
		for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
			before := time.Now()
			open, _ := loopback.Open(t, host)
			r := mustProbe(t, p, open)
			if r.State != Open || r.Reason != match.SYNACK || r.Err != nil || r.Attempt != 0 {
				t.Errorf("open: %v, %v, %v, attempt %d", r.State, r.Reason, r.Err, r.Attempt)
			}
			if r.Target.String() != open || r.Method != config.Method || r.Time.Before(before) {
				t.Errorf("open: target %v, method %v, time %v", r.Target, r.Method, r.Time)
			}
			if !plausible(r.RTT) || r.Source.Addr() != r.Target.Addr() || r.Source.Port() == 0 {
				t.Errorf("open: RTT %v, from %v", r.RTT, r.Source)
			}
			r = mustProbe(t, p, loopback.Closed(t, host))
			if r.State != Closed || r.Reason != match.RST || r.Err != syscall.ECONNREFUSED || !plausible(r.RTT) {
				t.Errorf("closed: %v, %v, %v, RTT %v", r.State, r.Reason, r.Err, r.RTT)
			}
		}
		s := p.Stats()
		s.RSTSent, s.Received, s.Ignored = 0, 0, 0 // resets may be on their way
		if want := (Stats{SYNSent: 4, Answers: 4, Open: 2, Closed: 2}); s != want {
			t.Errorf("stats %+v, want %+v", s, want)
		}
	})
}

// TestProbeAll sweeps targets of all kinds and finds each once, with its own verdict.
func TestProbeAll(t *testing.T) {
	const each = 300
	eachMethod(t, func(t *testing.T, config Config) {
		open, _ := loopback.Open(t, "127.0.0.1:0")
		want := map[string]State{
			open: Open, loopback.Closed(t, "127.0.0.1:0"): Closed, loopback.Closed(t, "[::1]:0"): Closed,
			loopback.Silent(t, "127.0.0.1:0"): Filtered,
		}
		var targets []netip.AddrPort
		for range each {
			for addr := range want {
				targets = append(targets, netip.MustParseAddrPort(addr))
			}
		}
		config.Timeout, config.MaxInFlight = 2*time.Second, 400
		p := prober(t, config)
		got := make(map[string]int)
		for r, err := range p.ProbeAll(t.Context(), slices.Values(targets)) {
			if err != nil {
				t.Fatal(err)
			}
			got[r.Target.String()]++
			if r.State != want[r.Target.String()] || r.Method != config.Method {
				t.Errorf("%v is %v, %v, %v by %v; want %v", r.Target, r.State, r.Reason, r.Err, r.Method, want[r.Target.String()])
			}
		}
		for addr := range want {
			if got[addr] != each {
				t.Errorf("%s came out %d times, want %d", addr, got[addr], each)
			}
		}
		if s := p.Stats(); s.InFlight != 0 || s.Open != each || s.Closed != 2*each || s.Filtered != each {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestProberClosed(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		p := prober(t, config)
		if err := p.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		target := netip.MustParseAddrPort("127.0.0.1:1")
		if _, err := p.Probe(t.Context(), target); err != ErrClosed {
			t.Errorf("Probe: %v, want ErrClosed", err)
		}
		var errs []error
		for _, err := range p.ProbeAll(t.Context(), slices.Values([]netip.AddrPort{target})) {
			errs = append(errs, err)
		}
		if len(errs) != 1 || errs[0] != ErrClosed {
			t.Errorf("ProbeAll: %v, want ErrClosed", errs)
		}
	})
}

// TestProberClosedTwice: nobody comes back from Close before everything is closed, and only one tells of it.
func TestProberClosedTwice(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		p := prober(t, config)
		var errs [4]error
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { errs[i] = p.Close() })
		}
		all.Wait()
		nils := 0
		for _, err := range errs {
			if err == nil {
				nils++
			} else if err != ErrClosed {
				t.Errorf("Close: %v", err)
			}
		}
		if nils != 1 || p.Close() != ErrClosed {
			t.Errorf("%d calls of Close closed it; then %v", nils, p.Close())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := &stub{slow: time.Second}
		p := &Prober{backend: b, closed: make(chan struct{})}
		for range 3 {
			go func() {
				if p.Close(); b.closed.Load() != 1 {
					t.Errorf("Close returned, and the backend was closed %d times", b.closed.Load())
				}
			}()
		}
		time.Sleep(time.Second)
		synctest.Wait()
	})
}

// TestNewRefusesUnknownValues: what no engine knows is an error of New, before any socket is opened.
func TestNewRefusesUnknownValues(t *testing.T) {
	for want, c := range map[string]Config{
		"rawshake: Config.Options is style(99): want MSSOnly, ": {Options: 99},
		"rawshake: Config.Method is 9: want MethodRaw, ":        {Method: 9},
		"rawshake: Config.Layer is Layer(9): want LayerIP ":     {Layer: 9},
	} {
		if _, err := New(c); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestConnectRefusesWhatItCannotDo(t *testing.T) {
	for name, c := range map[string]Config{
		"Config.Options":   {Method: MethodConnect, Options: Linux},
		"Config.Interface": {Method: MethodConnect, Interface: "nosuchif0"},
	} {
		p, err := New(c)
		if err == nil {
			p.Close()
			t.Errorf("%s: no error", name)
		} else if !strings.HasPrefix(err.Error(), "rawshake: "+name) {
			t.Errorf("error %q does not begin with %s", err, name)
		}
	}
}

// TestConnectScope: the scope, and the bound of probes at once, reach the connect method.
func TestConnectScope(t *testing.T) {
	config := Config{Method: MethodConnect, Timeout: 300 * time.Millisecond, MaxInFlight: 2, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	p := prober(t, config)
	if r := mustProbe(t, p, "[::1]:80"); r.State != Unsent || r.Reason != match.OutOfScope {
		t.Errorf("out of scope: %v, %v", r.State, r.Reason)
	}
	hole := loopback.Silent(t, "127.0.0.1:0")
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() { mustProbe(t, p, hole) })
	}
	time.Sleep(100 * time.Millisecond)
	if n := p.Stats().InFlight; n != 2 {
		t.Errorf("%d in flight, want 2", n)
	}
	all.Wait()
}

// TestConfigIsCopied: what a caller does with its slices after New, or after NewCheckerConfig, changes no scope.
func TestConfigIsCopied(t *testing.T) {
	eachMethod(t, func(t *testing.T, config Config) {
		elsewhere := netip.MustParsePrefix("192.0.2.0/24")
		config.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		p := prober(t, config)
		c := NewCheckerConfig(config)
		config.Allow[0] = elsewhere
		started(t, c)
		addr := loopback.Closed(t, "127.0.0.1:0")
		if r := mustProbe(t, p, addr); r.State != Closed {
			t.Errorf("the scope of a Prober was changed from outside: %v, %v", r.State, r.Reason)
		}
		wantErrConnect(t, c.CheckAddr(addr, 5*time.Second), syscall.ECONNREFUSED)
		config.Allow[0] = netip.MustParsePrefix("127.0.0.0/8")
		shared := started(t, NewCheckerConfig(config))
		config.Allow[0] = elsewhere
		wantErrConnect(t, shared.CheckAddr(addr, 5*time.Second), syscall.ECONNREFUSED)
	})
}
