//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// TestLabNeighbourTableFull: while the kernel has no room for one more neighbour, nothing can be sent to a host of the link that is not
// in its table, nor through such a gateway. Who has the time waits for room, and has the true verdict then; who has not is unsent.
// connect(2) does not say what is wrong: it times out.
func TestLabNeighbourTableFull(t *testing.T) {
	behind := []netip.Prefix{netip.MustParsePrefix("10.128.0.0/16"), netip.MustParsePrefix("fd80::/64")}
	lab.Test(t, lab.Topology{Prefixes: map[string][]netip.Prefix{"peer": behind}}, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		peer.Listen(t, 80)
		checker := rawshake.NewChecker()
		go checker.CheckingLoop(t.Context())
		<-checker.WaitReady()
		families(t, func(t *testing.T, v6 bool) {
			near, far := peer.Addr(v6), netip.MustParseAddr(map[bool]string{false: "10.128.7.7", true: "fd80::7"}[v6])
			open, closed := []netip.AddrPort{at(near, 80), at(far, 80)}, []netip.AddrPort{at(near, 81), at(far, 81)}
			all := slices.Concat(open, closed)
			hasty, patient := newProber(t, quick), newProber(t, rawshake.Config{Timeout: 10 * time.Second})

			waited := make(chan map[netip.AddrPort]rawshake.Result)
			errs, dialed := make([]error, len(open)), make([]error, len(open))
			var results map[netip.AddrPort]rawshake.Result
			round := func() {
				prober.CrowdNeighbours(t, v6)
				go func() { waited <- probeAll(t, patient, all...) }()
				var others sync.WaitGroup
				for i, target := range open {
					others.Go(func() { errs[i] = checker.CheckAddr(target.String(), quick.Timeout) })
					others.Go(func() { dialed[i] = kernelDial(t.Context(), net.Dialer{Timeout: quick.Timeout}, target) })
				}
				results = probeAll(t, hasty, all...)
				others.Wait()
			}
			round()
			for tries := 1; prober.Knows(t, near); tries++ { // then something else on this machine has made room
				if <-waited; tries == 5 {
					t.Fatal("other programs make room in the table of neighbours")
				}
				round()
			}
			for _, r := range results {
				if want(t, r, rawshake.Unsent, match.NoBuffers); r.Err != syscall.ENOBUFS || r.Source.IsValid() {
					t.Errorf("%v: error %v, source %v", r.Target, r.Err, r.Source)
				}
			}
			for i, target := range open {
				if err, ok := errs[i].(*rawshake.ErrConnect); !ok || err.Unwrap() != syscall.ENOBUFS {
					t.Errorf("%v: the Checker says %v", target, errs[i])
				}
				if err := dialed[i]; err == nil || errnoOf(err) != 0 {
					t.Errorf("%v: net.Dial says %v, want a timeout", target, err)
				}
			}

			for _, results := range []map[netip.AddrPort]rawshake.Result{<-waited, probeAll(t, hasty, all...)} {
				for _, target := range open {
					want(t, results[target], rawshake.Open, match.SYNACK)
				}
				for _, target := range closed {
					want(t, results[target], rawshake.Closed, match.RST)
				}
			}
		})
	})
}
