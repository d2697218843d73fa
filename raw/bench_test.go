//go:build linux && !android

package raw

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// way is a way to send packets 0 up to n; it says how many went out.
type way struct {
	name string
	send func(n int) (int, error)
}

// BenchmarkLabSend compares ways to put the same packets on a veth, one by
// one and 64 at a time, by time and by processor time of the whole process.
// docs/decisions/sendmmsg.md has the figures.
func BenchmarkLabSend(b *testing.B) {
	p := newPeer(b)
	packet := segment{src: here4, dst: there4, sport: 1, dport: 2, flags: "R"}.bytes(b)
	run(b, "ip neigh replace 10.9.0.2 lladdr "+link2(b, p, "vb")+" dev va")
	ways := []way{
		{"own", ownIP(b, packet)},
		{"own-Syscall", ownIPSyscall(b, packet)},
		{"own-poller", ownIPPoller(b, packet)},
		{"x-net", netIP(b, packet)},
		{"own-packet", ownPacket(b, p, packet)},
		{"own-xdp", ownXDP(b, p, packet)},
	}
	for _, batch := range []int{1, BatchSize} {
		for _, w := range ways {
			b.Run(fmt.Sprintf("%s/%d", w.name, batch), func(b *testing.B) { benchSend(b, w, batch) })
		}
	}
}

func link2(b *testing.B, p *peer, name string) (mac string) {
	p.do(func() { mac = link(b, name).Attrs().HardwareAddr.String() })
	return mac
}

// benchSend counts b.N packets; a full socket counts as a pause.
func benchSend(b *testing.B, w way, batch int) {
	before := processorTime()
	b.ResetTimer()
	full := 0
	for sent := 0; sent < b.N; {
		n, err := w.send(min(batch, b.N-sent))
		if err == unix.EAGAIN || err == unix.ENOBUFS {
			full++
		} else if err != nil {
			b.Fatal(err)
		}
		sent += n
	}
	b.ReportMetric(float64((processorTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(full), "full")
}

func processorTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// filledIP is a sender whose places are all filled.
func filledIP(b *testing.B, packet []byte) *Sender {
	s, err := OpenIP(false, SocketConfig{})
	check(b, err)
	b.Cleanup(func() { s.Close() })
	for i := range BatchSize {
		copy(s.Frame(i)[Headroom:], packet)
	}
	return s
}

func setAll(s *Sender, n, size int) {
	for i := range n {
		s.SetIP(i, size, there4, 0)
	}
}

func ownIP(b *testing.B, packet []byte) func(int) (int, error) {
	s := filledIP(b, packet)
	return func(n int) (int, error) {
		setAll(s, n, len(packet))
		return s.Send(0, n)
	}
}

// ownIPSyscall tells the scheduler about the call.
func ownIPSyscall(b *testing.B, packet []byte) func(int) (int, error) {
	s := filledIP(b, packet)
	return func(n int) (int, error) {
		setAll(s, n, len(packet))
		sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.msgs[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			return 0, errno
		}
		return int(sent), nil
	}
}

// ownIPPoller registers the socket as Go's poller does.
func ownIPPoller(b *testing.B, packet []byte) func(int) (int, error) {
	s := filledIP(b, packet)
	e, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	check(b, err)
	b.Cleanup(func() { unix.Close(e) })
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET}
	check(b, unix.EpollCtl(e, unix.EPOLL_CTL_ADD, s.fd, &event))
	return func(n int) (int, error) {
		setAll(s, n, len(packet))
		return s.Send(0, n)
	}
}

// netIP is the same socket through package net and x/net.
func netIP(b *testing.B, packet []byte) func(int) (int, error) {
	listen := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { setupIP(int(fd), false, SocketConfig{}) })
	}}
	c, err := listen.ListenPacket(context.Background(), "ip4:255", "0.0.0.0")
	check(b, err)
	b.Cleanup(func() { c.Close() })
	r, err := ipv4.NewRawConn(c)
	check(b, err)
	messages := make([]ipv4.Message, BatchSize)
	for i := range messages {
		messages[i] = ipv4.Message{Buffers: [][]byte{append([]byte(nil), packet...)}, Addr: &net.IPAddr{IP: there4.AsSlice()}}
	}
	return func(n int) (int, error) { return r.WriteBatch(messages[:n], 0) }
}

