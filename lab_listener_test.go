//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
)

// TestLabListenerNeverAccepts has 2 000 callers make 100 000 checks of one real listener: the program behind the port notices
// none of them, and every one is found open, also when they overflow a short backlog and the target answers with SYN cookies, from
// the largest TTL.
func TestLabListenerNeverAccepts(t *testing.T) {
	const checks, callers = 100_000, 2_000
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		for backlog, ttl := range map[string]uint8{"4096": 64, "8": 255} {
			t.Run("backlog "+backlog, func(t *testing.T) {
				setTTL(t, ttl, peer)
				peer.Sysctl(t, "net/core/somaxconn", backlog)
				families(t, func(t *testing.T, v6 bool) {
					listener := peer.Listen(t, 80)
					before := netstat(t, peer)
					p := newProber(t, rawshake.Config{Timeout: 10 * time.Second})
					start := time.Now()
					states := crowd(t, p, at(peer.Addr(v6), 80), checks, callers)
					took := time.Since(start)
					if states[rawshake.Open] != checks {
						t.Errorf("verdicts by state: %v, want all open; %+v", states, p.Stats())
					}
					time.Sleep(100 * time.Millisecond) // for an accept that is under way
					if n := listener.Accepted(); n != 0 {
						t.Errorf("accept returned %d times", n)
					}
					t.Logf("%d checks in %v; the target's kernel counted %v", checks, took, grown(before, netstat(t, peer)))
				})
			})
		}
	})
}

// crowd has callers check one target n times together and returns how many verdicts there were of each state.
func crowd(t *testing.T, p *rawshake.Prober, target netip.AddrPort, n, callers int) map[rawshake.State]int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var left atomic.Int64
	left.Store(int64(n))
	var mu sync.Mutex
	states := map[rawshake.State]int{}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			own := map[rawshake.State]int{}
			for left.Add(-1) >= 0 {
				r, err := p.Probe(ctx, target)
				if err != nil {
					t.Error(err)
					return
				}
				own[r.State]++
			}
			mu.Lock()
			defer mu.Unlock()
			for s, n := range own {
				states[s] += n
			}
		})
	}
	wg.Wait()
	return states
}

// netstat reads what the kernel of a host has counted for TCP.
func netstat(t *testing.T, h *lab.Host) map[string]int {
	t.Helper()
	var out strings.Builder
	h.Run(t, lab.Command{Path: "cat", Args: []string{"/proc/self/net/netstat", "/proc/self/net/snmp"}, Stdout: &out})
	counts := map[string]int{}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		if names[0] != "TcpExt:" && names[0] != "Tcp:" {
			continue
		}
		for j := 1; j < len(names); j++ {
			counts[names[j]], _ = strconv.Atoi(values[j])
		}
	}
	return counts
}

// grown returns what has grown.
func grown(before, after map[string]int) map[string]int {
	more := map[string]int{}
	for name, n := range after {
		if n > before[name] {
			more[name] = n - before[name]
		}
	}
	return more
}
