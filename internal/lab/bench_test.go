//go:build linux && !android

package lab_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rawshake/rawshake/internal/lab"
)

// BenchmarkResponder sends SYNs as fast as one system call each allows, from two threads. The busy time of "open" less that of
// "silent" is what an answer costs, its way back to the prober included: the responder must not be what a benchmark measures.
func BenchmarkResponder(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		for _, c := range []struct {
			name      string
			responder lab.Responder
		}{{"silent", lab.Responder{Fate: lab.Silent}}, {"open", lab.Responder{}}, {"mixed", lab.Responder{Mixed: true}}} {
			b.Run(fmt.Sprintf("v6=%t/%s", v6, c.name), func(b *testing.B) {
				lab.Benchmark(b, lab.Topology{Prefixes: prefixes}, func(b *testing.B, n *lab.Net) { benchResponder(b, n, c.responder, v6) })
			})
		}
	}
}

func benchResponder(b *testing.B, n *lab.Net, r lab.Responder, v6 bool) {
	responding := n.Host("peer").Respond(b, r)
	n.Prober().Respond(b, lab.Responder{Fate: lab.Silent}) // keeps the prober's kernel from resetting
	busy, err := lab.BusyTime()
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	start := time.Now()
	blast(b, n, v6)
	took := time.Since(start)
	b.StopTimer()
	after, err := lab.BusyTime()
	if err != nil {
		b.Fatal(err)
	}
	if got := responding.Counters(b).SYN; got != uint64(b.N) {
		b.Errorf("%d SYNs sent, %d arrived", b.N, got)
	}
	b.ReportMetric(float64(b.N)/took.Seconds(), "SYN/s")
	b.ReportMetric(float64(after-busy)/float64(b.N), "busy-ns/SYN")
}

// blast sends b.N SYNs to 128 targets.
func blast(b *testing.B, n *lab.Net, v6 bool) {
	var next atomic.Int64
	var senders sync.WaitGroup
	for range 2 {
		senders.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if err := blastFrom(n, v6, func() bool { return next.Add(1) <= int64(b.N) }); err != nil {
				b.Error(err)
			}
		})
	}
	senders.Wait()
}

func blastFrom(n *lab.Net, v6 bool, more func() bool) error {
	out := n.Prober().Interface("eth0")
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: out.Index}); err != nil {
		return err
	}
	kind := map[bool][]byte{false: {0x08, 0}, true: {0x86, 0xdd}}[v6]
	var frames [128][]byte
	for i := range frames {
		link := append(append(append([]byte(nil), out.NeighbourMAC...), out.MAC...), kind...)
		frames[i] = append(link, synTo(n, v6, i).Bytes()...)
	}
	for i := 0; more(); i++ {
		if _, err := unix.Write(fd, frames[i%len(frames)]); err != nil {
			return err
		}
	}
	return nil
}
