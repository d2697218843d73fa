//go:build linux && !android

package raw

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func childGuard() error {
	g, err := OpenGuards(true, true, PortRange{}, 2, "")
	if err != nil {
		return err
	}
	defer g.Close()
	if ok, reason := g.Complete(); !ok {
		return errors.New(reason)
	}
	fmt.Println(g.Ports()[0])
	linger()
	return nil
}

// The guard of an ordinary user keeps the kernel silent: whatever arrives, by
// veth or loopback, from near or far. Without the guard each of these segments
// but the RST draws an answer, which shows that the test would see one.
func TestLabGuardIsSilent(t *testing.T) {
	p := newPeer(t)
	guarded, err := strconv.ParseUint(startChild(t, onlyNetRaw, "guard"), 10, 16)
	check(t, err)
	for _, v6 := range []bool{false, true} {
		local, remote := here4, there4
		if v6 {
			local, remote = here6, there6
		}
		for _, ttl := range []uint8{64, 255} {
			for _, flags := range []string{"SA", "A", "R", "RA", "S"} {
				name := fmt.Sprintf("v6 %v, TTL %d, %s", v6, ttl, flags)
				ask := func(src, dst netip.Addr, dport uint16) int {
					return answers(t, segment{src: src, dst: dst, sport: 4321, dport: dport, ttl: ttl, flags: flags})
				}
				here := ask(loopback(v6), loopback(v6), uint16(guarded))
				there := 0
				p.do(func() { there = ask(remote, local, uint16(guarded)) })
				if here != 0 || there != 0 {
					t.Errorf("%s: answers: %d on loopback, %d on veth", name, here, there)
				}
				control := ask(loopback(v6), loopback(v6), 9) // nobody's
				if silent := strings.Contains(flags, "R"); (control == 0) != silent {
					t.Errorf("%s: an unguarded port answered %d times", name, control)
				}
			}
		}
	}
}

// answers sends a segment from the current namespace and counts the segments
// that come back to its source port.
func answers(t *testing.T, s segment) int {
	t.Helper()
	v6 := s.dst.Is6()
	r, err := OpenRing(RingConfig{Proto: proto(v6), Filter: tcpTo(t, v6, s.sport), Frames: 256})
	check(t, err)
	defer r.Close()
	out, err := OpenIP(v6, SocketConfig{})
	check(t, err)
	defer out.Close()
	s.put(t, out, 0)
	_, err = out.Send(0, 1)
	check(t, err)
	time.Sleep(5 * time.Millisecond)
	return r.Drain(BatchSize, func(Packet) {})
}

// With IP_MINTTL alone the guard says that it is incomplete, and is: silent
// for what crossed a router, not for TTL 255.
func TestLabGuardWithoutMD5(t *testing.T) {
	namespace(t)
	for _, v6 := range []bool{false, true} {
		g := &Guard{}
		defer g.Close()
		o := opener{g: g, v4: !v6, v6: v6, sign: func(int, bool) error { return unix.ENOPROTOOPT }}
		check(t, o.open(PortRange{}, 1))
		if ok, reason := g.Complete(); ok || !strings.Contains(reason, "CONFIG_TCP_MD5SIG") {
			t.Errorf("complete %v, reason %q", ok, reason)
		}
		s := segment{src: loopback(v6), dst: loopback(v6), sport: 4321, dport: g.Ports()[0], flags: "SA"}
		for ttl, want := range map[uint8]int{64: 0, 254: 0, 255: 1} {
			s.ttl = ttl
			if got := answers(t, s); got != want {
				t.Errorf("v6 %v, TTL %d: %d answers, want %d", v6, ttl, got, want)
			}
		}
	}
}

// Nobody else gets a guarded port: neither bind nor connect, in any family.
func TestLabGuardKeepsOthersOff(t *testing.T) {
	namespace(t)
	sysctl(t, "net/ipv4/ip_local_port_range", "40000 40003")
	l, _ := listen(t, loopback(false))
	g, err := OpenGuards(true, true, PortRange{First: 40000, Last: 40003}, 3, "")
	check(t, err)
	free := uint16(40000)
	for slices.Contains(g.Ports(), free) {
		free++
	}
	for _, port := range g.Ports() {
		for _, addr := range []netip.Addr{loopback(false), loopback(true), netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			if l, err := net.Listen("tcp", netip.AddrPortFrom(addr, port).String()); err == nil {
				l.Close()
				t.Errorf("somebody else listens on %v:%d", addr, port)
			}
		}
	}
	for range 4 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			continue // the listener may sit on the one free port
		}
		if port := uint16(c.LocalAddr().(*net.TCPAddr).Port); port != free {
			t.Errorf("connect took port %d", port)
		}
		c.Close()
	}
	check(t, g.Close())
	g, err = OpenGuards(true, true, PortRange{First: g.Ports()[0], Last: g.Ports()[0]}, 1, "")
	check(t, err)
	check(t, g.Close())
}

func TestLabGuardRange(t *testing.T) {
	namespace(t)
	_, taken := listen(t, loopback(true)) // of one family only
	g, err := OpenGuards(true, true, PortRange{First: taken - 1, Last: taken + 1}, 2, "")
	check(t, err)
	defer g.Close()
	ports := slices.Sorted(slices.Values(g.Ports()))
	if !slices.Equal(ports, []uint16{taken - 1, taken + 1}) {
		t.Errorf("got %v around %d", ports, taken)
	}
	if other, err := OpenGuard(false, PortRange{First: taken, Last: taken}, 1, ""); err != nil {
		t.Errorf("the port is free in IPv4: %v", err)
	} else {
		other.Close()
	}
	for _, bad := range []struct {
		ports PortRange
		n     int
		want  string
	}{
		{PortRange{taken - 1, taken + 1}, 1, fmt.Sprintf("it takes 1 source ports, and 0 of the range %d-%d are free: widen it", taken-1, taken+1)},
		{PortRange{50000, 50001}, 3, "it takes 3 source ports, and the range 50000-50001 has 2: widen it to 3 or more"},
		{PortRange{50001, 50000}, 1, "source ports 50001-50000"},
		{PortRange{0, 5}, 1, "source ports 0-5"},
	} {
		g, err := OpenGuards(true, true, bad.ports, bad.n, "")
		if err == nil {
			g.Close()
			t.Errorf("%v: opened", bad.ports)
		} else if !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%v: %v", bad.ports, err)
		}
	}
}

// Ports that the kernel picks come from its range, are distinct and not in a
// row; and when the range runs dry the error says so.
func TestLabGuardKernelPicks(t *testing.T) {
	namespace(t)
	sysctl(t, "net/ipv4/ip_local_port_range", "30000 39999")
	g, err := OpenGuards(true, true, PortRange{}, 64, "")
	check(t, err)
	defer g.Close()
	ports := slices.Sorted(slices.Values(g.Ports()))
	if len(slices.Compact(ports)) != 64 || ports[0] < 30000 || ports[63] > 39999 || ports[63]-ports[0] < 1000 {
		t.Errorf("ports %v", ports)
	}
	sysctl(t, "net/ipv4/ip_local_port_range", "20000 20003")
	if g, err := OpenGuards(true, true, PortRange{}, 5, ""); err == nil {
		g.Close()
		t.Error("five ports out of four")
	} else if !strings.Contains(err.Error(), "ip_local_port_range") {
		t.Error(err)
	}
}
