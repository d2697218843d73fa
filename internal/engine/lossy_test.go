//go:build linux && !android

package engine_test

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// repeat has a host repeat its SYN-ACK until it is reset, as Linux does at first: after 1, 3 and 7 s (tcp_synack_retries).
func repeat(h wiretest.Host) wiretest.Host {
	return func(pkt []byte) (all []wiretest.Packet) {
		for _, p := range h(pkt) {
			for _, after := range []time.Duration{0, 1, 3, 7} {
				all = append(all, wiretest.Packet{Data: p.Data, After: p.After + after*time.Second})
			}
		}
		return all
	}
}

// With 30 % of the packets lost each way, an attempt each second and 10 s of time, each of 1000 open targets is found.
func TestLossyWay(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Lose(0.3, 1, wiretest.Delay(20*ms, repeat(wiretest.Open))))
		f := open(t, w, nil)
		attempts, n := map[int]int{}, 0
		for v := range verdicts(t, f, many(target, 1000), 10*time.Second) {
			if attempts[v.Attempt]++; v.State != match.Open {
				t.Errorf("%v is %v %v after attempt %d", v.Target, v.State, v.Reason, v.Attempt)
			}
			n++
		}
		if n != 1000 || attempts[0] > 800 || attempts[1] == 0 || attempts[2] == 0 {
			t.Errorf("%d verdicts, by attempt %v", n, attempts)
		}
	})
}

// Of targets that answer each SYN once, about one in a thousand loses all ten; every other one is found.
func TestLossyAnswers(t *testing.T) {
	for state, host := range map[match.State]wiretest.Host{match.Open: wiretest.Open, match.Closed: wiretest.Closed} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			answered := map[netip.AddrPort]bool{}
			lossy := wiretest.Lose(0.3, 9, wiretest.Delay(20*ms, host))
			w := wiretest.New(func(pkt []byte) []wiretest.Packet {
				s, _ := wiretest.Parse(pkt)
				kept := lossy(pkt)
				answered[s.To] = answered[s.To] || len(kept) > 0
				return kept
			})
			f := open(t, w, nil)
			silent := 0
			all := slices.Collect(verdicts(t, f, many(target, 1000), 10*time.Second))
			synctest.Wait()
			for _, v := range all {
				want := match.Filtered
				if answered[v.Target] {
					want = state
				} else {
					silent++
				}
				if v.State != want {
					t.Errorf("%v is %v %v after attempt %d, want %v", v.Target, v.State, v.Reason, v.Attempt, want)
				}
			}
			if len(answered) != 1000 || silent > 12 {
				t.Errorf("%d targets, %d without an answer", len(answered), silent)
			}
		})
	}
}
