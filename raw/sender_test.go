//go:build linux && !android

package raw

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

// An ICMP error leaves its errno on every raw socket of the quoted protocol,
// and the kernel gives it to the next send. That next packet has nothing to
// do with it and must leave. Kernels of 2026 spare IPPROTO_RAW sockets, so
// the case is made with a sender of protocol TCP.
func TestLabPendingErrorHitsNoOtherPacket(t *testing.T) {
	namespace(t)
	for _, v6 := range []bool{false, true} {
		s, err := openIP(v6, unix.IPPROTO_TCP, SocketConfig{})
		check(t, err)
		defer s.Close()
		segment{src: loopback(v6), dst: loopback(v6), sport: 1, dport: 2, flags: "R"}.put(t, s, 0)

		forge := forgeUnreachable(t, v6, unix.IPPROTO_TCP)
		forge()
		if !pending(s) {
			t.Fatalf("v6 %v: the forged error left nothing on the socket: this test tests nothing", v6)
		}
		for range 200 { // more than the error queue holds
			forge()
			if n, err := s.Send(0, 1); n != 1 || err != nil {
				t.Fatalf("v6 %v: sent %d, error %v", v6, n, err)
			}
		}
	}
}

func TestLabForeignErrorsStayAway(t *testing.T) {
	namespace(t)
	for _, v6 := range []bool{false, true} {
		s, err := OpenIP(v6, SocketConfig{})
		check(t, err)
		defer s.Close()
		forgeUnreachable(t, v6, unix.IPPROTO_TCP)()
		if pending(s) {
			t.Errorf("v6 %v: an ICMP error about somebody's TCP segment is pending on the sender", v6)
		}
	}
}

// pending reports and clears the socket's error.
func pending(s *Sender) bool {
	errno, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	return err != nil || errno != 0
}

// forgeUnreachable returns a function that sends, on loopback, an ICMP "host
// unreachable" with a quoted packet of the given protocol.
func forgeUnreachable(t *testing.T, v6 bool, quoted layers.IPProtocol) func() {
	lo := loopback(v6)
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	message := []gopacket.SerializableLayer{&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 1)},
		&layers.IPv4{Version: 4, TTL: 1, Protocol: quoted, SrcIP: lo.AsSlice(), DstIP: lo.AsSlice()}}
	if v6 {
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
		message = []gopacket.SerializableLayer{gopacket.Payload{1, 3, 0, 0, 0, 0, 0, 0},
			&layers.IPv6{Version: 6, HopLimit: 1, NextHeader: quoted, SrcIP: lo.AsSlice(), DstIP: lo.AsSlice()}}
	}
	buf := gopacket.NewSerializeBuffer()
	message = append(message, gopacket.Payload(make([]byte, 8)))
	check(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, message...))
	to, err := socketAddress(v6, lo, 0)
	check(t, err)
	fd, err := unix.Socket(family, unix.SOCK_RAW, proto)
	check(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return func() { check(t, unix.Sendto(fd, buf.Bytes(), 0, to)) }
}

func TestLabSendTellsErrorsApart(t *testing.T) {
	p := newPeer(t)
	_ = p
	run(t, "ip route add unreachable 10.1.0.0/16")
	run(t, "ip route add prohibit 10.2.0.0/16")
	run(t, "ip route add blackhole 10.3.0.0/16")
	run(t, "ip -6 route add unreachable fd01::/64")
	run(t, "ip -6 route add prohibit fd02::/64")
	run(t, "ip -6 route add blackhole fd03::/64")
	nftOutput(t, "ip daddr 10.9.0.77 drop; ip6 daddr fd09::77 drop")
	for dst, want := range map[string]syscall.Errno{
		"10.1.0.1":   unix.EHOSTUNREACH,
		"10.2.0.1":   unix.EACCES,
		"10.3.0.1":   unix.EINVAL,
		"10.4.0.1":   unix.ENETUNREACH,
		"10.9.0.77":  unix.EPERM,
		"10.9.0.2":   0,
		"fd01::1":    unix.EHOSTUNREACH,
		"fd02::1":    unix.EACCES,
		"fd03::1":    unix.EINVAL,
		"fd04::1":    unix.ENETUNREACH,
		"fd09::77":   unix.EPERM,
		"fd09::2":    0,
		"10.9.0.255": unix.EACCES, // broadcast
	} {
		addr := netip.MustParseAddr(dst)
		got := sendBetween(t, addr)
		if got != want {
			t.Errorf("%s: %v, want %v", dst, got, want)
		}
	}
}

