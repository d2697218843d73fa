//go:build linux && !android

package lab_test

import (
	"net/netip"
	"testing"

	"github.com/rawshake/rawshake/internal/lab"
)

// TestLabTunnels has the kernel connect to what a function answers behind a tun and behind a tap device; while nobody reads, it is silent.
func TestLabTunnels(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober := n.Prober()
		answer := func(p lab.Packet) []lab.Answer {
			if p.Flags() != "S" {
				return nil
			}
			return lab.Now(p.SYNACK())
		}
		tun, tap := prober.Tun(t, "tun0", answer), prober.Tap(t, "tap0", answer)
		both(t, func(t *testing.T, v6 bool) {
			own, behind := [...]string{"10.90.0.1/24", "10.91.0.1/24"}, [...]string{"10.90.0.2", "10.91.0.2"}
			if v6 {
				own, behind = [...]string{"fd90::1/64", "fd91::1/64"}, [...]string{"fd90::2", "fd91::2"}
			}
			for i, d := range []*lab.Tunnel{tun, tap} {
				prober.AddAddress(t, d.Name, netip.MustParsePrefix(own[i]))
				at := netip.AddrPortFrom(netip.MustParseAddr(behind[i]), 80)
				if d == tap {
					prober.AddNeighbour(t, d.Name, at.Addr(), prober.Interfaces[0].NeighbourMAC)
				}
				wire := d.Capture(t)
				if err := dial(at); err != nil {
					t.Errorf("%s: %v", d.Name, err)
				}
				wire.Expect(t, at, lab.Sent("S"), lab.SYNACK(), lab.Sent("."), lab.Sent("R."))
				release := d.Hold()
				if err := dial(at); !timedOut(err) {
					t.Errorf("%s, while nobody reads: %v", d.Name, err)
				}
				release()
			}
		})
	})
}
