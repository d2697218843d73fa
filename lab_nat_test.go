//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// TestLabOutputDNAT has this host's own firewall send SYNs elsewhere, as kube-proxy and published container ports do: the
// verdict on the address that was asked is net.Dial's.
func TestLabOutputDNAT(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		// Service addresses lie behind the peer, which is not asked for them. Port 80 is open there and here, 81 closed, 82
		// silent, 83 refused with an ICMP error.
		services := map[bool]netip.Addr{false: netip.MustParseAddr("10.99.0.1"), true: netip.MustParseAddr("fd99::1")}
		peer.Listen(t, 80)
		prober.Listen(t, 80)
		peer.Drop(t, 82)
		peer.Reject(t, 83, lab.AdminProhibited)
		peer.Reject(t, 83, lab.AdminProhibited6)
		for _, service := range services {
			prober.AddRoute(t, lab.Route{To: netip.PrefixFrom(service, service.BitLen()), Via: peer.Addr(service.Is6())})
		}
		// The source is chosen for the service's route before translation, so what goes to this host itself keeps it.
		prober.Nft(t, `chain nat { type nat hook output priority -100;
			ip daddr 10.99.0.1 tcp dport 80-83 dnat ip to 10.77.1.2
			ip6 daddr fd99::1 tcp dport 80-83 dnat ip6 to fd77:0:0:1::2
			ip daddr 10.99.0.1 tcp dport 1080 dnat ip to 10.77.1.2:80
			ip6 daddr fd99::1 tcp dport 1080 dnat ip6 to [fd77:0:0:1::2]:80
			ip daddr 10.77.1.2 tcp dport 1081 dnat ip to 10.77.1.2:81
			ip6 daddr fd77:0:0:1::2 tcp dport 1081 dnat ip6 to [fd77:0:0:1::2]:81
			tcp dport 2080 redirect to :80
			tcp dport 2081 redirect to :81
		}`)
		ttls(t, func(t *testing.T, ttl uint8) {
			setTTL(t, ttl, prober, peer)
			families(t, func(t *testing.T, v6 bool) {
				cases := []struct {
					name   string
					target netip.AddrPort
					state  rawshake.State
					reason rawshake.Reason
				}{
					{"not translated", at(peer.Addr(v6), 80), rawshake.Open, match.SYNACK},
					{"open", at(services[v6], 80), rawshake.Open, match.SYNACK},
					{"closed", at(services[v6], 81), rawshake.Closed, match.RST},
					{"silent", at(services[v6], 82), rawshake.Filtered, match.Timeout},
					{"refused by ICMP", at(services[v6], 83), rawshake.Unreachable, match.AdminProhibited},
					{"open at another port", at(services[v6], 1080), rawshake.Open, match.SYNACK},
					{"closed at another port of the same address", at(peer.Addr(v6), 1081), rawshake.Closed, match.RST},
					{"open on this host", at(services[v6], 2080), rawshake.Open, match.SYNACK},
					{"closed on this host", at(services[v6], 2081), rawshake.Closed, match.RST},
					{"own address, another port", at(prober.Addr(v6), 2080), rawshake.Open, match.SYNACK},
				}
				config := quick
				config.MaxInFlight = 1000 // few enough for one shard: each finds out for itself that there is translation
				p := newProber(t, config)
				for _, c := range cases {
					t.Run(c.name, func(t *testing.T) {
						r := want(t, probe(t, p, c.target), c.state, c.reason)
						// connect(2) forgets an ICMPv6 error that arrives while it still holds its socket, as on a veth pair.
						state := stateOf(dialAll(t.Context(), c.target)[c.target])
						if forgets := v6 && r.State == rawshake.Unreachable && state == rawshake.Filtered; state != r.State && !forgets {
							t.Errorf("net.Dial: %v", state)
						}
					})
				}
				t.Run("once known", func(t *testing.T) {
					wire := peer.Capture(t)
					for _, c := range cases {
						if r := want(t, probe(t, p, c.target), c.state, c.reason); r.Attempt != 0 && r.State != rawshake.Filtered {
							t.Errorf("%s: attempt %d", c.name, r.Attempt)
						}
					}
					exchange := []lab.Step{lab.SYN(), lab.SYNACK(), lab.RST()}
					wire.Expect(t, at(peer.Addr(v6), 80), slices.Concat(exchange, exchange, exchange)...)
				})
				t.Run("at once", func(t *testing.T) {
					var targets []netip.AddrPort
					for _, c := range cases {
						targets = append(targets, c.target)
					}
					results := probeAll(t, newProber(t, quick), targets...)
					for _, c := range cases {
						want(t, results[c.target], c.state, c.reason)
					}
				})
			})
		})
	})
}
