//go:build linux && !android

package scan

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/order"
	"github.com/rawshake/rawshake/scan/target"
)

// FuzzExactlyOnce holds scans to their first promise: whatever the targets, the shards, the lanes, the limits and the
// interruptions, every target has exactly one verdict in the records that were kept, and it is the right one. A session may end
// by a signal, which hands over a last Checkpoint, or by a crash, after which only what came before the last Checkpoint is left.
func FuzzExactlyOnce(f *testing.F) {
	for seed := range uint64(48) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		bubble(t, func(t *testing.T) { exactlyOnce(t, rand.New(rand.NewPCG(seed, 1))) })
	})
}

func exactlyOnce(t *testing.T, r *rand.Rand) {
	all := randomSpace(t, r)
	c := randomConfig(r, all)
	w := &world{tweak: randomFaults(r)}
	var kept []engine.Verdict
	shards := 1 + r.Uint64N(4)
	for i := range shards {
		c.Shard = order.Shard{I: i + 1, N: shards}
		kept = append(kept, shard(t, r, c, w)...)
	}
	verdicts := once(t, kept)
	for i := range all.Size() {
		at := all.At(i)
		v, ok := verdicts[at]
		if !ok {
			t.Errorf("%v has no verdict", at)
			continue
		}
		state, reason := fate(at)
		if c.Scope != nil && !c.Scope(at.Addr()) {
			state, reason = match.Unsent, match.OutOfScope
		}
		if w.tweak != nil && v.State == match.Unsent && (v.Reason == match.NoBuffers || v.Reason == match.LossOfOurs) {
			continue // the interface is slow, and it is said so
		}
		if v.State != state || v.Reason != reason {
			t.Errorf("%v is %v (%v), want %v (%v)", at, v.State, v.Reason, state, reason)
		}
	}
	if uint64(len(verdicts)) != all.Size() {
		t.Errorf("%d verdicts on %d targets", len(verdicts), all.Size())
	}
	if t.Failed() {
		t.Logf("%+v", c)
	}
}

// shard scans one shard in as many sessions as it takes.
func shard(t *testing.T, r *rand.Rand, c Config, w *world) []engine.Verdict {
	size := c.Shard.Size(c.Targets.Size())
	var l log
	l.onPoint = func(s State) { consistent(t, c.Targets, &l, s) }
	for session := 0; ; session++ {
		c.Resume = l.state
		s := start(t, c, w)
		var err error
		if session < 12 {
			err = interrupted(t, r, s, &l)
		} else {
			l.onResults = nil
			err = s.Run(t.Context(), &l)
		}
		switch {
		case err == nil:
			l.commit()
			if done := s.Totals().Done(); done != size {
				t.Errorf("shard %v: %d verdicts in Totals, %d targets", c.Shard, done, size)
			}
			wantTotals(t, &l, s.Totals())
			return l.kept
		case errors.Is(err, errCrash):
			l.crash()
		case !errors.Is(err, context.Canceled):
			t.Fatal(err)
		case len(l.tail) > 0:
			t.Errorf("%d verdicts came after the last Checkpoint", len(l.tail))
			l.crash()
		}
	}
}

