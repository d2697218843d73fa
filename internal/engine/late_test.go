//go:build linux && !android

package engine_test

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// What comes again settles nothing twice. Every SYN-ACK is reset: our last RST was lost, perhaps. A RST is never answered.
func TestDuplicates(t *testing.T) {
	for name, c := range map[string]struct {
		answer wiretest.Host
		state  match.State
		rsts   int
	}{
		"open": {wiretest.Open, match.Open, 4}, "closed": {wiretest.Closed, match.Closed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			families(t, func(t *testing.T, target netip.AddrPort) {
				w := wiretest.New(wiretest.Duplicate(3, 700*ms, wiretest.Delay(10*ms, c.answer)))
				f := open(t, w, nil)
				if v := probe(t, f, target, time.Second); v.State != c.state || v.RTT != 10*ms {
					t.Errorf("%v, RTT %v", v.State, v.RTT)
				}
				time.Sleep(3 * time.Second)
				got := counters(t, f)
				if got.Answers != 1 || got.Duplicates != 3 || got.Verdicts[c.state] != 1 {
					t.Errorf("%d answers, %d duplicates, %d verdicts", got.Answers, got.Duplicates, got.Verdicts[c.state])
				}
				wantSent(t, w, 1, c.rsts)
				isn := wireOf(w)[0].Seq
				for _, s := range wireOf(w)[1:] {
					if s.Seq != isn+1 || s.To != target || s.ACK || s.Ack != 0 {
						t.Errorf("reset with %+v", s)
					}
				}
			})
		})
	}
}

// A SYN-ACK that comes after the timeout changes nothing but is reset, soon at first and later with the next probe.
func TestLateAnswer(t *testing.T) {
	for _, delay := range []time.Duration{1500 * ms, 30 * time.Second} {
		t.Run(delay.String(), func(t *testing.T) {
			families(t, func(t *testing.T, target netip.AddrPort) {
				w := wiretest.New(wiretest.Delay(delay, wiretest.Open))
				f := open(t, w, plan(t, 0))
				began := time.Now()
				check(t, probe(t, f, target, time.Second), match.Filtered, match.Timeout, 0, 0)
				time.Sleep(delay)
				if delay > 5*time.Second {
					wantSent(t, w, 1, 0)
					probe(t, f, nth(target, 1), 100*ms)
					wantSent(t, w, 2, 1)
					return
				}
				wantSent(t, w, 1, 1)
				if at := times(w, began, isRST)[0]; at > delay+100*ms {
					t.Errorf("reset at %v", at)
				}
				if c := counters(t, f); c.Duplicates != 1 || c.Answers != 0 || c.Verdicts[match.Open] != 0 {
					t.Errorf("counters %+v", c)
				}
			})
		})
	}
}

// What comes late to another address of ours is not ours to reset.
func TestLateAnswerElsewhere(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
			return []wiretest.Packet{after(1500*ms, synackTo(syn, 1)), after(1600*ms, syn.SYNACK())}
		}))
		f := open(t, w, plan(t, 0))
		began := time.Now()
		check(t, probe(t, f, target, time.Second), match.Filtered, match.Timeout, 0, 0)
		time.Sleep(3 * time.Second)
		if at := times(w, began, isRST); len(at) != 1 || at[0] < 1600*ms {
			t.Errorf("resets at %v", at)
		}
	})
}

func synackTo(syn wiretest.Segment, n int) wiretest.Segment {
	return changed(syn.SYNACK(), func(s *wiretest.Segment) { s.To = nth(s.To, n) })
}

// An answer to an earlier attempt counts, and its RTT is its own.
func TestAnswerToEarlierAttempt(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		n := 0
		w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
			if n++; n == 1 {
				return []wiretest.Packet{after(1300*ms, syn.SYNACK())}
			}
			return []wiretest.Packet{after(400*ms, syn.SYNACK())}
		}))
		f := open(t, w, nil)
		v := probe(t, f, target, 4*time.Second)
		if d := (v.RTT - 1300*ms).Abs(); v.State != match.Open || v.Attempt != 0 || d > 128*time.Microsecond {
			t.Errorf("%v attempt %d RTT %v", v.State, v.Attempt, v.RTT)
		}
		if c := counters(t, f); c.Answers != 1 || c.Duplicates != 1 {
			t.Errorf("%d answers, %d duplicates", c.Answers, c.Duplicates)
		}
		wantSent(t, w, 2, 2) // the half-open connection of each attempt is reset
		got := wireOf(w)
		if got[2].From != got[0].From || got[3].From != got[1].From || v.Source != got[0].From {
			t.Errorf("on the wire %+v, source %v", got, v.Source)
		}
	})
}

// The RTT of an earlier attempt is right though the one after it left late, and 0 where it cannot be told.
func TestRTTAfterLateAttempt(t *testing.T) {
	for refused, want := range map[time.Duration]time.Duration{7 * ms: 1300 * ms, 100 * ms: 0} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			n := 0
			w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
				if n++; n > 1 {
					return nil
				}
				return []wiretest.Packet{after(1300*ms, syn.SYNACK())}
			}))
			began := time.Now()
			w.SendErr = func([]byte) error {
				if at := time.Since(began); at >= time.Second && at < time.Second+refused {
					return syscall.ENOBUFS
				}
				return nil
			}
			f := open(t, w, nil)
			v := probe(t, f, target, 4*time.Second)
			if d := (v.RTT - want).Abs(); v.State != match.Open || v.Attempt != 0 || d > 128*time.Microsecond {
				t.Errorf("%v attempt %d RTT %v, want %v", v.State, v.Attempt, v.RTT, want)
			}
		})
	}
}

func TestReordered(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(wiretest.Reorder(300*ms, wiretest.Delay(10*ms, wiretest.Open)))
		f := open(t, w, nil)
		var all []*pending
		for i := range 6 {
			all = append(all, startIn(t.Context(), f, time.Second, nth(target, i))...)
		}
		for i, p := range all {
			p.want(t, match.Open, match.SYNACK, 10*ms+time.Duration(i%2)*300*ms)
		}
	})
}
