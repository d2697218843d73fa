//go:build linux && !android

package scan

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/target"
)

// tally is a Handler that notes the state and the attempt of each target, and calls the test's for each verdict.
type tally struct {
	t        testing.TB
	space    *target.Space
	states   []uint8 // state + 1
	attempts []uint8
	each     func(*engine.Verdict) // may be nil
}

func newTally(t testing.TB, all *target.Space) *tally {
	return &tally{t: t, space: all, states: make([]uint8, all.Size()), attempts: make([]uint8, all.Size())}
}

func (c *tally) Results(verdicts []engine.Verdict) error {
	for i := range verdicts {
		v := &verdicts[i]
		n, ok := c.space.Index(v.Target)
		if !ok || c.states[n] != 0 {
			c.t.Errorf("%v: among the targets: %v, verdict number two: %v", v.Target, ok, ok && c.states[n] != 0)
			continue
		}
		c.states[n], c.attempts[n] = uint8(v.State)+1, uint8(v.Attempt)
		if c.each != nil {
			c.each(v)
		}
	}
	return nil
}

func (c *tally) Checkpoint(State) error { return nil }

// scanAll scans on real packets; every target must have a verdict.
func scanAll(t *testing.T, c Config, each func(*engine.Verdict)) (*tally, Totals) {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	h := newTally(t, c.Targets)
	h.each = each
	if err := s.Run(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	missing := 0
	for i, state := range h.states {
		if state == 0 {
			missing++
			if missing == 1 {
				t.Errorf("%v has no verdict", c.Targets.At(uint64(i)))
			}
		}
	}
	totals := s.Totals()
	if missing > 0 || totals.Done() != c.Targets.Size() {
		t.Errorf("%d of %d targets have no verdict, totals %+v", missing, c.Targets.Size(), totals)
	}
	return h, totals
}

// prefixes are one of each family behind the peer, with 2^bits addresses.
func prefixes(bits int) map[string]string {
	return map[string]string{
		"v4": netip.PrefixFrom(netip.MustParseAddr("10.128.0.0"), 32-bits).String(),
		"v6": netip.PrefixFrom(netip.MustParseAddr("fd80::"), 128-bits).String(),
	}
}

// both runs a test for prefixes of both families, each in a lab of its own.
func both(t *testing.T, bits int, test func(t *testing.T, n *lab.Net, prefix string)) {
	for name, prefix := range prefixes(bits) {
		t.Run(name, func(t *testing.T) {
			lab.Test(t, million, func(t *testing.T, n *lab.Net) { test(t, n, prefix) })
		})
	}
}

var stateOf = map[lab.Fate]match.State{lab.Open: match.Open, lab.Closed: match.Closed, lab.Silent: match.Filtered}

// fated checks every verdict against the responder's fates, and that each open target got our RST.
func (c *tally) fated(t *testing.T, peer *lab.Responding, totals Totals) {
	t.Helper()
	wrong, found, open := 0, 0, uint64(0)
	for i, state := range c.states {
		at := c.space.At(uint64(i))
		want := stateOf[lab.MixedFate(at)]
		if want == match.Open {
			open++
		}
		if state == uint8(want)+1 {
			found++
		} else if wrong++; wrong <= 5 {
			t.Errorf("%v is %v, want %v", at, match.State(state-1), want)
		}
	}
	counters := peer.Counters(t)
	t.Logf("%d targets: %d right, %d wrong (recall %.4f %%), %+v; the peer saw %+v", len(c.states), found, wrong,
		100*float64(found)/float64(len(c.states)), totals, counters)
	if wrong > 0 || totals.Verdicts[match.Open] != open {
		t.Errorf("%d wrong verdicts, %d open, want %d", wrong, totals.Verdicts[match.Open], open)
	}
	if counters.RST < open {
		t.Errorf("%d RSTs for %d open targets", counters.RST, open)
	}
}

// A third open, a third closed, a third silent, at full speed: everything is found and nothing is wrong.
func TestLabMixed(t *testing.T) {
	both(t, 18, func(t *testing.T, n *lab.Net, prefix string) {
		peer := n.Host("peer").Respond(t, lab.Responder{Mixed: true})
		c, totals := scanAll(t, Config{Targets: space(t, "80", prefix), Rate: -1, Attempts: 2, Timeout: time.Second}, nil)
		c.fated(t, peer, totals)
	})
}

// A responder that says everything three times settles nothing twice.
func TestLabDuplicates(t *testing.T) {
	both(t, 15, func(t *testing.T, n *lab.Net, prefix string) {
		peer := n.Host("peer").Respond(t, lab.Responder{Mixed: true, Copies: 2})
		c, totals := scanAll(t, Config{Targets: space(t, "80", prefix), Rate: -1, Attempts: 2, Timeout: time.Second}, nil)
		c.fated(t, peer, totals)
		// What comes after its slot was taken by another target is ignored instead.
		if got, want := totals.Duplicates+totals.Ignored, 2*(totals.Verdicts[match.Open]+totals.Verdicts[match.Closed]); got > want || got < want*95/100 {
			t.Errorf("%d duplicates and ignored, want %d", got, want)
		}
	})
}

// With 5 % lost each way and 3 attempts, what is found is what can be: the lab knows which attempt gets through.
func TestLabLoss(t *testing.T) {
	both(t, 17, func(t *testing.T, n *lab.Net, prefix string) {
		loss := lab.Loss{In: 5, Out: 5, Seed: 7}
		n.Host("peer").Lose(t, loss)
		n.Host("peer").Respond(t, lab.Responder{})
		const attempts = 3
		all := space(t, "80", prefix)
		c, totals := scanAll(t, Config{Targets: all, Rate: -1, Attempts: attempts, Timeout: 1500 * ms}, nil)
		can, found, other := 0, 0, 0
		for i, state := range c.states {
			want := loss.Answered(all.At(uint64(i)), attempts)
			if want >= 0 {
				can++
			}
			if state == uint8(match.Open)+1 {
				found++
				if int(c.attempts[i]) != want {
					other++
				}
			} else if want >= 0 {
				t.Errorf("%v is %v, attempt %d is answered", all.At(uint64(i)), match.State(state-1), want)
			}
		}
		size := float64(len(c.states))
		t.Logf("recall %.4f %%, %d of %d lost; possible %.4f %%, expected 99.9073 %%; %d answers by another attempt; %+v",
			100*float64(found)/size, len(c.states)-found, len(c.states), 100*float64(can)/size, other, totals)
		if float64(found) < 0.9985*size {
			t.Errorf("recall %.4f %%, want at least 99.85 %%", 100*float64(found)/size)
		}
		if totals.Requeued == 0 && other > 0 {
			t.Errorf("%d answers are said to be to another attempt than was answered", other)
		}
	})
}

// A host that delays answers past the timeout, while others flood forged answers at 100 000 a second: no verdict is wrong, and no
// true answer is lost.
func TestLabForgedFlood(t *testing.T) {
	both(t, 13, func(t *testing.T, n *lab.Net, prefix string) {
		peer, forger := n.Host("peer"), &forger{}
		const timeout = 1200 * ms
		script := peer.Script(t, func(p lab.Packet) []lab.Answer {
			if p.Flags() != "S" {
				return nil
			}
			forger.watch(p)
			switch {
			case lab.MixedFate(p.Dst) == lab.Silent && hash(p.Dst)%4 == 0:
				return lab.After(timeout+300*ms, p.SYNACK())
			case lab.MixedFate(p.Dst) == lab.Open:
				return lab.Now(p.SYNACK(), p.SYNACK())
			case lab.MixedFate(p.Dst) == lab.Closed:
				return lab.After(20*ms, p.PeerRST(), p.PeerRST())
			}
			return nil
		})
		// A scan lasts four seconds. Where this machine is too busy to make that many forgeries meanwhile, one scan follows on another.
		const enough = 250_000
		for forged := uint64(0); forged < enough; {
			stop := forger.flood(t, script)
			// The ring has room for the whole flood: whatever holds the scan up, nothing is lost.
			c, totals := scanAll(t, Config{Targets: space(t, "80", prefix), Rate: 6000, Attempts: 2, Timeout: timeout, RingFrames: 1 << 19}, nil)
			sent, rate := stop()
			forged += sent
			wrong := 0
			for i, state := range c.states {
				at := c.space.At(uint64(i))
				if want := stateOf[lab.MixedFate(at)]; state != uint8(want)+1 {
					if wrong++; wrong <= 5 {
						t.Errorf("%v is %v, want %v", at, match.State(state-1), want)
					}
				}
			}
			t.Logf("%d forged answers, %.0f a second, %d wrong verdicts; %+v", sent, rate, wrong, totals)
			if wrong > 0 || totals.RingDrops > 0 {
				t.Errorf("%d wrong verdicts, %d packets lost", wrong, totals.RingDrops)
			}
			if totals.Ignored < sent*9/10 {
				t.Errorf("%d packets ignored of %d forged: does the flood arrive?", totals.Ignored, sent)
			}
		}
	})
}

// forger makes false answers to the SYNs that it has seen last.
type forger struct {
	mu   sync.Mutex
	pool [][]byte
	n    int
}

const forgeries = 1 << 12

// watch makes forgeries of all kinds about a SYN: only the first of many thousand, as they are costly to make.
func (f *forger) watch(p lab.Packet) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n++; f.n%4 != 0 {
		return
	}
	wrongAck, wrongPort, wrongHost, rst := p.SYNACK(), p.SYNACK(), p.SYNACK(), p.PeerRST()
	wrongAck.Ack = rand.Uint32()
	wrongPort.Src = netip.AddrPortFrom(p.Dst.Addr(), p.Dst.Port()+1)
	wrongHost.Src = netip.AddrPortFrom(p.Dst.Addr().Next(), p.Dst.Port())
	rst.Ack += 1 + rand.Uint32N(1<<31)
	near := p.SYNACK()
	near.Ack += 1 + uint32(rand.IntN(3))
	for _, forged := range []lab.Forged{wrongAck, wrongPort, wrongHost, rst, near} {
		f.pool = append(f.pool, forged.Bytes())
	}
	if len(f.pool) > forgeries {
		f.pool = f.pool[len(f.pool)-forgeries:]
	}
}

// flood sends forgeries at 100 000 a second until stop is called, for 10 s at most. Stop says how many there were, and how many a
// second.
func (f *forger) flood(t *testing.T, script *lab.Script) (stop func() (uint64, float64)) {
	const each, burst = ms, 100
	done, count := make(chan struct{}), make(chan uint64, 1)
	began := time.Now()
	over := began.Add(10 * time.Second)
	go func() {
		n := uint64(0)
		defer func() { count <- n }()
		for next := began; next.Before(over); next = next.Add(each) {
			time.Sleep(time.Until(next))
			select {
			case <-done:
				return
			default:
			}
			f.mu.Lock()
			pool := f.pool
			f.mu.Unlock()
			for range min(burst, len(pool)) {
				if err := script.Send(pool[rand.IntN(len(pool))]); err != nil {
					t.Error(err)
				}
				n++
			}
		}
	}()
	return func() (uint64, float64) {
		close(done)
		n := <-count
		return n, float64(n) / min(time.Since(began), over.Sub(began)).Seconds()
	}
}