// interrupted runs a session that asks for checkpoints now and then, and may end at any moment.
func interrupted(t *testing.T, r *rand.Rand, s *Scan, l *log) error {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var crash atomic.Bool
	l.onResults = func() error {
		if crash.Load() {
			return errCrash
		}
		return nil
	}
	if crashAt := l.taken + r.IntN(400); r.IntN(3) == 0 {
		l.onResults = func() error {
			if l.taken >= crashAt {
				return errCrash
			}
			return nil
		}
	}
	gap, end, graceful := time.Duration(1+r.IntN(3000))*ms, time.Duration(r.IntN(20000))*ms, r.IntN(2) == 0
	over := make(chan struct{})
	defer func() { <-over }()
	go func() {
		defer close(over)
		ends := time.After(end)
		for {
			select {
			case <-time.After(gap):
				s.WantCheckpoint()
			case <-ends:
				if graceful {
					cancel()
				} else {
					crash.Store(true)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	err := s.Run(ctx, l)
	cancel()
	return err
}

// consistent checks that a Checkpoint says the same as the records before it.
func consistent(t *testing.T, all *target.Space, l *log, s State) {
	t.Helper()
	var taken, pending uint64
	for _, lane := range s.Lanes {
		taken += lane.Position
		pending += uint64(len(lane.Pending))
	}
	if taken != s.Totals.Done()+pending {
		t.Errorf("%d targets taken, %d pending, %d done", taken, pending, s.Totals.Done())
	}
	waits := map[netip.AddrPort]bool{}
	for _, lane := range s.Lanes {
		for _, i := range lane.Pending {
			p := all.At(i)
			if waits[p] {
				t.Errorf("%v waits twice", p)
			}
			waits[p] = true
		}
	}
	for _, v := range l.kept {
		if waits[v.Target] {
			t.Errorf("%v waits and is %v", v.Target, v.State)
		}
	}
	wantTotals(t, l, s.Totals)
}

// wantTotals checks that the totals are those of the records.
func wantTotals(t *testing.T, l *log, totals Totals) {
	t.Helper()
	var by [match.NumStates]uint64
	for _, v := range l.kept {
		by[v.State]++
	}
	if by != totals.Verdicts {
		t.Errorf("records by state %v, totals %v", by, totals.Verdicts)
	}
}

func randomSpace(t *testing.T, r *rand.Rand) *target.Space {
	ports := []string{"80", "80,443", "1-7", "22,25,80,110,443,8080"}[r.IntN(4)]
	make4 := func() string { return fmt.Sprintf("198.18.%d.%d", r.IntN(4), r.IntN(256)) }
	make6 := func() string { return fmt.Sprintf("2001:db8:1::%x", r.IntN(1<<12)) }
	var texts []string
	for range 1 + r.IntN(6) {
		switch r.IntN(8) {
		case 0:
			texts = append(texts, fmt.Sprintf("%s/%d", make4(), 25+r.IntN(8)))
		case 1:
			texts = append(texts, fmt.Sprintf("%s/%d", make6(), 121+r.IntN(8)))
		case 2:
			texts = append(texts, fmt.Sprintf("198.18.9.%d-%d", r.IntN(100), 100+r.IntN(100)))
		case 3:
			texts = append(texts, fmt.Sprintf("[%s]:%d", make6(), 1+r.IntN(65535)))
		case 4:
			texts = append(texts, fmt.Sprintf("%s:%d-%d", make4(), 1000, 1000+r.IntN(300)))
		case 5:
			texts = append(texts, fmt.Sprintf("%s::%x%%test0", []string{"fe80", "2001:db8:2"}[r.IntN(2)], 1+r.IntN(1000)))
		case 6:
			texts = append(texts, make4())
		default:
			texts = append(texts, make6())
		}
	}
	return space(t, ports, texts...)
}

func randomConfig(r *rand.Rand, all *target.Space) Config {
	c := Config{
		Targets: all, Seed: r.Uint64(), Lanes: 1 + r.IntN(4),
		Rate:        []float64{-1, 0, 37.5, 300, 2000, 100_000}[r.IntN(6)],
		MaxInFlight: []int{0, 4, 50, 1000}[r.IntN(4)],
		Timeout:     []time.Duration{0, 400 * ms, 1500 * ms}[r.IntN(3)],
		Attempts:    r.IntN(4),
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 1 << 14 // tables are made anew for each session
	}
	if r.IntN(3) == 0 {
		c.HostRate = []float64{3, 50, 1000}[r.IntN(3)]
	}
	if r.IntN(3) == 0 {
		c.NetRate = []float64{20, 500}[r.IntN(2)]
	}
	if r.IntN(4) == 0 {
		c.Scope = func(a netip.Addr) bool { b := a.AsSlice(); return b[len(b)-1]%4 != 2 }
	}
	return c
}

// randomFaults makes some wires refuse a packet now and then because buffers are full.
func randomFaults(r *rand.Rand) func(*wiretest.Wire) {
	if r.IntN(3) > 0 {
		return nil
	}
	seed := r.Uint64()
	return func(w *wiretest.Wire) {
		r := rand.New(rand.NewPCG(seed, 2))
		w.SendErr = func([]byte) error {
			if r.IntN(50) == 0 {
				return syscall.ENOBUFS
			}
			return nil
		}
	}
}
