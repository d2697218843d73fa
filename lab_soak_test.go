//go:build linux && !android && !rawshake_connect && !race

package rawshake_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// soakTime is how long [TestLabSoak] goes on: RAWSHAKE_SOAK, such as 10m, or else a minute.
func soakTime(t *testing.T) time.Duration {
	if testing.Short() {
		return 5 * time.Second
	}
	text := os.Getenv("RAWSHAKE_SOAK")
	if text == "" {
		return time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("RAWSHAKE_SOAK: %v", err)
	}
	return d
}

// TestLabSoak keeps one Prober busy with targets of every kind, by sequences that run out or are broken off and by callers that
// wait or give up, while others come and go. Every verdict is right, and afterwards no goroutine, descriptor or slot is left
// over, nor has memory grown.
func TestLabSoak(t *testing.T) {
	t.Parallel() // it leaves the processors time for others
	top := lab.Topology{Prefixes: map[string][]netip.Prefix{"peer": {netip.MustParsePrefix("10.128.0.0/9"), netip.MustParsePrefix("fd80::/64")}}}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{Mixed: true})
		for _, prefix := range noWay {
			n.Prober().AddRoute(t, lab.Route{To: prefix, Type: "unreachable"})
		}
		s := &soak{p: newProber(t, rawshake.Config{
			Timeout: time.Second, Schedule: []time.Duration{0, 400 * time.Millisecond},
			MaxInFlight: 1 << 14, // slots are used in turn: few are all in use early
		})}
		d := soakTime(t)
		s.run(t, d/4)
		early := s.quiet(t)
		s.run(t, d*3/4)
		late := s.quiet(t)
		if late.descriptors != early.descriptors || late.goroutines != early.goroutines {
			t.Errorf("%v after a quarter, %v at the end", early, late)
		}
		if late.resident > early.resident+8<<20 {
			t.Errorf("memory grew: %v after a quarter, %v at the end", early, late)
		}
		t.Logf("%d verdicts in %v, %v after a quarter, %v at the end; %+v", s.verdicts.Load(), d, early, late, s.p.Stats())
	})
}

// noWay are networks that nothing is sent to, and links those of the prober's neighbours.
var (
	noWay = []netip.Prefix{netip.MustParsePrefix("10.88.0.0/16"), netip.MustParsePrefix("fd88::/64")}
	links = []netip.Prefix{netip.MustParsePrefix("10.77.1.0/24"), netip.MustParsePrefix("fd77:0:0:1::/64")}
)

type soak struct {
	p        *rawshake.Prober
	verdicts atomic.Int64
}

// target is one of many millions, some of which have no route or are dead neighbours.
func (s *soak) target() netip.AddrPort {
	x := rand.Uint32()
	port := uint16(x>>24) + 1
	switch addr := [4]byte{10, 128 | byte(x>>16), byte(x >> 8), byte(x)}; {
	case x%1000 == 0:
		return at(netip.AddrFrom4([4]byte{10, 88, 0, addr[3]}), port)
	case x%1000 == 1:
		return at(netip.AddrFrom4([4]byte{10, 77, 1, 100 + addr[3]%100}), port)
	case x%1000 == 2:
		return at(netip.AddrFrom16([16]byte{0xfd, 0x88, 15: addr[3]}), port)
	case x%1000 == 3:
		return at(netip.AddrFrom16([16]byte{0xfd, 0x77, 7: 1, 15: 100 + addr[3]%100}), port)
	case x%2 == 0:
		return at(netip.AddrFrom4(addr), port)
	default:
		return at(netip.AddrFrom16([16]byte{0xfd, 0x80, 14: addr[2], 15: addr[3]}), port)
	}
}

// check holds a verdict to the target's fate.
func (s *soak) check(t *testing.T, r rawshake.Result) {
	s.verdicts.Add(1)
	right := false
	in := func(p netip.Prefix) bool { return p.Contains(r.Target.Addr()) }
	switch {
	case slices.ContainsFunc(links, in): // the kernel still asks for the neighbour, or has given it up
		right = r.State == rawshake.Unsent || r.Reason == match.NoNeighbour
	case slices.ContainsFunc(noWay, in):
		right = r.Reason == match.NoRoute
	default:
		fates := map[lab.Fate]rawshake.State{lab.Open: rawshake.Open, lab.Closed: rawshake.Closed, lab.Silent: rawshake.Filtered}
		right = r.State == fates[lab.MixedFate(r.Target)]
	}
	if !right {
		t.Errorf("%v is %v, %v", r.Target, r.State, r.Reason)
	}
}

// run has everything go on at once for some time.
func (s *soak) run(t *testing.T, d time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() { s.call(t, ctx) })
	}
	all.Go(func() { s.sweep(t, ctx) })
	all.Go(func() { s.comeAndGo(t, ctx) })
	all.Wait()
}

// call makes one probe after the other, and gives some up.
func (s *soak) call(t *testing.T, ctx context.Context) {
	for ctx.Err() == nil {
		patience := time.Minute
		if rand.IntN(10) == 0 {
			patience = time.Duration(rand.IntN(int(time.Second)))
		}
		probing, cancel := context.WithTimeout(ctx, patience)
		r, err := s.p.Probe(probing, s.target())
		cancel()
		if err == nil {
			s.check(t, r)
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
			return
		}
		time.Sleep(time.Duration(rand.IntN(int(10 * time.Millisecond))))
	}
}

// sweep probes thousands of targets at once, and breaks some loops off.
func (s *soak) sweep(t *testing.T, ctx context.Context) {
	for ctx.Err() == nil {
		left := rand.IntN(6000)
		targets := func(yield func(netip.AddrPort) bool) {
			for range 5000 {
				if !yield(s.target()) {
					return
				}
			}
		}
		for r, err := range s.p.ProbeAll(ctx, targets) {
			if err != nil {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				break
			}
			s.check(t, r)
			if left--; left < 0 {
				break
			}
		}
	}
}

// comeAndGo opens other Probers and closes them, some of them busy.
func (s *soak) comeAndGo(t *testing.T, ctx context.Context) {
	for ctx.Err() == nil {
		p, err := rawshake.New(quick)
		if err != nil {
			t.Error(err)
			return
		}
		var busy sync.WaitGroup
		for range 5 {
			busy.Go(func() {
				if _, err := p.Probe(ctx, s.target()); err != nil && !errors.Is(err, rawshake.ErrClosed) && ctx.Err() == nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Duration(rand.IntN(int(200 * time.Millisecond))))
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		busy.Wait()
	}
}

// quiet waits until nothing is pending, and measures.
func (s *soak) quiet(t *testing.T) usage {
	t.Helper()
	settled(t, s.p)
	time.Sleep(200 * time.Millisecond) // for goroutines that end
	return used(t)
}
