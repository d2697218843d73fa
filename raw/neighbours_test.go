//go:build linux && !android

package raw

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

func openTestNeighbours(t testing.TB) *Neighbours {
	t.Helper()
	n, err := OpenNeighbours()
	check(t, err)
	t.Cleanup(func() { n.Close() })
	return n
}

// becomes waits until the neighbour is in the state and returns its MAC.
func becomes(t testing.TB, n *Neighbours, ifindex int, addr netip.Addr, want NeighbourState, within time.Duration) [6]byte {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		state, mac := n.Lookup(ifindex, addr)
		if state == want {
			return mac
		}
		if time.Now().After(end) {
			t.Fatalf("%v is %v, not %v", addr, state, want)
		}
	}
}

// The kernel's table is seen as it changes: by traffic, by command, and when
// a host does not answer.
func TestLabNeighboursOfKernel(t *testing.T) {
	p := newPeer(t)
	n := openTestNeighbours(t)
	va := ifindex(t, "va")
	var want [6]byte
	p.do(func() { copy(want[:], link(t, "vb").Attrs().HardwareAddr) })
	for _, c := range []struct{ here, there, nobody netip.Addr }{
		{here4, there4, netip.MustParseAddr("10.9.0.77")},
		{here6, there6, netip.MustParseAddr("fd09::77")},
	} {
		if state, _ := n.Lookup(va, c.there); state != Unknown {
			t.Errorf("%v is %v at first", c.there, state)
		}
		s, err := OpenIP(c.here.Is6(), SocketConfig{})
		check(t, err)
		defer s.Close()
		segment{src: c.here, dst: c.there, sport: 1, dport: 2, flags: "R"}.put(t, s, 0)
		segment{src: c.here, dst: c.nobody, sport: 1, dport: 2, flags: "R"}.put(t, s, 1)
		_, err = s.Send(0, 2)
		check(t, err)
		becomes(t, n, va, c.nobody, Incomplete, 50*time.Millisecond)
		if mac := becomes(t, n, va, c.there, Reachable, time.Second); mac != want {
			t.Errorf("%v has %x, want %x", c.there, mac, want)
		}
		if state, _ := n.Lookup(ifindex(t, "lo"), c.there); state != Unknown {
			t.Errorf("%v is %v on another interface", c.there, state)
		}
		run(t, fmt.Sprintf("ip neigh replace %v lladdr 02:00:00:00:00:09 dev va", c.there))
		for end := time.Now().Add(time.Second); ; time.Sleep(time.Millisecond) {
			if _, mac := n.Lookup(va, c.there); mac[5] == 9 {
				break
			} else if time.Now().After(end) {
				t.Fatalf("%v: the new address is not seen", c.there)
			}
		}
		run(t, fmt.Sprintf("ip neigh del %v dev va", c.there))
		becomes(t, n, va, c.there, Unknown, time.Second)
		becomes(t, n, va, c.nobody, Failed, 5*time.Second)
	}
}

func childResolve() error {
	n, err := OpenNeighbours()
	if err != nil {
		return err
	}
	defer n.Close()
	links, err := n.conn.links()
	if err != nil {
		return err
	}
	va, err := (&routeTable{links: links}).indexOf("va")
	if err != nil {
		return err
	}
	nobody4, nobody6 := netip.MustParseAddr("10.9.0.88"), netip.MustParseAddr("fd09::88")
	asked := []netip.Addr{there4, there6, nobody4, nobody6}
	for start := time.Now(); time.Since(start) < 4200*time.Millisecond; time.Sleep(10 * time.Millisecond) {
		for _, addr := range asked {
			if state, _ := n.Lookup(va, addr); state == Unknown || state == Incomplete {
				if err := n.Resolve(va, addr); err != nil {
					return err
				}
			}
		}
	}
	for _, addr := range asked {
		state, mac := n.Lookup(va, addr)
		fmt.Printf("%v %v %x, ", addr, state, mac)
	}
	fmt.Println()
	linger()
	return nil
}

// CAP_NET_RAW is enough to resolve neighbours, IPv4 and IPv6, and to find out
// that there is nobody. The kernel's own table stays out of it.
func TestLabResolve(t *testing.T) {
	p := newPeer(t)
	var mac string
	p.do(func() { mac = fmt.Sprintf("%x", []byte(link(t, "vb").Attrs().HardwareAddr)) })
	got := startChild(t, onlyNetRaw, "resolve")
	want := fmt.Sprintf("%v reachable %s, %v reachable %s, 10.9.0.88 failed 000000000000, fd09::88 failed 000000000000,", there4, mac, there6, mac)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	n := openTestNeighbours(t)
	if state, _ := n.Lookup(ifindex(t, "va"), netip.MustParseAddr("10.9.0.88")); state != Unknown {
		t.Errorf("the kernel's table has it as %v", state)
	}
	if err := n.Resolve(ifindex(t, "lo"), loopback(false)); err == nil {
		t.Error("loopback has link addresses")
	}
	if err := n.Resolve(999, there4); err == nil {
		t.Error("an interface that is not there")
	}
}

