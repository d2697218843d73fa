//go:build linux && !android

package engine_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/lab"
)

// That the kernel has given a neighbour up, perhaps long ago, is nothing to who asks himself, for as long as it does not fail him, too: else a
// host that lives again, and is silent, would be unreachable as soon as its answer is old.
func TestLabNeighbourThatTheKernelGaveUp(t *testing.T) {
	t.Parallel()
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		k, err := engine.OpenKernel(engine.KernelConfig{Link: true, Bulk: true, NumPorts: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		nobody := []netip.Addr{netip.MustParseAddr("10.77.1.99"), netip.MustParseAddr("fd77:0:0:1::99")}
		for _, a := range nobody {
			udp, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 9)))
			if err != nil {
				t.Fatal(err)
			}
			defer udp.Close()
			if _, err := udp.Write(nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(4 * time.Second)
		for _, a := range nobody {
			p, err := k.Path(a)
			if err != nil {
				t.Fatal(err)
			}
			if state := k.Neighbour(p, a); state != engine.NeighbourKnown {
				t.Errorf("%v is %v, and was not asked", a, state)
			}
			state := engine.NeighbourUnknown
			for end := time.Now().Add(4 * time.Second); state != engine.NeighbourFailed && time.Now().Before(end); time.Sleep(10 * ms) {
				state, _ = k.Inquire(p, a)
			}
			if known := k.Neighbour(p, a); state != engine.NeighbourFailed || known != state {
				t.Errorf("%v is %v to who asks, %v to who has asked", a, state, known)
			}
		}
	})
}
