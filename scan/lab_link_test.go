//go:build linux && !android

package scan

import (
	"errors"
	"runtime"
	"syscall"
	"testing"

	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/raw"
)

// Whether a scan has AF_XDP for all lanes, for one or for none, because others have the queues: the verdicts and the packets are the
// same.
func TestLabLink(t *testing.T) {
	for name, taken := range map[string]int{"AF_XDP": 0, "both": 1, "packet sockets": runtime.NumCPU()} {
		t.Run(name, func(t *testing.T) {
			both(t, 12, func(t *testing.T, n *lab.Net, prefix string) {
				takeQueues(t, n.Prober().Interface("eth0").Index, taken)
				peer := n.Host("peer").Respond(t, lab.Responder{Mixed: true})
				all := space(t, "80", prefix)
				tally, totals := scanAll(t, Config{Targets: all, Rate: -1, Lanes: 2, Timeout: 300 * ms}, nil)
				tally.fated(t, peer, totals)
				if totals.SendErrors != 0 {
					t.Errorf("%d send errors", totals.SendErrors)
				}
			})
		})
	}
}

// takeQueues opens AF_XDP sockets on the first transmit queues of an interface, until the end of t.
func takeQueues(t *testing.T, ifindex, n int) {
	t.Helper()
	for queue := range n {
		s, err := raw.OpenXDP(ifindex, queue, 0)
		if errors.Is(err, syscall.ENOPROTOOPT) || errors.Is(err, syscall.EAFNOSUPPORT) {
			return // an older kernel: they are packet sockets anyway
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
	}
}
