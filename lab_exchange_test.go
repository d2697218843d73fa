//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// TestLabExchange holds every packet between the prober and open, closed and silent ports, at each kind of place: exactly
// these, and so nothing from the prober's kernel.
func TestLabExchange(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		places := []struct {
			name  string
			host  *lab.Host
			addr  netip.Addr
			where string
		}{
			{"veth v4", peer, peer.V4, "eth0"},
			{"veth v6", peer, peer.V6, "eth0"},
			{"link-local", peer, peer.Interfaces[0].LinkLocal.WithZone("eth0"), "eth0"},
			{"loopback v4", prober, netip.MustParseAddr("127.0.0.1"), "lo"},
			{"loopback v4, another address", prober, netip.MustParseAddr("127.7.7.7"), "lo"},
			{"loopback v6", prober, netip.IPv6Loopback(), "lo"},
			{"own v4", prober, prober.V4, "lo"},
			{"own v6", prober, prober.V6, "lo"},
			{"own link-local", prober, prober.Interfaces[0].LinkLocal.WithZone("eth0"), "lo"},
		}
		p := newProber(t, quick)
		ttls(t, func(t *testing.T, ttl uint8) {
			setTTL(t, ttl, prober, peer)
			for _, place := range places {
				t.Run(place.name, func(t *testing.T) {
					exchange(t, p, place.host, place.addr, place.host.CaptureOn(t, place.where), ttl)
				})
			}
		})
	})
}

// exchange probes an open, a closed and a silent port of a host.
func exchange(t *testing.T, p *rawshake.Prober, host *lab.Host, addr netip.Addr, wire *lab.Capture, ttl uint8) {
	open, closed, silent := at(addr, 80), at(addr, 81), at(addr, 82)
	listener := host.Listen(t, 80)
	host.Drop(t, 82)
	silence := make(chan rawshake.Result, 1)
	go func() {
		r, err := p.Probe(t.Context(), silent)
		if err != nil {
			t.Error(err)
		}
		silence <- r
	}()

	r := want(t, probe(t, p, open), rawshake.Open, match.SYNACK)
	if r.Reply.TTL != ttl || r.Reply.MSS == 0 || r.Reply.Window == 0 || !plausible(r.RTT) || r.Err != nil {
		t.Errorf("open: reply %+v, RTT %v, error %v", r.Reply, r.RTT, r.Err)
	}
	packets := wire.Expect(t, open, lab.SYN(), lab.SYNACK(), lab.RST())
	if len(packets) > 0 && r.Source.Port() != packets[0].Src.Port() || r.Source.Addr().WithZone("") != packets[0].Src.Addr() {
		t.Errorf("source %v, on the wire %v", r.Source, packets[0].Src)
	}

	r = want(t, probe(t, p, closed), rawshake.Closed, match.RST)
	if r.Reply.TTL != ttl || !plausible(r.RTT) {
		t.Errorf("closed: reply %+v, RTT %v", r.Reply, r.RTT)
	}
	wire.Expect(t, closed, lab.SYN(), lab.PeerRST())

	r = want(t, <-silence, rawshake.Filtered, match.Timeout)
	if r.Attempt != 2 || r.RTT != 0 || r.Err != nil {
		t.Errorf("silent: attempt %d, RTT %v, error %v", r.Attempt, r.RTT, r.Err)
	}
	checkSchedule(t, wire.Expect(t, silent, lab.SYN(), lab.SYN(), lab.SYN()))

	wire.ExpectNothingElse(t)
	if n := listener.Accepted(); n != 0 {
		t.Errorf("accept returned %d times", n)
	}
}

// checkSchedule holds that SYNs left when the schedule says, each from a port and with an ISN of its own.
func checkSchedule(t *testing.T, syns []lab.Packet) {
	t.Helper()
	var ports []uint16
	var isns []uint32
	for i, p := range syns {
		late := p.Time.Sub(syns[0].Time) - quick.Schedule[i]
		if late < -2*time.Millisecond || late > 150*time.Millisecond {
			t.Errorf("attempt %d is %v late", i, late)
		}
		if slices.Contains(ports, p.Src.Port()) || slices.Contains(isns, p.TCP.Seq) {
			t.Errorf("attempt %d repeats port %d or ISN %d", i, p.Src.Port(), p.TCP.Seq)
		}
		ports, isns = append(ports, p.Src.Port()), append(isns, p.TCP.Seq)
	}
}
