//go:build linux && !android

package scan

import (
	"fmt"
	"math"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/target"
)

func silently() *world { return &world{host: wiretest.Silent, tweak: everyRoute} }

func everyRoute(w *wiretest.Wire) { w.RouteErr = nil }

// Silent targets are asked at exactly the rate: packet n leaves at n/rate, but for those 50 µs that may leave together.
func TestRateExact(t *testing.T) {
	for _, c := range []struct {
		rate float64
		n    int
	}{{1, 20}, {7.3, 100}, {100, 500}, {10_000, 3000}, {40_000, 4000}, {200_000, 8000}} {
		for _, lanes := range []int{1, 2} {
			t.Run(fmt.Sprintf("%v/%d", c.rate, lanes), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					w := silently()
					run(t, Config{Targets: space(t, fmt.Sprintf("1-%d", c.n), "198.18.0.1"), Rate: c.rate, Lanes: lanes, Attempts: 1}, w)
					onSchedule(t, w.sent(), c.rate)
				})
			})
		}
	}
}

// onSchedule checks that packets left at an even rate.
func onSchedule(t *testing.T, sent []flying, rate float64) {
	t.Helper()
	slack := 50*time.Microsecond + time.Duration(1e9/rate)
	for i, f := range sent {
		at, due := f.at.Sub(sent[0].at), time.Duration(float64(i)/rate*1e9)
		if d := at - due; d < -slack || d > slack {
			t.Fatalf("packet %d of %d left at %v, due at %v", i, len(sent), at, due)
		}
	}
	last := sent[len(sent)-1].at.Sub(sent[0].at)
	if got := float64(len(sent)-1) / last.Seconds(); math.Abs(got/rate-1) > 0.01 {
		t.Errorf("%.2f packets a second, want %v", got, rate)
	}
}

// Resets and later attempts count against the rate.
func TestRateOfAllPackets(t *testing.T) {
	for name, c := range map[string]Config{
		"resets":   {Attempts: 1},
		"attempts": {Attempts: 3},
	} {
		for _, rate := range []float64{20, 1000, 50_000} {
			t.Run(fmt.Sprintf("%s/%v", name, rate), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					w := silently()
					if name == "resets" {
						w.host = wiretest.Delay(3*ms, wiretest.Open)
					}
					c.Targets, c.Rate, c.Lanes = space(t, fmt.Sprintf("1-%d", int(rate*10)&4095), "198.18.0.1"), rate, 2
					c.Timeout = 1200 * ms
					_, s := run(t, c, w)
					sent := w.sent()
					if totals := s.Totals(); uint64(len(sent)) != totals.SYNSent+totals.RSTSent {
						t.Errorf("%d packets, totals %+v", len(sent), totals)
					}
					neverFaster(t, sent, rate)
				})
			})
		}
	}
}

// neverFaster checks every span of time: at most the rate, and a burst for what could not wait.
func neverFaster(t *testing.T, sent []flying, rate float64) {
	t.Helper()
	most := 2 + 0.004*rate // resets leave at once: as many as SYNs left in the time of an answer
	low := math.Inf(1)     // the least of (packets before i) - rate × time so far
	for i, f := range sent {
		ahead := float64(i) - rate*f.at.Sub(sent[0].at).Seconds()
		low = min(low, ahead)
		if ahead-low > most {
			t.Fatalf("packet %d: %.1f more than the rate allows since some packet before it", i, ahead-low)
		}
	}
	took := sent[len(sent)-1].at.Sub(sent[0].at).Seconds()
	if got := float64(len(sent)) / (took + 1/rate); got > 1.02*rate {
		t.Errorf("%.1f packets a second, want %v", got, rate)
	}
}

