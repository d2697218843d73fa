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

// TestLabParity holds that both methods give the same states, in the same fields, on the same targets, but for what connect(2)
// cannot know.
func TestLabParity(t *testing.T) {
	t.Parallel()                                 // it mostly waits
	icmp := []uint8{0, 1, 2, 13, 3}              // codes of type 3 by port
	icmp6 := []uint8{0, 3, 1, 1, 4}              // codes of type 1 that mean about the same
	portUnreachable, timeout := 4, 4*time.Second // the last one is ECONNREFUSED to connect(2)
	top := lab.Topology{Links: []lab.Link{{A: "prober", B: "peer"}, {A: "prober", B: "refuser"}}}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		prober, peer, refuser := n.Prober(), n.Host("peer"), n.Host("refuser")
		peer.Listen(t, 80)
		prober.Listen(t, 80)
		prober.Listen(t, 85)
		peer.Drop(t, 82)
		peer.Reject(t, 83, lab.TCPReset)
		prober.Nft(t, "chain out { type filter hook output priority 0; tcp dport 84 drop; }")
		prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix("10.201.0.0/16"), Type: "unreachable"})
		prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix("fd99:1::/32"), Type: "prohibit"})
		refuser.Script(t, func(p lab.Packet) []lab.Answer {
			if !isSYN(p) || int(p.Dst.Port()) >= len(icmp) {
				return nil
			}
			e := p.Error(p.Dst.Addr(), 3, icmp[p.Dst.Port()%8])
			if p.Dst.Addr().Is6() {
				e.Type, e.Code = 1, icmp6[p.Dst.Port()%8]
			}
			return lab.After(5*time.Millisecond, e)
		})

		type row struct {
			target  netip.AddrPort
			raw     rawshake.State
			connect rawshake.State
		}
		var table []row
		same := func(state rawshake.State, targets ...netip.AddrPort) {
			for _, target := range targets {
				table = append(table, row{target, state, state})
			}
		}
		asked := map[netip.AddrPort]netip.AddrPort{} // as which address, if not the target's own
		for _, v6 := range []bool{false, true} {
			loopback := map[bool]netip.Addr{false: netip.MustParseAddr("127.0.0.1"), true: netip.IPv6Loopback()}[v6]
			peer, own := peer.Addr(v6), prober.Addr(v6)
			same(rawshake.Open, at(peer, 80), at(own, 80), at(loopback, 80))
			same(rawshake.Closed, at(peer, 81), at(own, 81), at(loopback, 81), at(peer, 83))
			same(rawshake.Filtered, at(peer, 82))
			unspecified := map[bool]netip.Addr{false: netip.IPv4Unspecified(), true: netip.IPv6Unspecified()}[v6]
			for port, state := range map[uint16]rawshake.State{85: rawshake.Open, 86: rawshake.Closed} {
				same(state, at(loopback, port))
				asked[at(loopback, port)] = at(unspecified, port)
			}
			table = append(table, row{at(peer, 84), rawshake.Unsent, rawshake.Filtered}) // the firewall is silent to connect(2)
			for i := range icmp {
				state := rawshake.Unreachable
				if i == portUnreachable {
					state = rawshake.Closed
				}
				table = append(table, row{at(refuser.Addr(v6), uint16(i)), rawshake.Unreachable, state})
			}
		}
		same(rawshake.Unsent, netip.AddrPort{})
		link := peer.Interfaces[0].LinkLocal.WithZone("eth0")
		same(rawshake.Open, at(link, 80))
		same(rawshake.Closed, at(link, 81))
		same(rawshake.Unreachable, netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddrPort("10.201.0.1:80"),
			netip.MustParseAddrPort("[fd99:1::1]:80"), netip.MustParseAddrPort("[2001:db8::1]:80"), at(dead4, 80), at(dead6, 80))

		var targets []netip.AddrPort
		for _, r := range table {
			if as, other := asked[r.target]; other {
				r.target = as
			}
			targets = append(targets, r.target)
		}
		results := map[rawshake.Method]map[netip.AddrPort]rawshake.Result{}
		for _, method := range []rawshake.Method{rawshake.MethodRaw, rawshake.MethodConnect} {
			results[method] = probeAll(t, newProber(t, rawshake.Config{Method: method, Timeout: timeout}), targets...)
		}
		for _, row := range table {
			raw, connect := results[rawshake.MethodRaw][row.target], results[rawshake.MethodConnect][row.target]
			if raw.State != row.raw || connect.State != row.connect || raw.Method != rawshake.MethodRaw || connect.Method != rawshake.MethodConnect {
				t.Errorf("%v is %v, %v; to connect %v, %v, %v", row.target, raw.State, raw.Reason, connect.State, connect.Reason, connect.Err)
			}
			if row.raw == row.connect && raw.Err != connect.Err {
				t.Errorf("%v: error %v, of connect %v", row.target, raw.Err, connect.Err)
			}
			reasons := []rawshake.Reason{raw.Reason, connect.Reason}
			if row.raw == row.connect && raw.Reason != connect.Reason && !slices.Contains(coarse, reasons[1]) {
				t.Errorf("%v: reason %v, of connect %v", row.target, raw.Reason, connect.Reason)
			}
			if raw.State == rawshake.Filtered && raw.RTT != 0 || connect.State == rawshake.Filtered && connect.RTT != 0 {
				t.Errorf("%v: RTT %v, of connect %v, without an answer", row.target, raw.RTT, connect.RTT)
			}
		}
	})
}

// coarse are the reasons that connect(2) gives for others too: one errno stands for several ICMP errors, routes, and neighbours.
var coarse = []rawshake.Reason{match.NetUnreachable, match.HostUnreachable, match.AdminProhibited, match.RST}
