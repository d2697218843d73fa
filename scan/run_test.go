//go:build linux && !android

package scan

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/record"
	"github.com/rawshake/rawshake/scan/target"
)

const mixed = "198.18.0.0/24" // with addresses of every fate, those without a route included

// blackHole gives every target its verdict at once: there is no route.
func blackHole(w *wiretest.Wire) {
	w.RouteErr = func(netip.Addr) error { return syscall.ENETUNREACH }
}

// A handler that blocks holds the scan back; nothing is lost, and what waits for it is bounded.
func TestBackPressure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const lanes = 1
		s := start(t, Config{Targets: space(t, "1-2", "198.18.0.0/16"), Rate: -1, Lanes: lanes, MaxInFlight: 1 << 12}, &world{tweak: blackHole})
		var l log
		var first atomic.Bool
		l.onResults = func() error {
			if first.CompareAndSwap(false, true) {
				time.Sleep(time.Hour)
			}
			return nil
		}
		done := make(chan error)
		go func() { done <- s.Run(t.Context(), &l) }()
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		// A delivery may be as large as a lane lets its verdicts grow, and 16 of them fit the channel.
		got, most := s.Totals().Done(), uint64(lanes*holdAt+(16+lanes)*2*shipAt)
		if got == 0 || got > most {
			t.Errorf("%d verdicts wait for the handler, want at most %d", got, most)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		l.commit()
		if n := len(once(t, l.kept)); n != 2<<16 {
			t.Errorf("%d verdicts on %d targets", n, 2<<16)
		}
	})
}

// A handler that is slower than the answers come loses none.
func TestSlowHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, Config{Targets: space(t, "80-89", mixed), Rate: -1, Lanes: 3, MaxInFlight: 300}, &world{})
		var l log
		l.onResults = func() error { time.Sleep(200 * ms); return nil }
		if err := s.Run(t.Context(), &l); err != nil {
			t.Fatal(err)
		}
		l.commit()
		right(t, s, once(t, l.kept))
	})
}

// right checks every verdict of a scan without a scope, and that the totals and Targets agree.
func right(t *testing.T, s *Scan, verdicts map[netip.AddrPort]engine.Verdict) {
	t.Helper()
	all := s.cfg.Targets
	var by [match.NumStates]uint64
	for i := range all.Size() {
		v, ok := verdicts[all.At(i)]
		if state, reason := fate(all.At(i)); !ok || v.State != state || v.Reason != reason {
			t.Errorf("%v is %v (%v), want %v (%v)", all.At(i), v.State, v.Reason, state, reason)
		}
		by[v.State]++
	}
	if totals := s.Totals(); totals.Verdicts != by || totals.Done() != all.Size() || s.Targets() != all.Size() || s.InFlight() != 0 {
		t.Errorf("%d targets, by state %v, %d in flight, totals %+v", s.Targets(), by, s.InFlight(), totals)
	}
}

// The totals are those of what was on the wire.
func TestTotals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := &world{}
		verdicts, s := run(t, Config{Targets: space(t, "80-83", mixed), Lanes: 2, Rate: 1000}, w)
		right(t, s, verdicts)
		var twice, silent uint64
		for at, v := range verdicts {
			switch {
			case v.State == match.Filtered:
				silent++
				if v.Attempt != 1 || v.RTT != 0 {
					t.Errorf("%v: attempt %d, RTT %v", at, v.Attempt, v.RTT)
				}
			case v.Reason != match.NoRoute && v.RTT != time.Duration(hash(at)>>3%200)*ms:
				t.Errorf("%v: RTT %v, it answers after %d ms", at, v.RTT, hash(at)>>3%200)
			}
			if v.State != match.Filtered && v.Reason != match.NoRoute && hash(at)%5 == 0 {
				twice++
			}
		}
		totals, sent := s.Totals(), w.sent()
		asked := totals.Done() - noRoutes(verdicts)
		if totals.SYNSent != asked+silent || totals.SYNSent != uint64(count(sent, isSYN)) {
			t.Errorf("%d SYNs counted, %d on the wire, want %d", totals.SYNSent, count(sent, isSYN), asked+silent)
		}
		// An open target that repeats itself was not reset well, and so is reset again.
		if totals.RSTSent != uint64(count(sent, isRST)) || totals.RSTSent < totals.Verdicts[match.Open] {
			t.Errorf("%d RSTs counted, %d on the wire, %d open", totals.RSTSent, count(sent, isRST), totals.Verdicts[match.Open])
		}
		if totals.Duplicates != twice || totals.Ignored != 0 || totals.RingDrops != 0 || totals.SendErrors != 0 || totals.Incomplete != 0 {
			t.Errorf("%+v, want %d duplicates", totals, twice)
		}
	})
}