// The limits of hosts and networks hold for every SYN, later attempts included, and are used to the full.
func TestHostAndNetRate(t *testing.T) {
	hosts := space(t, "1-60", "198.18.0.1", "198.18.0.2", "2001:db8:1::1")
	nets := space(t, "80", "198.18.0.0/25", "2001:db8:1::/121", "198.18.1.0/26")
	for _, c := range []struct {
		name      string
		targets   *target.Space
		host, net float64
		lanes     int
		attempts  int
		answers   wiretest.Host
	}{
		{"host/silent", hosts, 10, 0, 1, 1, wiretest.Silent},
		{"host/attempts", hosts, 10, 0, 1, 3, wiretest.Silent},
		{"host/open", hosts, 10, 0, 1, 2, wiretest.Open},
		{"host/lanes", hosts, 10, 0, 2, 1, wiretest.Silent},
		{"host/lanes/attempts", hosts, 10, 0, 2, 2, wiretest.Silent},
		{"host/lanes/slow", hosts, 0.7, 0, 4, 1, wiretest.Closed},
		{"net/silent", nets, 0, 20, 1, 1, wiretest.Silent},
		{"net/lanes", nets, 0, 20, 3, 1, wiretest.Open},
		{"net/attempts", nets, 0, 20, 2, 2, wiretest.Silent},
		{"both", hosts, 10, 15, 1, 2, wiretest.Closed},
		{"both/lanes", hosts, 10, 15, 3, 1, wiretest.Silent},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := silently()
				w.host = c.answers
				run(t, Config{Targets: c.targets, Rate: -1, HostRate: c.host, NetRate: c.net, Lanes: c.lanes, Attempts: c.attempts}, w)
				byHost, byNet := map[netip.Addr][]flying{}, map[netip.Prefix][]flying{}
				for _, f := range w.sent() {
					if f.SYN {
						a := f.To.Addr()
						bits := 24
						if a.Is6() {
							bits = 64
						}
						p, _ := a.Prefix(bits)
						byHost[a] = append(byHost[a], f)
						byNet[p] = append(byNet[p], f)
					}
				}
				for a, sent := range byHost {
					if c.host > 0 {
						polite(t, a, sent, c.host, c.attempts)
					}
				}
				for p, sent := range byNet {
					if c.net > 0 {
						polite(t, p, sent, c.net, c.attempts)
					}
				}
			})
		})
	}
}

// polite checks that in every second no more SYNs left than the limit says, and on the whole neither. First attempts keep their distance;
// later ones, of which several may be due together, count for those after them.
func polite(t *testing.T, who any, sent []flying, limit float64, together int) {
	t.Helper()
	for i := 1; i < len(sent) && together == 1; i++ {
		if d, least := sent[i].at.Sub(sent[i-1].at), time.Duration(0.9e9/limit)-time.Microsecond; d < least {
			t.Fatalf("%v: two SYNs within %v, want at least %v", who, d, least)
		}
	}
	for i := range sent {
		n := 0
		for _, f := range sent[i:] {
			if f.at.Sub(sent[i].at) < time.Second {
				n++
			}
		}
		if float64(n) > limit*1.1+float64(together) {
			t.Fatalf("%v: %d SYNs in the second from %v on, the limit is %v", who, n, sent[i].at.Sub(sent[0].at), limit)
		}
	}
	took := sent[len(sent)-1].at.Sub(sent[0].at).Seconds()
	if got := float64(len(sent)-1) / took; got > limit*1.02+float64(together)/took {
		t.Errorf("%v: %.2f SYNs a second, the limit is %v", who, got, limit)
	}
}

// Without other limits a host's targets leave at the host's rate: the limit costs no more than it must, however the targets fall to
// lanes.
func TestHostRateUsedInFull(t *testing.T) {
	for _, c := range []struct {
		ports     string
		host, net float64
		want      time.Duration
	}{{"1-500", 50, 0, 10 * time.Second}, {"1-20", 1, 0, 20 * time.Second}, {"1-3", 0.1, 0, 30 * time.Second}, {"1-500", 0, 100, 10 * time.Second}} {
		for lanes := 1; lanes <= 4; lanes++ {
			bubble(t, func(t *testing.T) {
				w := silently()
				c, want := Config{Targets: space(t, c.ports, "198.18.0.1", "198.18.0.2"), Rate: -1, HostRate: c.host, NetRate: c.net, Attempts: 1, Lanes: lanes}, c.want
				run(t, c, w)
				sent := w.sent()
				gap := want * 2 / time.Duration(len(sent)) // of one host; there is one less than there are SYNs
				if took := sent[len(sent)-1].at.Sub(sent[0].at); took > want+gap/8 || took < want-gap-gap/8 {
					t.Errorf("%d lanes: %v SYNs a second to a host, %v to a network: %d took %v, want %v", lanes, c.HostRate, c.NetRate, len(sent), took, want)
				}
			})
		}
	}
}

