//go:build linux && !android

package raw

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// linkHeader is the Ethernet header from va to vb.
func linkHeader(t testing.TB, p *peer, v6 bool) *[14]byte {
	t.Helper()
	var h [14]byte
	p.do(func() { copy(h[0:], link(t, "vb").Attrs().HardwareAddr) })
	copy(h[6:], link(t, "va").Attrs().HardwareAddr)
	h[12], h[13] = byte(proto(v6)>>8), byte(proto(v6))
	return &h
}

// Frames arrive as they were written, also when the local firewall would have
// refused them; with and without the queueing discipline.
func TestLabSendFrames(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, qdisc := range []bool{false, true} {
			p := newPeer(t)
			nftOutput(t, "meta l4proto tcp drop")
			src, dst := here4, there4
			if v6 {
				src, dst = here6, there6
			}
			var r *Ring
			p.do(func() { r = openTestRing(t, v6, false, 0, tcpTo(t, v6, 7777)) })
			s, err := OpenPacket(ifindex(t, "va"), SocketConfig{Qdisc: qdisc})
			check(t, err)
			defer s.Close()
			h := linkHeader(t, p, v6)
			tap := openTestRing(t, v6, false, 0, tcpTo(t, v6, 7777))
			check(t, unix.Bind(tap.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL)}))
			var sent [][]byte
			for i := range BatchSize {
				b := segment{src: src, dst: dst, sport: uint16(i), dport: 7777, flags: "S"}.bytes(t)
				s.SetLink(i, copy(s.Frame(i)[Headroom:], b), h)
				sent = append(sent, b)
			}
			if n, err := s.Send(0, BatchSize); n != BatchSize || err != nil {
				t.Fatalf("sent %d, %v", n, err)
			}
			got := collect(t, r, BatchSize)
			if len(got) != BatchSize {
				t.Fatalf("v6 %v, qdisc %v: %d arrived", v6, qdisc, len(got))
			}
			if seen := packets(t, tap); (seen > 0) != qdisc {
				t.Errorf("v6 %v, qdisc %v: a packet tap saw %d frames", v6, qdisc, seen)
			}
			for i := range got {
				if string(got[i].Data) != string(sent[i]) {
					t.Fatalf("v6 %v, qdisc %v: packet %d: %x\nsent %x", v6, qdisc, i, got[i].Data, sent[i])
				}
			}
		}
	}
}

// packets is how many the kernel put into the ring's socket.
func packets(t testing.TB, r *Ring) int {
	t.Helper()
	s, err := unix.GetsockoptTpacketStats(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	check(t, err)
	return int(s.Packets)
}

// A ring shows what is for this host: neither what the link delivered though
// it is for another, nor what leaves.
func TestLabRingIsForThisHost(t *testing.T) {
	for _, blocks := range []bool{false, true} {
		p := newPeer(t)
		r := openTestRing(t, false, blocks, 0, tcpTo(t, false, 7777))
		// Bound to everything it gets what leaves, too.
		check(t, unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL)}))
		s, err := OpenPacket(ifindex(t, "va"), SocketConfig{Qdisc: true})
		check(t, err)
		defer s.Close()
		out := segment{src: here4, dst: there4, sport: 1, dport: 7777, flags: "R"}.bytes(t)
		s.SetLink(0, copy(s.Frame(0)[Headroom:], out), linkHeader(t, p, false))
		_, err = s.Send(0, 1)
		check(t, err)
		ours := linkHeader(t, p, false)
		*ours = [14]byte([]byte{6: 2, 12: 8, 13: 0})
		copy(ours[:6], link(t, "va").Attrs().HardwareAddr)
		others := *ours
		others[5] ^= 1
		p.do(func() {
			s, err := OpenPacket(ifindex(t, "vb"), SocketConfig{})
			check(t, err)
			defer s.Close()
			in := segment{src: there4, dst: here4, sport: 2, dport: 7777, flags: "R"}.bytes(t)
			for i, h := range []*[14]byte{&others, ours} {
				s.SetLink(i, copy(s.Frame(i)[Headroom:], in), h)
			}
			_, err = s.Send(0, 2)
			check(t, err)
		})
		if got := collect(t, r, 1); len(got) != 1 || got[0].Data[21] != 2 {
			t.Errorf("blocks %v: got %d: %v", blocks, len(got), got)
		}
		if !blocks {
			if n := packets(t, r); n != 3 {
				t.Errorf("the ring held %d packets: this test tests nothing", n)
			}
		}
	}
}

// What keeps frames from leaving shows as an error of the frame.
func TestLabSendFramesFails(t *testing.T) {
	p := newPeer(t)
	va := ifindex(t, "va")
	s, err := OpenPacket(va, SocketConfig{})
	check(t, err)
	defer s.Close()
	b := segment{src: here4, dst: there4, sport: 1, dport: 2, flags: "R"}.bytes(t)
	s.SetLink(0, copy(s.Frame(0)[Headroom:], b), linkHeader(t, p, false))
	expect := func(what string, want error) {
		t.Helper()
		for end := time.Now().Add(2 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			n, err := s.Send(0, 1)
			if errors.Is(err, want) && (n == 1) == (want == nil) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: sent %d, error %v, want %v", what, n, err, want)
			}
		}
	}
	expect("at first", nil)
	p.do(func() { down(t, "vb") })
	expect("no carrier", unix.ENOBUFS)
	p.do(func() { up(t, "vb") })
	expect("carrier", nil)
	down(t, "va")
	expect("down", unix.ENETDOWN)
	up(t, "va")
	expect("up", nil)
	run(t, "ip link del va")
	expect("gone", unix.ENXIO)
	if _, err := OpenPacket(va, SocketConfig{}); err == nil {
		t.Error("opened on an interface that is gone")
	}
}

