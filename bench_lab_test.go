//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
)

// benchTopology routes a large prefix to a host that answers every SYN in its kernel's receive path.
var benchTopology = lab.Topology{
	Prefixes: map[string][]netip.Prefix{"peer": {netip.MustParsePrefix("10.128.0.0/9")}},
}

// BenchmarkChecks compares checks a second and CPU per check, side by side with the cheapest check that the kernel's own
// sockets can make.
func BenchmarkChecks(b *testing.B) {
	for _, callers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("rawshake/callers=%d", callers), func(b *testing.B) {
			lab.Benchmark(b, benchTopology, func(b *testing.B, n *lab.Net) {
				n.Host("peer").Respond(b, lab.Responder{})
				p, err := rawshake.New(rawshake.Config{})
				if err != nil {
					b.Fatal(err)
				}
				defer p.Close()
				measure(b, callers, func(t netip.AddrPort) error {
					r, err := p.Probe(context.Background(), t)
					if err == nil && r.State != rawshake.Open {
						err = fmt.Errorf("%v is %v, %v", t, r.State, r.Reason)
					}
					return err
				})
			})
		})
		b.Run(fmt.Sprintf("net.Dial/callers=%d", callers), func(b *testing.B) {
			lab.Benchmark(b, benchTopology, func(b *testing.B, n *lab.Net) {
				n.Host("peer").Respond(b, lab.Responder{})
				measure(b, callers, func(t netip.AddrPort) error {
					c, err := net.Dial("tcp", t.String())
					if err != nil {
						return err
					}
					c.(*net.TCPConn).SetLinger(0)
					return c.Close()
				})
			})
		})
	}
}

// measure makes b.N checks of different targets by so many callers at once.
func measure(b *testing.B, callers int, check func(netip.AddrPort) error) {
	var next atomic.Uint32
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	start, busy, own := time.Now(), busyTime(b), ownTime(b)
	for range callers {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if int(i) > b.N {
					return
				}
				addr := netip.AddrFrom4([4]byte{10, 128 | byte(i>>16)&0x7f, byte(i >> 8), byte(i)})
				if err := check(netip.AddrPortFrom(addr, 80)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	took, used, own := time.Since(start), busyTime(b)-busy, ownTime(b)-own
	b.ReportMetric(float64(b.N)/took.Seconds(), "checks/s")
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/check")
	b.ReportMetric(float64(own.Nanoseconds())/float64(b.N), "own-cpu-ns/check")
}

// ownTime returns what this process used, which other work on the machine does not disturb.
func ownTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func busyTime(b *testing.B) time.Duration {
	t, err := lab.BusyTime()
	if err != nil {
		b.Fatal(err)
	}
	return t
}
