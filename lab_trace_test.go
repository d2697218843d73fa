//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"bytes"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// TestLabTrace holds that Config.Trace shows each packet of an exchange once, in order, as the target's host saw it.
func TestLabTrace(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		families(t, func(t *testing.T, v6 bool) {
			var mu sync.Mutex
			var traced []rawshake.TracePacket
			config := quick
			config.Trace = func(p rawshake.TracePacket) {
				mu.Lock()
				defer mu.Unlock()
				p.Data = slices.Clone(p.Data)
				traced = append(traced, p)
			}
			p, wire, target := newProber(t, config), peer.Capture(t), at(peer.Addr(v6), 80)
			r := want(t, probe(t, p, target), rawshake.Open, match.SYNACK)
			seen := wire.Expect(t, target, lab.SYN(), lab.SYNACK(), lab.RST())
			mu.Lock()
			defer mu.Unlock()
			if len(traced) != len(seen) {
				t.Fatalf("%d packets traced, %d seen", len(traced), len(seen))
			}
			for i, p := range traced {
				if p.Out == seen[i].Out { // what the prober sent, the peer received
					t.Errorf("packet %d: out is %t", i, p.Out)
				}
				if !bytes.Equal(plainHeader(p.Data), plainHeader(seen[i].Data)) {
					t.Errorf("packet %d traced as % x, seen as % x", i, p.Data, seen[i].Data)
				}
				if d := p.Time.Sub(seen[i].Time).Abs(); d > 5*time.Millisecond {
					t.Errorf("packet %d: %v apart", i, d)
				}
			}
			if rtt := traced[1].Time.Sub(traced[0].Time); r.RTT != 0 && (rtt-r.RTT).Abs() > time.Millisecond {
				t.Errorf("RTT %v, traced %v", r.RTT, rtt)
			}
		})
	})
}

// plainHeader clears what the kernel sets in the IPv4 header of a raw socket's packet: identification and checksum (raw(7)).
func plainHeader(packet []byte) []byte {
	p := slices.Clone(packet)
	if p[0]>>4 == 4 {
		clear(p[4:6])
		clear(p[10:12])
	}
	return p
}

// TestLabRate holds the wire to Config.Rate, resets included.
func TestLabRate(t *testing.T) {
	const rate, count = 1000, 200 // a SYN and a RST each: 400 ms
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Respond(t, lab.Responder{})
		p, wire := newProber(t, rawshake.Config{Rate: rate, Timeout: 5 * time.Second}), peer.Capture(t)
		targets := block("10.77.1.2/24", 1, 1)
		for port := uint16(2); len(targets) < count; port++ {
			targets = append(targets, at(peer.Addr(port%2 == 0), port))
		}
		for _, r := range probeAll(t, p, targets...) {
			want(t, r, rawshake.Open, match.SYNACK)
		}
		wire.Wait(t, time.Second, func(all []lab.Packet) bool { return len(all) == 3*count })
		var sent []time.Time
		for _, p := range wire.Packets(t) {
			if !p.Out {
				sent = append(sent, p.Time)
			}
		}
		took := sent[len(sent)-1].Sub(sent[0])
		if least := time.Duration(len(sent)-1) * time.Second / rate; len(sent) != 2*count || took < least*95/100 || took > least*3 {
			t.Errorf("%d packets in %v, want %d in %v", len(sent), took, 2*count, least)
		}
	})
}