func noRoutes(verdicts map[netip.AddrPort]engine.Verdict) (n uint64) {
	for _, v := range verdicts {
		if v.Reason == match.NoRoute {
			n++
		}
	}
	return n
}

// What Keep refuses is counted and not handed over.
func TestKeep(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := space(t, "80-83", mixed)
		verdicts, s := run(t, Config{Targets: all, Lanes: 2, Rate: -1, Keep: func(s match.State) bool { return s == match.Open }}, &world{})
		open := 0
		for i := range all.Size() {
			state, _ := fate(all.At(i))
			if _, ok := verdicts[all.At(i)]; ok != (state == match.Open) {
				t.Errorf("%v is %v, handed over: %v", all.At(i), state, ok)
			}
			if state == match.Open {
				open++
			}
		}
		if totals := s.Totals(); totals.Done() != all.Size() || totals.Verdicts[match.Open] != uint64(open) {
			t.Errorf("%d open of %d, totals %+v", open, all.Size(), totals)
		}
	})
}

// An error of the handler ends the scan and is what Run returns; all goroutines end.
func TestHandlerError(t *testing.T) {
	for name, fail := range map[string]func(*log){
		"results":    func(l *log) { l.onResults = func() error { return errCrash } },
		"checkpoint": nil,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := start(t, Config{Targets: space(t, "80-99", mixed), Lanes: 3, Rate: 500}, &world{})
				var h Handler
				if fail != nil {
					l := &log{}
					fail(l)
					h = l
				} else {
					h = brokenDisk{}
					time.AfterFunc(time.Second, s.WantCheckpoint)
				}
				began := time.Now()
				if err := s.Run(t.Context(), h); !errors.Is(err, errCrash) {
					t.Errorf("Run returned %v", err)
				}
				if d := time.Since(began); d > 2*time.Second {
					t.Errorf("it took %v to end", d)
				}
			})
		})
	}
}

// brokenDisk cannot write checkpoints.
type brokenDisk struct{}

func (brokenDisk) Results([]engine.Verdict) error { return nil }
func (brokenDisk) Checkpoint(State) error         { return errCrash }

// When the context ends, a last Checkpoint is handed over, nothing after it, and Run returns the cause.
func TestCancel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cause := errors.New("SIGTERM")
		ctx, cancel := context.WithCancelCause(t.Context())
		w, all := &world{}, space(t, "80-89", mixed)
		s := start(t, Config{Targets: all, Lanes: 2, Rate: 200}, w)
		var l log
		l.onPoint = func(s State) { consistent(t, all, &l, s) }
		time.AfterFunc(5*time.Second, func() { cancel(cause) })
		began := time.Now()
		if err := s.Run(ctx, &l); err != cause {
			t.Errorf("Run returned %v, want the cause", err)
		}
		if d := time.Since(began); d != 5*time.Second {
			t.Errorf("it ended after %v", d)
		}
		if l.points != 1 || len(l.tail) != 0 || len(l.kept) == 0 {
			t.Errorf("%d checkpoints, %d verdicts before the last, %d after it", l.points, len(l.kept), len(l.tail))
		}
		before := len(w.sent())
		time.Sleep(time.Minute)
		if n := len(w.sent()); n != before {
			t.Errorf("%d packets left after Run", n-before)
		}
	})
}