func ownPacket(b *testing.B, p *peer, packet []byte) func(int) (int, error) {
	s, err := OpenPacket(ifindex(b, "va"), SocketConfig{})
	check(b, err)
	b.Cleanup(func() { s.Close() })
	h := linkHeader(b, p, false)
	for i := range BatchSize {
		s.SetLink(i, copy(s.Frame(i)[Headroom:], packet), h)
	}
	return func(n int) (int, error) {
		for i := range n {
			s.SetLink(i, len(packet), h)
		}
		return s.Send(0, n)
	}
}

func ownXDP(b *testing.B, p *peer, packet []byte) func(int) (int, error) {
	s, err := OpenXDP(ifindex(b, "va"), 0, 0)
	check(b, err)
	b.Cleanup(func() { s.Close() })
	h := linkHeader(b, p, false)
	for i := range BatchSize {
		s.SetLink(i, copy(s.Frame(i)[Headroom:], packet), h)
	}
	return func(n int) (int, error) {
		for i := range n {
			s.SetLink(i, len(packet), h)
		}
		return s.Send(0, n)
	}
}

// BenchmarkLabRing compares rings and ways to wait, while loopback delivers as
// fast as it can: a receiver that has nothing to do sleeps until a packet
// wakes it, or pauses for 50 microseconds whatever comes.
func BenchmarkLabRing(b *testing.B) {
	for _, way := range []struct {
		name          string
		blocks, pause bool
	}{{"frames-wait", false, false}, {"frames-pause", false, true}, {"blocks-wait", true, false}} {
		namespace(b)
		s, err := OpenIP(false, SocketConfig{})
		check(b, err)
		defer s.Close()
		for i := range BatchSize {
			segment{src: loopback(false), dst: loopback(false), sport: uint16(i), dport: 7777, flags: "R"}.put(b, s, i)
		}
		r := openTestRing(b, false, way.blocks, 1<<16, tcpTo(b, false, 7777))
		b.Run(way.name, func(b *testing.B) { benchRing(b, s, r, way.pause) })
	}
}

func benchRing(b *testing.B, s *Sender, r *Ring, pause bool) {
	w, err := NewWaiter(r.FD())
	check(b, err)
	defer w.Close()
	rest := func() { w.Wait(10 * time.Millisecond) }
	if pause {
		rest = func() { unix.Nanosleep(&unix.Timespec{Nsec: 50_000}, nil) }
	}
	before, dropped := processorTime(), drops(b, r)
	b.ResetTimer()
	received := make(chan int)
	go func() {
		taken := 0
		for taken+int(drops(b, r)-dropped) < b.N {
			rest()
			for {
				n := r.Drain(BatchSize, func(Packet) {})
				if taken += n; n < BatchSize {
					break
				}
			}
		}
		received <- taken
	}()
	for sent := 0; sent < b.N; {
		n, _ := s.Send(0, min(BatchSize, b.N-sent))
		sent += n
	}
	taken := <-received
	b.ReportMetric(float64((processorTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N-taken), "dropped")
}

func drops(b *testing.B, r *Ring) uint64 {
	n, err := r.Drops()
	check(b, err)
	return n
}

// BenchmarkLabDrain is what it costs to take a packet out of a ring.
func BenchmarkLabDrain(b *testing.B) {
	namespace(b)
	s, err := OpenIP(false, SocketConfig{})
	check(b, err)
	defer s.Close()
	for i := range BatchSize {
		segment{src: loopback(false), dst: loopback(false), sport: uint16(i), dport: 7777, flags: "R"}.put(b, s, i)
	}
	for _, blocks := range []bool{false, true} {
		r := openTestRing(b, false, blocks, 0, tcpTo(b, false, 7777))
		b.Run(fmt.Sprintf("blocks=%v", blocks), func(b *testing.B) { benchDrain(b, s, r) })
	}
}

func benchDrain(b *testing.B, s *Sender, r *Ring) {
	const round = 8192
	rounds, draining := (b.N+round-1)/round, time.Duration(0)
	for range rounds {
		for range round / BatchSize {
			s.Send(0, BatchSize)
		}
		for taken := 0; taken < round; {
			time.Sleep(3 * time.Millisecond) // a block retires
			start := time.Now()
			taken += r.Drain(round, func(Packet) {})
			draining += time.Since(start)
		}
	}
	b.ReportMetric(float64(draining.Nanoseconds())/float64(rounds*round), "ns/op")
}
