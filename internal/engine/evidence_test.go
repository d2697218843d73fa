//go:build linux && !android

package engine_test

import (
	"bytes"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// A verdict carries what the answer carried, and the time at which it arrived.
func TestEvidence(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		w := wiretest.New(syns(func(syn wiretest.Segment) []wiretest.Packet {
			return []wiretest.Packet{after(20*ms, changed(syn.SYNACK(), func(s *wiretest.Segment) { s.TTL, s.Window, s.MSS = 57, 4321, 1300 }))}
		}))
		f := open(t, w, nil)
		began := time.Now()
		v := probe(t, f, target, time.Second)
		if v.TTL != 57 || v.Window != 4321 || craft.ParseOptions(v.Options()).MSS != 1300 || v.Errno != 0 || v.Responder.IsValid() {
			t.Errorf("TTL %d, window %d, options %x, errno %v, responder %v", v.TTL, v.Window, v.Options(), v.Errno, v.Responder)
		}
		if d := v.When().Sub(began); d != 20*ms {
			t.Errorf("time of the verdict %v after the start", d)
		}
		w = wiretest.New(wiretest.Silent)
		v = probe(t, open(t, w, nil), target, time.Second)
		if v.TTL != 0 || v.Window != 0 || len(v.Options()) != 0 || v.RTT != 0 {
			t.Errorf("silence carries TTL %d, window %d, options %x, RTT %v", v.TTL, v.Window, v.Options(), v.RTT)
		}
		if d := v.When().Sub(began); d != 1020*ms {
			t.Errorf("time of the verdict %v after the start", d)
		}
	})
}

// A tracer sees every packet of ours, out and in, in order, and nothing else.
func TestTrace(t *testing.T) {
	families(t, func(t *testing.T, target netip.AddrPort) {
		var got []string
		var out [][]byte
		w := wiretest.New(wiretest.LoseFirst(1, wiretest.Delay(10*ms, wiretest.Open)))
		began := time.Now()
		f := open(t, w, func(c *engine.Config) {
			c.Trace = func(at time.Time, sent bool, data []byte) {
				words := strings.Fields(craft.Describe(data))
				got = append(got, at.Sub(began).String()+" "+map[bool]string{true: "out", false: "in"}[sent]+" "+words[3])
				if sent {
					out = append(out, bytes.Clone(data))
				}
			}
		})
		w.Inject([]byte("noise"))
		check(t, probe(t, f, target, 4*time.Second), match.Open, match.SYNACK, 1, 10*ms)
		synctest.Wait()
		if want := "0s out SYN, 1s out SYN, 1.01s in SYN-ACK, 1.01s out RST"; strings.Join(got, ", ") != want {
			t.Errorf("traced %v, want %v", strings.Join(got, ", "), want)
		}
		for i, p := range w.Sent() {
			if !bytes.Equal(p.Data, out[i]) {
				t.Errorf("packet %d was %x, traced as %x", i, p.Data, out[i])
			}
		}
	})
}

// A target keeps its zone, and is reset, late answers too, though packets do not name one.
func TestZone(t *testing.T) {
	for _, target := range []string{"[fe80::7%test0]:443", "[2001:db8::7%test0]:443"} {
		synctest.Test(t, func(t *testing.T) {
			w := wiretest.New(wiretest.Duplicate(1, time.Second, wiretest.Delay(10*ms, wiretest.Open)))
			f := open(t, w, nil)
			target := netip.MustParseAddrPort(target)
			v := probe(t, f, target, time.Second)
			check(t, v, match.Open, match.SYNACK, 0, 10*ms)
			if v.Target != target {
				t.Errorf("target %v", v.Target)
			}
			time.Sleep(2 * time.Second)
			wantSent(t, w, 1, 2)
		})
	}
}

func TestConfigErrors(t *testing.T) {
	for _, cfg := range []engine.Config{
		{Limit: 1},
		{Limit: 1, Ports: make([]uint16, match.MaxPorts+1)},
		{Ports: []uint16{1}},
		{Ports: []uint16{1}, Limit: match.MaxSlots + 1},
	} {
		if f, err := engine.NewFront([]engine.Config{cfg}, []engine.Wire{wiretest.New(wiretest.Silent)}); err == nil {
			f.Close()
			t.Errorf("%d ports and a limit of %d are accepted", len(cfg.Ports), cfg.Limit)
		}
	}
}

// Targets names what is pending.
func TestTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlay(t, []byte{1, 1, 1, 1, 1})
		for i, target := range cast {
			p.shard.Submit(target, uint32(i), 0, time.Second, false)
		}
		seen := map[netip.AddrPort]bool{}
		p.shard.Targets(func(target netip.AddrPort) { seen[target] = true })
		for _, target := range cast {
			if !seen[target] {
				t.Errorf("%v is missing", target)
			}
		}
		if len(seen) != len(cast) || p.shard.Now() != 0 {
			t.Errorf("%d targets at %v", len(seen), p.shard.Now())
		}
	})
}

// The source in a verdict is where the last SYN has left from, also when another was to follow and could not.
func TestSourceOfLastAttempt(t *testing.T) {
	for name, spoil := range map[string]func(w *wiretest.Wire, when *atomic.Bool){
		"neighbour unknown": func(w *wiretest.Wire, when *atomic.Bool) {
			w.Hop = func(netip.Addr) engine.Neighbour {
				if when.Load() {
					return engine.NeighbourUnknown
				}
				return engine.NeighbourKnown
			}
		},
		"no buffers": func(w *wiretest.Wire, when *atomic.Bool) {
			w.SendErr = func([]byte) error {
				if when.Load() {
					return syscall.ENOBUFS
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			families(t, func(t *testing.T, target netip.AddrPort) {
				for more := time.Duration(0); more < 5*ms; more += ms { // each try takes another port
					w := wiretest.New(wiretest.Silent)
					w.OnLink, w.Asks = true, true
					var spoilt atomic.Bool
					spoil(w, &spoilt)
					p := start(t.Context(), open(t, w, nil), target, 1010*ms+more)
					synctest.Wait()
					spoilt.Store(true)
					<-p.done
					if syns := wireOf(w); p.err != nil || len(syns) != 1 || p.v.Source != syns[0].From {
						t.Errorf("%v %v from %v, error %v; on the wire %+v", p.v.State, p.v.Reason, p.v.Source, p.err, syns)
					}
				}
			})
		})
	}
}