// sendBetween sends a packet to dst as the middle one of three, of which the
// others go to loopback, and returns its error. The neighbours must leave.
func sendBetween(t *testing.T, dst netip.Addr) syscall.Errno {
	t.Helper()
	v6 := dst.Is6()
	s, err := OpenIP(v6, SocketConfig{})
	check(t, err)
	defer s.Close()
	src := here4
	if v6 {
		src = here6
	}
	for i, to := range []netip.Addr{loopback(v6), dst, loopback(v6)} {
		segment{src: src, dst: to, sport: 1, dport: 2, flags: "R"}.put(t, s, i)
	}
	n, err := s.Send(0, 3)
	if err == nil {
		if n != 3 {
			t.Errorf("%v: sent %d without an error", dst, n)
		}
		return 0
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) || n != 1 {
		t.Errorf("%v: sent %d, error %v", dst, n, err)
	}
	if n, err := s.Send(2, 3); n != 1 || err != nil {
		t.Errorf("after %v: sent %d, error %v", dst, n, err)
	}
	return errno
}

func TestLabSource(t *testing.T) {
	newPeer(t)
	zoned := linkLocalOf(t, "va").WithZone("va")
	for _, source := range []netip.Addr{{}, here6, zoned} {
		s, err := OpenIP(true, SocketConfig{Source: source, Interface: "va"})
		check(t, err)
		check(t, s.Close())
	}
	r := openTestRoutes(t, RouteConfig{Source: zoned})
	if route, err := r.Lookup(netip.MustParseAddr("fe80::9%va")); err != nil || route.Source != zoned.WithZone("") {
		t.Errorf("%+v, %v", route, err)
	}
	if _, err := OpenIP(true, SocketConfig{Source: here4}); err == nil {
		t.Error("an IPv6 sender took an IPv4 source")
	}
	if _, err := OpenIP(false, SocketConfig{Source: there4}); !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("a foreign source: %v", err)
	}
	if _, err := OpenIP(false, SocketConfig{Interface: "none0"}); !errors.Is(err, unix.ENODEV) {
		t.Errorf("an interface that is not there: %v", err)
	}
}

// A full send buffer shows as EAGAIN of the packet that did not fit: here
// packets wait for a neighbour that does not answer. Later they leave.
func TestLabSendBufferFull(t *testing.T) {
	newPeer(t)
	s, err := OpenIP(false, SocketConfig{SendBuffer: 1}) // the kernel's least
	check(t, err)
	defer s.Close()
	for i := range BatchSize {
		segment{src: here4, dst: netip.MustParseAddr("10.9.0.77"), sport: 1, dport: 2, flags: "R"}.put(t, s, i)
	}
	sent, err := s.Send(0, BatchSize)
	if err != unix.EAGAIN || sent == 0 || sent == BatchSize {
		t.Fatalf("sent %d, error %v", sent, err)
	}
	run(t, "ip neigh replace 10.9.0.77 lladdr 02:00:00:00:00:77 dev va")
	if n, err := s.Send(sent, BatchSize); n != BatchSize-sent || err != nil {
		t.Errorf("afterwards sent %d, error %v", n, err)
	}
}

func TestLabHotPathDoesNotAllocate(t *testing.T) {
	namespace(t)
	s, err := OpenIP(false, SocketConfig{})
	check(t, err)
	defer s.Close()
	for i := range BatchSize {
		segment{src: loopback(false), dst: loopback(false), sport: 1, dport: 7777, flags: "R"}.put(t, s, i)
	}
	r := openTestRing(t, false, false, 0, tcpTo(t, false, 7777))
	taken, count := 0, func(Packet) {}
	n := testing.AllocsPerRun(20, func() {
		for i := range BatchSize {
			s.SetIP(i, 40, loopback(false), 0)
		}
		s.Send(0, BatchSize)
		taken += r.Drain(BatchSize, count)
	})
	if n != 0 || taken == 0 {
		t.Errorf("%v allocations, %d packets", n, taken)
	}
}

func BenchmarkLabOpen(b *testing.B) {
	namespace(b)
	for b.Loop() {
		check(b, CheckPrivilege())
	}
}
