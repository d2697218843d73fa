//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"context"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// TestLabLayer holds what the layer decides: raw IP packets pass this host's OUTPUT firewall, whole frames do not. Behind a gateway
// and on the link the packets are the same; on loopback there is no difference.
func TestLabLayer(t *testing.T) {
	top := lab.Topology{Prefixes: map[string][]netip.Prefix{"peer": {netip.MustParsePrefix("10.128.0.0/16"), netip.MustParsePrefix("fd80::/64")}}}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		peer.Listen(t, 80)
		prober.Nft(t, `chain out { type filter hook output priority 0; tcp dport 80 drop; }`)
		families(t, func(t *testing.T, v6 bool) {
			away := netip.MustParseAddrPort("10.128.7.7:80")
			if v6 {
				away = netip.MustParseAddrPort("[fd80::7]:80")
			}
			wire := peer.Capture(t)
			ip, eth := newProber(t, quick), newProber(t, with(quick, rawshake.LayerEthernet))
			prober.FlushNeighbours(t)
			near := at(peer.Addr(v6), 80)
			for _, target := range []netip.AddrPort{away, near} {
				want(t, probe(t, ip, target), rawshake.Unsent, match.LocalFirewall)
			}
			eventually(t, "frames leave", func() bool { return probe(t, eth, away).State == rawshake.Open })
			want(t, probe(t, eth, near), rawshake.Open, match.SYNACK) // asked for, as the kernel does not know it
			for _, target := range []netip.AddrPort{away, near} {
				wire.Expect(t, target, lab.SYN(), lab.SYNACK(), lab.RST())
			}
			wire.ExpectNothingElse(t)
			dead := netip.AddrPortFrom(nthAddr(near.Addr(), 90), 80)
			want(t, probe(t, eth, dead), rawshake.Unsent, match.Unresolved) // in a second nobody can know
			own := at(prober.Addr(v6), 80)
			want(t, probe(t, eth, own), rawshake.Unsent, match.LocalFirewall)

			results := 0
			for r, err := range eth.ProbeAll(context.Background(), func(yield func(netip.AddrPort) bool) {
				for a := away.Addr(); a.Less(nthAddr(away.Addr(), 500)); a = a.Next() {
					if !yield(netip.AddrPortFrom(a, 80)) {
						return
					}
				}
			}) {
				if results++; err != nil || r.State != rawshake.Open {
					t.Fatalf("%v is %v, %v, error %v", r.Target, r.State, r.Reason, err)
				}
			}
			if results != 500 {
				t.Errorf("%d results", results)
			}
		})
	})
}

// TestLabLayerForgets has interfaces come and go, as those of containers do: sockets of those that are gone are closed.
func TestLabLayerForgets(t *testing.T) {
	t.Parallel()
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		runtime.GOMAXPROCS(1) // one desk
		p := newProber(t, with(rawshake.Config{Timeout: 100 * time.Millisecond}, rawshake.LayerEthernet))
		dead := netip.MustParseAddrPort("10.200.0.2:80")
		var open [4]int
		for i := range open {
			operate(t, n.Prober(), "add pod 10.200.0.1/24")
			eventually(t, "a way", func() bool { return probe(t, p, dead).Reason == match.Unresolved })
			operate(t, n.Prober(), "delete pod")
			eventually(t, "no way", func() bool { return probe(t, p, dead).Reason != match.Unresolved })
			files, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			open[i] = len(files)
		}
		if open[1] != open[3] {
			t.Errorf("descriptors: %v", open)
		}
	})
}

// with is c with a layer.
func with(c rawshake.Config, l rawshake.Layer) rawshake.Config {
	c.Layer = l
	return c
}

func nthAddr(a netip.Addr, n int) netip.Addr {
	for range n {
		a = a.Next()
	}
	return a
}

func TestLayerOfConfig(t *testing.T) {
	for _, c := range []struct {
		config rawshake.Config
		want   string
	}{
		{rawshake.Config{Layer: 9}, "Config.Layer is Layer(9): want LayerIP or LayerEthernet"},
		{rawshake.Config{Layer: rawshake.LayerEthernet, Mark: 7}, "whole frames are not routed by their mark; use LayerIP"},
		{rawshake.Config{Layer: rawshake.LayerEthernet, Method: rawshake.MethodConnect}, "Config.Layer: the packets of method connect are the kernel's"},
	} {
		p, err := rawshake.New(c.config)
		if err == nil {
			p.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	for l, name := range map[rawshake.Layer]string{rawshake.LayerDefault: "default", rawshake.LayerIP: "ip", rawshake.LayerEthernet: "ethernet"} {
		if l.String() != name {
			t.Errorf("%v, want %s", l, name)
		}
	}
}