// wholeLoop is what a prober does with this package: guards, routes,
// neighbours, both senders, rings, a waiter; and a reply each.
func wholeLoop() (err error) {
	if err := CheckPrivilege(); err != nil {
		return err
	}
	g, err := OpenGuards(true, true, PortRange{}, 1, "va")
	if err != nil {
		return err
	}
	defer g.Close()
	routes, err := OpenRoutes(RouteConfig{Interface: "va", Mark: 5})
	if err != nil {
		return err
	}
	defer routes.Close()
	neighbours, err := OpenNeighbours()
	if err != nil {
		return err
	}
	defer neighbours.Close()
	links, err := OpenLinks()
	if err != nil {
		return err
	}
	defer links.Close()
	for _, dst := range []netip.Addr{there4, there6} {
		if err := ask(dst, g.Ports()[0], routes, neighbours, links); err != nil {
			return fmt.Errorf("%v: %w", dst, err)
		}
	}
	fmt.Println("ok")
	linger()
	return nil
}

// ask sends a SYN to dst by raw IP, by packet socket and by AF_XDP, and wants
// an answer to each.
func ask(dst netip.Addr, port uint16, routes *Routes, neighbours *Neighbours, links *Links) error {
	var t quiet
	v6 := dst.Is6()
	route, err := routes.Lookup(dst)
	if err != nil {
		return err
	}
	if s := links.State(route.Interface); !s.Carrier || route.Kind != Link {
		return fmt.Errorf("route %+v, link %+v", route, s)
	}
	ring, err := OpenRing(RingConfig{Proto: proto(v6), Filter: tcpTo(t, v6, port), Frames: 256})
	if err != nil {
		return err
	}
	defer ring.Close()
	tap, err := OpenTap(v6, TapTCP, tcpTo(t, v6, port))
	if err != nil {
		return err
	}
	defer tap.Close()
	w, err := NewWaiter(ring.FD())
	if err != nil {
		return err
	}
	defer w.Close()
	answered := func(s interface {
		Send(from, to int) (int, error)
	}) error {
		if n, err := s.Send(0, 1); n != 1 || err != nil {
			return fmt.Errorf("sent %d: %w", n, err)
		}
		if err := w.Wait(2 * time.Second); err != nil {
			return err
		}
		if ring.Drain(1, func(Packet) {}) != 1 {
			return errors.New("no answer")
		}
		return nil
	}

	ip, err := OpenIP(v6, SocketConfig{Source: route.Source, Interface: "va", Mark: 5})
	if err != nil {
		return err
	}
	defer ip.Close()
	syn := segment{src: route.Source, dst: dst, sport: port, dport: 80, flags: "S", seq: 1}
	syn.put(t, ip, 0)
	if err := answered(ip); err != nil {
		return fmt.Errorf("raw IP: %w", err)
	}

	state, mac := neighbours.Lookup(route.Interface, dst)
	if state != Reachable {
		return fmt.Errorf("neighbour %v", state)
	}
	frames, err := OpenPacket(route.Interface, SocketConfig{Mark: 5})
	if err != nil {
		return err
	}
	defer frames.Close()
	var h [14]byte
	copy(h[0:], mac[:])
	copy(h[6:], route.SourceMAC[:])
	h[12], h[13] = byte(proto(v6)>>8), byte(proto(v6))
	syn.dport = 81
	frames.SetLink(0, copy(frames.Frame(0)[Headroom:], syn.bytes(t)), &h)
	if err := answered(frames); err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}

	xdp, err := OpenXDP(route.Interface, 0, 5)
	if errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil // an older kernel
	}
	if err != nil {
		return err
	}
	defer xdp.Close()
	syn.dport = 82
	xdp.SetLink(0, copy(xdp.Frame(0)[Headroom:], syn.bytes(t)), &h)
	if err := answered(xdp); err != nil {
		return fmt.Errorf("AF_XDP: %w", err)
	}
	return nil
}

// quiet is a testing.TB for helpers in a child, where failing is not
// expected.
type quiet struct{ testing.TB }

func (quiet) Helper()           {}
func (quiet) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// CAP_NET_RAW is all that any of it needs, and a file capability that is only
// permitted does.
func TestLabWholeLoopUnprivileged(t *testing.T) {
	newPeer(t)
	if got := startChild(t, onlyNetRaw, "loop"); got != "ok" {
		t.Error(got)
	}
	path := executable(t, t.TempDir())
	run(t, "setcap cap_net_raw+p "+path)
	user := []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}
	if got := startBinary(t, user, path, "loop"); got != "ok" {
		t.Error(got)
	}
}
