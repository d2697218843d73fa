//go:build linux && !android

package engine_test

import (
	"context"
	"encoding/binary"
	"iter"
	"net/netip"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/match"
)

// echo is a wire to targets that are all open, which allocates nothing: it turns each SYN into its SYN-ACK. With slow the answers
// are there only after the engine's goroutine has waited for packets, so that callers park.
type echo struct {
	slow  bool
	paths [2]engine.Path

	frames  [engine.BatchSize][craft.FrameSize]byte
	lengths [engine.BatchSize]int

	ring    [1 << 12][craft.FrameSize]byte
	sizes   [1 << 12]int
	got     int64        // answers that were fetched
	made    atomic.Int64 // answers there are
	ripe    atomic.Int64 // answers that may be fetched
	arrival engine.Arrival

	timer   *time.Timer
	wake    chan struct{}
	arrived chan struct{}
}

func newEcho(slow bool) *echo {
	e := &echo{slow: slow, wake: make(chan struct{}, 1), arrived: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	e.paths[0] = engine.Path{Source: netip.MustParseAddr("192.0.2.1")}
	e.paths[1] = engine.Path{Source: netip.MustParseAddr("2001:db8::1")}
	return e
}

func (e *echo) Path(dst netip.Addr) (*engine.Path, error) {
	if dst.Is4() {
		return &e.paths[0], nil
	}
	return &e.paths[1], nil
}

func (e *echo) Senders() []engine.Sender                            { return []engine.Sender{e} }
func (e *echo) Frame(i int) []byte                                  { return e.frames[i][:] }
func (e *echo) Set(i, n int, _ netip.Addr, _ *engine.Path)          { e.lengths[i] = n }
func (e *echo) Drops() uint64                                       { return 0 }
func (e *echo) Neighbour(*engine.Path, netip.Addr) engine.Neighbour { return engine.NeighbourKnown }
func (e *echo) Inquire(*engine.Path, netip.Addr) (engine.Neighbour, bool) {
	return engine.NeighbourKnown, false
}
func (e *echo) Missing(netip.Addr, *engine.Path) (error, bool) { return nil, true }
func (e *echo) LinkUp(*engine.Path) bool                       { return true }
func (e *echo) Confirm() error                                 { return syscall.ENOTSUP }
func (e *echo) Close() error                                   { return nil }
func (e *echo) Wake()                                          { token(e.wake) }

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (e *echo) Send(from, to int) (int, error) {
	for i := from; i < to; i++ {
		e.answer(e.frames[i][craft.Headroom:][:e.lengths[i]])
	}
	if !e.slow {
		e.ripe.Store(e.made.Load())
	}
	token(e.arrived)
	return to - from, nil
}

// answer swaps addresses and ports, acknowledges, and leaves the checksums as they are: a ring may say that they are unfinished.
func (e *echo) answer(pkt []byte) {
	header, addr, size := 20, 12, 4
	if pkt[0]>>4 == 6 {
		header, addr, size = 40, 8, 16
	}
	if pkt[header+13]&craft.FlagRST != 0 {
		return
	}
	i := e.made.Load() % int64(len(e.ring))
	b := e.ring[i][:len(pkt)]
	e.sizes[i] = copy(b, pkt)
	copy(b[addr:], pkt[addr+size:addr+2*size])
	copy(b[addr+size:], pkt[addr:addr+size])
	copy(b[header:], pkt[header+2:header+4])
	copy(b[header+2:], pkt[header:header+2])
	binary.BigEndian.PutUint32(b[header+8:], binary.BigEndian.Uint32(pkt[header+4:])+1)
	b[header+13] |= craft.FlagACK
	e.made.Add(1)
}

func (e *echo) Receive(max int, fn func(*engine.Arrival)) (n int) {
	for ; n < max && e.got < e.ripe.Load(); n++ {
		i := e.got % int64(len(e.ring))
		e.got++
		e.arrival = engine.Arrival{Data: e.ring[i][:e.sizes[i]], Time: time.Now().UnixNano()}
		fn(&e.arrival)
	}
	return n
}

func (e *echo) Wait(d time.Duration, packets bool) {
	var timeout <-chan time.Time
	if d >= 0 {
		e.timer.Reset(d)
		timeout = e.timer.C
	}
	arrived := e.arrived
	if !packets {
		arrived = nil
	}
	select {
	case <-timeout:
	case <-e.wake:
	case <-arrived:
		e.ripe.Store(e.made.Load())
	}
}

func newEchoFront(tb testing.TB, slow bool) *engine.Front {
	tb.Helper()
	plan, err := match.NewPlan(nil, 0)
	if err != nil {
		tb.Fatal(err)
	}
	var ports []uint16
	for i := range uint16(match.MaxPorts) {
		ports = append(ports, 40000+i)
	}
	cfg := engine.Config{Plan: plan, Ports: ports, Limit: 1 << 20}
	f, err := engine.NewFront([]engine.Config{cfg}, []engine.Wire{newEcho(slow)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	return f
}

// A probe allocates nothing once the engine is warm, whether its caller parks or not.
func TestProbeAllocatesNothing(t *testing.T) {
	for name, slow := range map[string]bool{"at once": false, "parked": true} {
		for _, target := range []netip.AddrPort{target4, target6} {
			t.Run(name+" "+target.Addr().String(), func(t *testing.T) {
				f := newEchoFront(t, slow)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				open := 0
				use := func(v *engine.Verdict) {
					if v.State == match.Open {
						open++
					}
				}
				one := func() {
					if err := f.Probe(ctx, target, 3*time.Second, use); err != nil {
						t.Error(err)
					}
				}
				for range 1000 {
					one()
				}
				if n := testing.AllocsPerRun(500, one); n >= 1 {
					t.Errorf("%v allocations a probe", n)
				}
				if open != 1501 {
					t.Errorf("%d of 1501 open", open)
				}
			})
		}
	}
}

// Nothing is left of a Front after Close, whatever was pending.
func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 30 {
		f := newEchoFront(t, true)
		for i := range 5 {
			go f.Probe(t.Context(), nth(target4, i), time.Hour, func(*engine.Verdict) {})
			go func() {
				pulled := 0
				for range f.All(t.Context(), endless(nth(target6, i), &pulled), time.Hour, 100) {
				}
			}()
		}
		time.Sleep(time.Millisecond)
		f.Close()
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, before %d:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

func BenchmarkProbe(b *testing.B) {
	for name, slow := range map[string]bool{"at once": false, "parked": true} {
		b.Run(name, func(b *testing.B) {
			f := newEchoFront(b, slow)
			b.ReportAllocs()
			for b.Loop() {
				f.Probe(b.Context(), target4, time.Second, func(*engine.Verdict) {})
			}
		})
	}
}

// BenchmarkOneTarget has many callers ask one target, which has fewer ports for them.
func BenchmarkOneTarget(b *testing.B) {
	f := newEchoFront(b, false)
	b.SetParallelism(512)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			f.Probe(b.Context(), target4, 4*time.Second, func(v *engine.Verdict) {
				if v.State != match.Open {
					b.Errorf("%v %v", v.State, v.Reason)
				}
			})
		}
	})
}

func BenchmarkStream(b *testing.B) {
	f := newEchoFront(b, false)
	var targets iter.Seq[netip.AddrPort] = func(yield func(netip.AddrPort) bool) {
		for i := 0; ; i++ {
			if !yield(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 443)) {
				return
			}
		}
	}
	b.ReportAllocs()
	n := 0
	for range f.All(b.Context(), targets, 4*time.Second, 1<<16) {
		if n++; n == b.N {
			break
		}
	}
}
