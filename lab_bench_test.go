//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
)

// benchTopology routes large prefixes to a host that answers every SYN in its kernel's receive path.
var benchTopology = lab.Topology{
	Prefixes: map[string][]netip.Prefix{"peer": {netip.MustParsePrefix("10.128.0.0/9"), netip.MustParsePrefix("fd80::/16")}},
}

// BenchmarkChecks compares checks a second and CPU per check, side by side with the cheapest check that the kernel's own
// sockets can make.
func BenchmarkChecks(b *testing.B) {
	for _, base := range []string{"10.128.0.0", "fd80::"} {
		first := netip.MustParseAddr(base)
		for _, callers := range []int{1, 64, 1024} {
			name := fmt.Sprintf("%s/callers=%d", map[bool]string{true: "v4", false: "v6"}[first.Is4()], callers)
			for who, layer := range []rawshake.Layer{rawshake.LayerIP, rawshake.LayerEthernet} {
				b.Run([]string{"rawshake/", "rawshake-eth/"}[who]+name, func(b *testing.B) {
					lab.Benchmark(b, benchTopology, func(b *testing.B, n *lab.Net) {
						n.Host("peer").Respond(b, lab.Responder{})
						benchProbe(b, rawshake.Config{Layer: layer}, first, callers)
					})
				})
			}
			b.Run("net.Dial/"+name, func(b *testing.B) {
				lab.Benchmark(b, benchTopology, func(b *testing.B, n *lab.Net) {
					n.Host("peer").Respond(b, lab.Responder{})
					measure(b, first, callers, dialAndReset)
				})
			})
		}
	}
}

func benchProbe(b *testing.B, c rawshake.Config, first netip.Addr, callers int) {
	p, err := rawshake.New(c)
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	measure(b, first, callers, func(t netip.AddrPort) error {
		r, err := p.Probe(context.Background(), t)
		if err == nil && r.State != rawshake.Open {
			err = fmt.Errorf("%v is %v, %v", t, r.State, r.Reason)
		}
		return err
	})
}

func dialAndReset(t netip.AddrPort) error {
	c, err := net.Dial("tcp", t.String())
	if err != nil {
		return err
	}
	c.(*net.TCPConn).SetLinger(0)
	return c.Close()
}

// offset returns the i-th address from first on, of 2^23.
func offset(first netip.Addr, i uint32) netip.Addr {
	b := first.AsSlice()
	n := len(b)
	b[n-3], b[n-2], b[n-1] = b[n-3]|byte(i>>16)&0x7f, byte(i>>8), byte(i)
	a, _ := netip.AddrFromSlice(b)
	return a
}

// measure makes b.N checks of different targets by so many callers at once.
func measure(b *testing.B, first netip.Addr, callers int, check func(netip.AddrPort) error) {
	var next atomic.Uint32
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	start, busy, own, others := time.Now(), read(b, lab.BusyTime), ownTime(b), read(b, lab.OthersTime)
	for range callers {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if int(i) > b.N {
					return
				}
				if err := check(netip.AddrPortFrom(offset(first, i), 80)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	took, used, own := time.Since(start), read(b, lab.BusyTime)-busy, ownTime(b)-own
	others = max(0, read(b, lab.OthersTime)-others)
	b.ReportMetric(float64(b.N)/took.Seconds(), "checks/s")
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/check")
	b.ReportMetric(float64(own.Nanoseconds())/float64(b.N), "own-cpu-ns/check")
	b.ReportMetric(100*float64(others)/float64(took)/float64(runtime.NumCPU()), "others%")
}

// ownTime returns what this process used, which other work on the machine does not disturb.
func ownTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// read reads a clock of processor time.
func read(b *testing.B, clock func() (time.Duration, error)) time.Duration {
	t, err := clock()
	if err != nil {
		b.Fatal(err)
	}
	return t
}