// At whatever moment a scan is interrupted, also while a checkpoint is gathered: its counts are those of the wire and of the last
// Checkpoint, and they stay exact over all its sessions.
func TestCancelExactly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := &world{}
		c := Config{Targets: space(t, "80-109", mixed), Lanes: 3, Rate: 3000, Attempts: 2, Timeout: 900 * ms}
		var l log
		l.onResults = func() error { time.Sleep(3 * ms); return nil } // time goes on between the parts of a checkpoint
		sending := time.Duration(0)
		for session := 0; ; session++ {
			s := start(t, c, w)
			ctx, cancel := context.WithCancel(t.Context())
			before := len(w.sent())
			time.AfterFunc(300*ms, s.WantCheckpoint)
			if session < 6 {
				time.AfterFunc(300*ms+time.Duration(session%3)*10*time.Microsecond, cancel)
			}
			err := s.Run(ctx, &l)
			cancel()
			sent := w.sent()
			if s := syns(sent[before:]); len(s) > 0 {
				sending += s[len(s)-1].at.Sub(s[0].at)
			}
			totals := s.Totals()
			if got, want := totals.SYNSent, uint64(count(sent, isSYN)); got != want {
				t.Errorf("session %d: %d SYNs counted, %d on the wire", session, got, want)
			}
			if got, want := totals.RSTSent, uint64(count(sent, isRST)); got != want {
				t.Errorf("session %d: %d RSTs counted, %d on the wire", session, got, want)
			}
			if totals.SendTime != sending {
				t.Errorf("session %d: %v of sending counted, %v on the wire", session, totals.SendTime, sending)
			}
			if err == nil {
				break
			}
			if c.Resume = l.state; l.state.Totals != totals {
				t.Errorf("session %d: the last Checkpoint says %+v, Totals are %+v", session, l.state.Totals, totals)
			}
		}
		l.commit()
		once(t, l.kept)
	})
}

// A context that has ended already asks nobody, and still says how far the scan is: at the beginning.
func TestCancelAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var l log
		s := start(t, Config{Targets: space(t, "80", mixed), Lanes: 2, Rate: 10}, &world{})
		if err := s.Run(ctx, &l); !errors.Is(err, context.Canceled) || l.points != 1 {
			t.Errorf("Run returned %v after %d checkpoints", err, l.points)
		}
	})
}

// Each WantCheckpoint gives one; those that come while one is gathered may share it. It works when some lanes have ended, even
// all but one that waits long for its last target.
func TestWantCheckpoint(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// 3 targets on 4 lanes: one lane never has any, and those that answer end at once.
		all := space(t, "80", "198.18.0.1", "198.18.0.2", "198.18.0.3")
		w := &world{host: func(pkt []byte) []wiretest.Packet {
			if s, _ := wiretest.Parse(pkt); s.To.Addr() == netip.MustParseAddr("198.18.0.2") {
				return nil
			}
			return wiretest.Open(pkt)
		}}
		s := start(t, Config{Targets: all, Lanes: 4, Rate: -1, Timeout: 30 * time.Second}, w)
		var l log
		var pending []int
		l.onPoint = func(s State) {
			n := 0
			for _, lane := range s.Lanes {
				n += len(lane.Pending)
			}
			pending = append(pending, n)
			consistent(t, all, &l, s)
		}
		go func() {
			for range 5 {
				time.Sleep(5 * time.Second)
				s.WantCheckpoint()
				s.WantCheckpoint()
			}
		}()
		if err := s.Run(t.Context(), &l); err != nil {
			t.Fatal(err)
		}
		if len(pending) < 5 || len(pending) > 10 || slices.Max(pending) != 1 || slices.Min(pending) != 1 {
			t.Errorf("targets pending at checkpoints: %v", pending)
		}
		l.commit()
		if len(once(t, l.kept)) != 3 {
			t.Errorf("verdicts: %v", l.kept)
		}
		s.WantCheckpoint() // too late, and harmless
	})
}

