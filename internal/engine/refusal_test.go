//go:build linux && !android

package engine_test

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// refusing is a wire that says what err is to every send.
func refusing(err *error) *wiretest.Wire {
	w := wiretest.New(wiretest.Open)
	w.SendErr = func([]byte) error { return *err }
	return w
}

// How long an interface has taken nothing counts from the first refusal in a row: not from before an outage, which has another cause, and no
// longer when a packet leaves, or is refused for something else.
func TestRefused(t *testing.T) {
	for name, other := range map[string]error{"leaves": nil, "firewall": syscall.EPERM} {
		families(t, func(t *testing.T, target netip.AddrPort) {
			var err error = syscall.ENOBUFS
			gone := false
			w := refusing(&err)
			w.Gone = func(netip.Addr) error {
				if gone {
					return errors.New("gone")
				}
				return nil
			}
			l := newLane(t, w)
			lasts := func(least, most time.Duration) {
				t.Helper()
				if d, _ := l.Refused(); d < least || d > most {
					t.Errorf("%s: refused for %v, want %v to %v", name, d, least, most)
				}
			}
			l.submit(target)
			l.run(2 * ms)
			lasts(0, 0) // it may be by chance
			l.run(400 * ms)
			lasts(390*ms, 402*ms)
			gone = true
			l.run(5 * time.Second)
			gone = false
			l.run(500 * ms)
			lasts(100*ms, 500*ms)
			err = other
			l.run(100 * ms)
			lasts(0, 0)
			if v := l.verdicts[target]; (v.State == match.Open) != (other == nil) || len(l.verdicts) != 1 {
				t.Errorf("%s: %+v", name, v)
			}
		})
	}
}

// What left a moment before an interface took nothing more may be in its queue still: silence then is not believed, and one more attempt
// waits until there is room.
func TestSilenceOfFullQueue(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		var err error
		full, began := true, time.Now()
		w := refusing(&err)
		w.Host = func(pkt []byte) []wiretest.Packet {
			if full {
				return nil
			}
			return wiretest.Open(pkt)
		}
		l := newLane(t, w)
		l.submit(target) // leaves, and gets no further
		l.run(400 * ms)
		err = syscall.ENOBUFS
		l.run(4 * time.Second)
		if len(l.verdicts) > 0 {
			t.Errorf("while there is no room: %+v", l.verdicts[target])
		}
		err, full = nil, false
		l.run(100 * ms)
		if v := l.verdicts[target]; v.State != match.Open || l.at[target].Sub(began) > 4410*ms {
			t.Errorf("%+v after %v", v, l.at[target].Sub(began))
		}
	})
}

// A target of a sweep does not wait for ever for an interface that has taken its first SYN, and then takes nothing more.
func TestFullQueueInASweep(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		began, n := time.Now(), 0
		w := wiretest.New(wiretest.Silent)
		w.SendErr = func([]byte) error {
			if time.Since(began) < 50*ms {
				return nil
			}
			return syscall.ENOBUFS
		}
		f := open(t, w, with(every(t, 100*ms, 3), func(c *engine.Config) { c.Limit = 10 }))
		for v := range verdicts(t, f, many(target, 3), 300*ms) {
			n++
			if d := time.Since(began); v.Reason != match.LossOfOurs || d != 1300*ms {
				t.Errorf("%v is %v %v after %v", v.Target, v.State, v.Reason, d)
			}
		}
		if n != 3 {
			t.Errorf("%d verdicts", n)
		}
	})
}
