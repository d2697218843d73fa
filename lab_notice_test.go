//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
)

// TestLabWhatTheTargetCounts holds what docs/capabilities.md says of a target: each check of an open port is a failed attempt and an
// embryonic reset there, of a closed one a reset sent, and nothing else.
func TestLabWhatTheTargetCounts(t *testing.T) {
	const checks = 100
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		families(t, func(t *testing.T, v6 bool) {
			for port, want := range map[uint16]map[string]int{
				80: {"InSegs": 2 * checks, "OutSegs": checks, "AttemptFails": checks, "EmbryonicRsts": checks},
				81: {"InSegs": checks, "OutSegs": checks, "OutRsts": checks},
			} {
				before := netstat(t, peer)
				p := newProber(t, rawshake.Config{})
				for range checks {
					probe(t, p, at(peer.Addr(v6), port))
				}
				p.Close() // the last reset is out
				if got := grown(before, netstat(t, peer)); !maps.Equal(got, want) {
					t.Errorf("port %d: %v, want %v", port, got, want)
				}
			}
		})
	})
}

// TestLabWhatFirewallsRemember holds what docs/capabilities.md says of a firewall that tracks connections, on the way and here: a
// check of an open port leaves an entry in state CLOSE for 10 s, of a closed one none, and each attempt at a silent target one in
// SYN_SENT for 120 s.
func TestLabWhatFirewallsRemember(t *testing.T) {
	top := lab.Topology{Links: []lab.Link{{A: "prober", B: "router"}, {A: "router", B: "peer"}}}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		prober, router, peer := n.Prober(), n.Host("router"), n.Host("peer")
		peer.Listen(t, 80)
		peer.Drop(t, 82)
		router.Nft(t, `chain forward { type filter hook forward priority 0; ct state invalid drop; }`)
		prober.Nft(t, `chain in { type filter hook input priority 0; ct state invalid drop; }
			chain out { type filter hook output priority 0; ct state invalid drop; }`)
		p := newProber(t, quick)
		families(t, func(t *testing.T, v6 bool) {
			for port, want := range map[uint16]struct {
				state   rawshake.State
				entries map[string]int
				seconds int
			}{
				80: {rawshake.Open, map[string]int{"CLOSE": 1}, 10},
				81: {rawshake.Closed, map[string]int{}, 0},
				82: {rawshake.Filtered, map[string]int{"SYN_SENT": len(quick.Schedule)}, 120},
			} {
				target := at(peer.Addr(v6), port)
				if r := probe(t, p, target); r.State != want.state {
					t.Errorf("%v is %v, %v, want %v", target, r.State, r.Reason, want.state)
				}
				for _, h := range []*lab.Host{prober, router} {
					var entries map[string]int
					var seconds int
					eventually(t, h.Name+" to have seen all of "+target.String(), func() bool {
						entries, seconds = tracked(t, h, target)
						return maps.Equal(entries, want.entries) && seconds <= want.seconds && seconds >= want.seconds-5
					})
					if t.Failed() {
						t.Fatalf("%s has the entries %v for up to %d s", h.Name, entries, seconds)
					}
				}
			}
		})
	})
}

// tracked returns the entries of a host's connection table about a target, by state, and the longest time that one of them has left.
func tracked(t *testing.T, h *lab.Host, target netip.AddrPort) (entries map[string]int, seconds int) {
	t.Helper()
	var out strings.Builder
	h.Run(t, lab.Command{Path: "cat", Args: []string{"/proc/self/net/nf_conntrack"}, As: lab.Root, Stdout: &out})
	entries = map[string]int{}
	about := " dst=" + target.Addr().StringExpanded() + " " // of IPv6, the kernel writes every digit
	for line := range strings.Lines(out.String()) {
		f := strings.Fields(line) // ipv4 2 tcp 6 119 SYN_SENT src=… dst=… sport=… dport=…
		if len(f) < 10 || !strings.Contains(line, about) || f[9] != "dport="+strconv.Itoa(int(target.Port())) {
			continue
		}
		left, _ := strconv.Atoi(f[4])
		entries[f[5]]++
		seconds = max(seconds, left)
	}
	return entries, seconds
}