// Checkpoints one after the other do not keep a scan from its end.
func TestManyCheckpoints(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, Config{Targets: space(t, "80-89", mixed), Lanes: 3, Rate: 1000}, &world{})
		var l log
		l.onPoint = func(State) { time.AfterFunc(10*ms, s.WantCheckpoint) }
		time.AfterFunc(ms, s.WantCheckpoint)
		if err := s.Run(t.Context(), &l); err != nil {
			t.Fatal(err)
		}
		l.commit()
		right(t, s, once(t, l.kept))
		if l.points < 100 {
			t.Errorf("%d checkpoints", l.points)
		}
	})
}

// countedWire knows how often it was closed.
type countedWire struct {
	engine.Wire
	closed int
}

func (w *countedWire) Close() error {
	w.closed++
	return w.Wire.Close()
}

// Who makes a Scan and does not run it closes it; who has run it may close it, too. A Scan is for one use.
func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for name, use := range map[string]func(*Scan) error{
			"not run": func(s *Scan) error { return s.Close() },
			"run":     func(s *Scan) error { return s.Run(t.Context(), &log{}) },
			"left": func(s *Scan) error {
				s.Results(t.Context())(func(record.Record, error) bool { return false })
				return nil
			},
		} {
			var w world
			var wires []*countedWire
			s, err := New(Config{Targets: space(t, "80", mixed), Lanes: 3, Rate: -1, openWires: func(n int) ([]engine.Wire, [][]uint16, error) {
				all, ports, err := w.open(n)
				for i := range all {
					wires = append(wires, &countedWire{Wire: all[i]})
					all[i] = wires[i]
				}
				return all, ports, err
			}})
			if err != nil {
				t.Fatal(err)
			}
			for i, use := range []func(*Scan) error{use, (*Scan).Close, (*Scan).Close} {
				if err := use(s); err != nil {
					t.Errorf("%s, use %d: %v", name, i, err)
				}
				for j := range wires {
					if wires[j].closed != 1 {
						t.Errorf("%s, use %d: wire %d was closed %d times", name, i, j, wires[j].closed)
					}
				}
			}
			sent := len(w.sent())
			if err := s.Run(t.Context(), &log{}); err == nil || len(w.sent()) != sent {
				t.Errorf("%s, then Run: error %v, %d packets", name, err, len(w.sent())-sent)
			}
		}
	})
}

// Closing a Scan that runs, from anywhere, does nothing to it.
func TestCloseWhileRunning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, Config{Targets: space(t, "80-83", mixed), Lanes: 2, Rate: 500}, &world{})
		time.AfterFunc(time.Second, func() { s.Close() })
		var l log
		if err := s.Run(t.Context(), &l); err != nil {
			t.Fatal(err)
		}
		l.commit()
		right(t, s, once(t, l.kept))
	})
}

// A State of another scan is refused, with what is wrong.
func TestResumeOtherTargets(t *testing.T) {
	w := &world{}
	all := space(t, "80", mixed)
	state := &State{Lanes: []LaneState{{Position: 1, Pending: target.Numbers{all.Size()}}}}
	_, err := New(Config{Targets: all, Resume: state, openWires: w.open})
	if err == nil || !strings.Contains(err.Error(), "the targets are not those that the scan began with") {
		t.Errorf("error %v", err)
	}
	for _, c := range []Config{{}, {Timeout: -1}, {MaxInFlight: -1}, {Attempts: 99}, {Attempts: -1}, {MaxInFlight: 1, Lanes: 2}} {
		if c.Timeout != 0 || c.MaxInFlight != 0 || c.Attempts != 0 {
			c.Targets = space(t, "80", mixed)
		}
		c.openWires = w.open
		if _, err := New(c); err == nil {
			t.Errorf("no error for %+v", c)
		} else {
			t.Log(err)
		}
	}
}