// One request a second, three before a neighbour has failed, and an answer
// that is believed for a minute.
func TestInquiry(t *testing.T) {
	news := 0
	a := newAsked(func() { news++ })
	key := neighbourKey{3, there4}
	start := time.Now()
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	for _, step := range []struct {
		at   float64
		due  bool
		then NeighbourState
	}{
		{0, true, Incomplete}, {0.5, false, Incomplete}, {1, true, Incomplete}, {2.1, true, Incomplete}, {3, false, Incomplete},
	} {
		if got := a.due(key, at(step.at)); got != step.due {
			t.Errorf("at %v s due is %v", step.at, got)
		}
		if got, _ := a.lookup(key, at(step.at)); got != step.then {
			t.Errorf("at %v s it is %v", step.at, got)
		}
	}
	expect := func(seconds float64, want NeighbourState) {
		t.Helper()
		if got, _ := a.lookup(key, at(seconds)); got != want {
			t.Errorf("at %v s it is %v, not %v", seconds, got, want)
		}
	}
	expect(3.2, Failed)
	expect(30, Failed)
	if a.due(key, at(31)); a.died(key, at(31.5)) || !a.heardAt(key).IsZero() {
		t.Error("one that never answered has died")
	}
	expect(31.5, Failed) // until it answers
	a.heard(key, [6]byte{1}, at(31.6))
	expect(31.7, Reachable)
	a.heard(key, [6]byte{1}, at(31.8))
	if news != 1 {
		t.Errorf("%d times there was news, want it once: the second was the same", news)
	}
	a.heard(key, [6]byte{2}, at(31.9))
	if news != 2 {
		t.Error("another address was no news")
	}
	expect(91, Reachable)
	expect(92, Unknown)
	a.heard(key, [6]byte{2}, at(93))
	if expect(93.1, Reachable); news != 3 {
		t.Error("a word after a minute of silence was no news")
	}
	for i := range 3 {
		expect(99.9+float64(i), Reachable)
		a.due(key, at(100+float64(i)))
	}
	if expect(102.9, Reachable); a.died(key, at(102.9)) {
		t.Error("it has died within the time for its third answer")
	}
	if expect(103.1, Failed); !a.died(key, at(103.1)) || a.heardAt(key) != at(93) {
		t.Error("three requests without an answer, and it has not died")
	}
	a.due(key, at(103.2))
	expect(103.3, Failed)
	a.heard(key, [6]byte{2}, at(103.4))
	expect(103.5, Reachable)
	for i := range 9 { // that could not be sent
		a.due(key, at(104.5+float64(i)))
		a.unasked(key)
	}
	expect(115, Reachable)
	a.heard(neighbourKey{4, there4}, [6]byte{1}, at(94)) // nobody asked
	if len(a.entries) != 1 {
		t.Error("an answer without a question is remembered")
	}
}

func TestInquiriesAreBounded(t *testing.T) {
	a := newAsked(func() {})
	now := time.Now()
	for i := range maxInquiry + 1000 {
		a.due(neighbourKey{i, there4}, now)
	}
	if len(a.entries) > maxInquiry {
		t.Errorf("%d entries", len(a.entries))
	}
}

// The packets, in the eyes of another decoder.
func TestNeighbourPackets(t *testing.T) {
	us := speaker{mac: [6]byte{2, 0, 0, 0, 0, 1}, addr: here4}
	arp := gopacket.NewPacket(arpRequest(us, there4), layers.LayerTypeARP, gopacket.Default).Layer(layers.LayerTypeARP).(*layers.ARP)
	if arp.Operation != layers.ARPRequest || arp.Protocol != layers.EthernetTypeIPv4 || netip.AddrFrom4([4]byte(arp.SourceProtAddress)) != here4 ||
		netip.AddrFrom4([4]byte(arp.DstProtAddress)) != there4 || [6]byte(arp.SourceHwAddress) != us.mac {
		t.Errorf("%+v", arp)
	}
	us.addr = here6
	b := solicitation(us, there6)
	packet := gopacket.NewPacket(b, layers.LayerTypeIPv6, gopacket.Default)
	ip := packet.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	ns, ok := packet.Layer(layers.LayerTypeICMPv6NeighborSolicitation).(*layers.ICMPv6NeighborSolicitation)
	if !ok || ip.HopLimit != 255 || ip.DstIP.String() != "ff02::1:ff00:2" || ns.TargetAddress.String() != there6.String() || len(ns.Options) != 1 {
		t.Fatalf("%v", packet)
	}
	icmp := packet.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	sent := icmp.Checksum
	check(t, icmp.SetNetworkLayerForChecksum(ip))
	buf := gopacket.NewSerializeBuffer()
	check(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: true}, icmp, ns))
	if icmp.Checksum != sent {
		t.Errorf("checksum %x, want %x", sent, icmp.Checksum)
	}
}

func FuzzNeighbourAnswers(f *testing.F) {
	f.Add(arpRequest(speaker{addr: here4}, there4))
	f.Add(solicitation(speaker{addr: here6}, there6))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := parseARP(b); ok && !e.addr.Is4() {
			t.Errorf("%v", e)
		}
		if e, ok := parseAdvertisement(b); ok && !e.addr.Is6() {
			t.Errorf("%v", e)
		}
	})
}

func TestStateOf(t *testing.T) {
	for nud, want := range map[uint16]NeighbourState{
		unix.NUD_NONE: Unknown, unix.NUD_INCOMPLETE: Incomplete, unix.NUD_FAILED: Failed, unix.NUD_REACHABLE: Reachable,
		unix.NUD_STALE: Reachable, unix.NUD_DELAY: Reachable, unix.NUD_PROBE: Reachable, unix.NUD_PERMANENT: Reachable, unix.NUD_NOARP: Reachable,
	} {
		if got := stateOf(nud); got != want {
			t.Errorf("%#x: %v, want %v", nud, got, want)
		}
	}
}

func BenchmarkLabNeighbourLookup(b *testing.B) {
	newPeer(b)
	run(b, "ip neigh replace 10.9.0.2 lladdr 02:00:00:00:00:09 dev va")
	n := openTestNeighbours(b)
	va := ifindex(b, "va")
	b.Run("reachable", func(b *testing.B) {
		for b.Loop() {
			n.Lookup(va, there4)
		}
	})
	b.Run("unknown", func(b *testing.B) {
		for b.Loop() {
			n.Lookup(va, here4)
		}
	})
}