// At most MaxInFlight targets wait for their answer at a time, and the rate yields to that.
func TestMaxInFlight(t *testing.T) {
	for _, lanes := range []int{1, 2, 3} {
		bubble(t, func(t *testing.T) {
			const most = 100
			w := silently()
			c := Config{Targets: space(t, "1-100", "198.18.0.0/28"), Rate: -1, MaxInFlight: most, Lanes: lanes, Attempts: 2, Timeout: time.Second}
			began := time.Now()
			_, s := run(t, c, w)
			sent := w.sent()
			inFlight := map[time.Duration]int{}
			first := map[netip.AddrPort]bool{}
			for _, f := range sent {
				if !first[f.To] {
					first[f.To] = true
					inFlight[f.at.Sub(began)/time.Second]++
				}
			}
			for second, n := range inFlight {
				if n > most {
					t.Errorf("%d lanes: %d targets in second %d", lanes, n, second)
				}
			}
			if took, want := time.Since(began), time.Duration(1600/(most/lanes*lanes))*time.Second; took < want || took > want+3*time.Second {
				t.Errorf("%d lanes: took %v, want %v", lanes, took, want)
			}
			if n := s.Totals().Verdicts[match.Filtered]; n != 1600 {
				t.Errorf("%d filtered", n)
			}
		})
	}
}

// There are no more lanes than targets may be on their way.
func TestOneInFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := Config{Targets: space(t, "80", "198.18.0.0/29"), Rate: -1, MaxInFlight: 1, Attempts: 1, Timeout: time.Second}
		began := time.Now()
		if _, s := run(t, c, silently()); s.Totals().Verdicts[match.Filtered] != 8 || time.Since(began) < 8*time.Second {
			t.Errorf("%+v after %v", s.Totals(), time.Since(began))
		}
	})
}

// The scope is asked for every packet: a target outside gets none, and one that leaves the scope gets no more, not even a RST.
func TestScope(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		left := map[netip.Addr]bool{} // what has left the scope
		inside := netip.MustParsePrefix("198.18.0.0/25")
		w := silently()
		w.host = func(pkt []byte) []wiretest.Packet {
			s, _ := wiretest.Parse(pkt)
			mu.Lock()
			defer mu.Unlock()
			if !inside.Contains(s.To.Addr()) || left[s.To.Addr()] {
				t.Errorf("a packet left for %v: %+v", s.To, s)
			}
			if b := s.To.Addr().As4()[3]; s.SYN && b%2 == 0 {
				left[s.To.Addr()] = true
			}
			return wiretest.Open(pkt)
		}
		verdicts, s := run(t, Config{Targets: space(t, "80", "198.18.0.0/24"), Rate: 1000, Scope: func(a netip.Addr) bool {
			mu.Lock()
			defer mu.Unlock()
			return inside.Contains(a) && !left[a]
		}}, w)
		for at, v := range verdicts {
			state, reason := match.Open, match.SYNACK
			if !inside.Contains(at.Addr()) {
				state, reason = match.Unsent, match.OutOfScope
			}
			if v.State != state || v.Reason != reason {
				t.Errorf("%v is %v (%v), want %v (%v)", at, v.State, v.Reason, state, reason)
			}
		}
		if totals := s.Totals(); totals.SYNSent != 128 || totals.RSTSent != 64 {
			t.Errorf("%+v", totals)
		}
	})
}

// Targets that get no packet do not slow the others down.
func TestRateBesideRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := silently()
		run(t, Config{Targets: space(t, "80", "198.18.0.0/20"), Rate: 100, Attempts: 1, Scope: func(a netip.Addr) bool {
			return a.As4()[3] < 26
		}}, w)
		onSchedule(t, w.sent(), 100)
	})
}

// An attempt leaves only to the silent, and spread over the timeout.
func TestAttempts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := silently()
		began := time.Now()
		verdicts, _ := run(t, Config{Targets: space(t, "80", "198.18.0.7"), Attempts: 3, Timeout: 6 * time.Second}, w)
		for i, f := range w.sent() {
			if at := f.at.Sub(began); at != time.Duration(2*i)*time.Second {
				t.Errorf("attempt %d left at %v", i, at)
			}
		}
		if v := verdicts[netip.MustParseAddrPort("198.18.0.7:80")]; len(w.sent()) != 3 || v.Attempt != 2 || v.State != match.Filtered {
			t.Errorf("%d SYNs, %+v", len(w.sent()), v)
		}
		if d := time.Since(began); d != 6*time.Second {
			t.Errorf("took %v", d)
		}
	})
}