// TestResumeSpread: what a checkpoint has pending, sorted, goes out over all hosts, in an order that the seed gives.
func TestResumeSpread(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := space(t, "1-16", "198.18.0.0/24")
		orders := map[uint64][]flying{}
		for _, seed := range []uint64{1, 1, 2} {
			pending := make(target.Numbers, all.Size())
			for i := range pending {
				pending[i] = uint64(i)
			}
			w := silently()
			run(t, Config{
				Targets: all, Seed: seed, Rate: 1000, Attempts: 1, Timeout: time.Second,
				Resume: &State{Lanes: []LaneState{{Position: all.Size(), Pending: pending}}},
			}, w)
			sent := syns(w.sent())
			hosts := map[netip.Addr]bool{}
			for _, p := range sent[:256] {
				hosts[p.To.Addr()] = true
			}
			if len(hosts) < 100 {
				t.Errorf("seed %d: the first 256 SYNs go to %d hosts", seed, len(hosts))
			}
			if before, again := orders[seed]; again && !slices.EqualFunc(before, sent, func(a, b flying) bool { return a.To == b.To }) {
				t.Errorf("seed %d gives two orders", seed)
			}
			orders[seed] = sent
		}
		if slices.EqualFunc(orders[1], orders[2], func(a, b flying) bool { return a.To == b.To }) {
			t.Error("two seeds give one order")
		}
	})
}

// Results yields every record; leaving the loop ends the scan.
func TestResults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, enough := range []int{1, 100, 1 << 30} {
			w := &world{}
			s := start(t, Config{Targets: space(t, "80-83", mixed), Lanes: 2, Rate: 2000}, w)
			seen := map[netip.AddrPort]bool{}
			for r, err := range s.Results(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if state, _ := fate(r.Target); seen[r.Target] || r.State != state {
					t.Errorf("%v is %v, want %v; seen %v", r.Target, r.State, state, seen[r.Target])
				}
				if seen[r.Target] = true; len(seen) == enough {
					break
				}
			}
			if want := min(enough, int(s.Targets())); len(seen) != want {
				t.Errorf("%d records, want %d", len(seen), want)
			}
			before := len(w.sent())
			time.Sleep(time.Minute)
			if n := len(w.sent()); n != before {
				t.Errorf("%d packets left after the loop", n-before)
			}
		}
	})
}

// The last thing that Results yields, when the context ends, is the error.
func TestResultsCanceled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		s := start(t, Config{Targets: space(t, "80-83", mixed), Rate: 100}, &world{})
		var last error
		n := 0
		for _, err := range s.Results(ctx) {
			if last != nil {
				t.Error("it goes on after the error")
			}
			last = err
			n++
		}
		if !errors.Is(last, context.DeadlineExceeded) || n < 2 {
			t.Errorf("%d yields, the last with error %v", n, last)
		}
	})
}

// Targets of an address family that this host lacks are unsent, the others are asked.
func TestNoSourceOfFamily(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := &world{tweak: func(w *wiretest.Wire) { w.Source6 = netip.Addr{} }}
		verdicts, _ := run(t, Config{Targets: space(t, "80", "198.18.0.0/28", "2001:db8:1::/124"), Rate: -1}, w)
		for at, v := range verdicts {
			state, reason := fate(at)
			if at.Addr().Is6() && reason != match.NoRoute {
				state, reason = match.Unsent, match.NoSource
			}
			if v.State != state || v.Reason != reason {
				t.Errorf("%v is %v (%v), want %v (%v)", at, v.State, v.Reason, state, reason)
			}
		}
	})
}
