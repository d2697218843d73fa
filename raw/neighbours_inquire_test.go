//go:build linux && !android

package raw

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Three questions, a second apart, are what it takes to be failed; that is believed for as long as the caller likes, and then one more
// question is asked. An answer is believed for a minute.
func TestInquire(t *testing.T) {
	for _, believe := range []time.Duration{2 * time.Second, time.Minute} {
		a := newAsked(func() {})
		key := neighbourKey{3, there4}
		start := time.Now()
		at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
		expect := func(seconds float64, want NeighbourState, asks bool) {
			t.Helper()
			if got, _, ask := a.inquire(key, at(seconds), believe); got != want || ask != asks {
				t.Errorf("believing %v, at %v s: %v, asks %v, want %v, %v", believe, seconds, got, ask, want, asks)
			}
		}
		expect(0, Incomplete, true)
		expect(0.9, Incomplete, false)
		expect(1, Incomplete, true)
		expect(2.5, Incomplete, true)
		expect(3.4, Incomplete, false)
		expect(3.5, Failed, false)
		expect(4.4, Failed, false)
		last := 2.5
		if believe == 2*time.Second {
			expect(4.6, Incomplete, true)
			expect(5.5, Incomplete, false)
			expect(5.7, Failed, false)
			last = 4.6
		}
		expect(last+believe.Seconds()-0.1, Failed, false)
		expect(last+believe.Seconds(), Incomplete, true)
		a.heard(key, [6]byte{7}, at(last+believe.Seconds()+0.5))
		expect(last+believe.Seconds()+60, Reachable, false)
		expect(last+believe.Seconds()+60.6, Incomplete, true)
	}
}

// A loss of answers in our own socket is no sign of death.
func TestInquireAfterALoss(t *testing.T) {
	a := newAsked(func() {})
	now := time.Now()
	key := neighbourKey{3, there4}
	for range 3 {
		a.inquire(key, now, time.Minute)
		now = now.Add(time.Second)
	}
	a.lost = now.Add(-1500 * time.Millisecond)
	if state, _, ask := a.inquire(key, now, time.Minute); state != Incomplete || !ask {
		t.Errorf("%v, asks %v, after a loss", state, ask)
	}
	for range 2 {
		now = now.Add(time.Second)
		a.inquire(key, now, time.Minute)
	}
	if state, _, _ := a.inquire(key, now.Add(time.Second), time.Minute); state != Failed {
		t.Errorf("%v after three more questions", state)
	}
}

// Questions leave 10 000 a second, in small bursts.
func TestInquireIsPaced(t *testing.T) {
	a := newAsked(func() {})
	now := time.Now()
	asks := 0
	for range 1000 {
		for i := range 100 {
			if _, _, ask := a.inquire(neighbourKey{asks + i, there4}, now, time.Minute); ask {
				asks++
				break
			}
		}
		now = now.Add(20 * time.Microsecond)
	}
	if asks != 200 {
		t.Errorf("%d questions in 20 ms", asks)
	}
}

// Whoever answers for many is asked alone every other time, on its link.
func TestInquireAsksProxies(t *testing.T) {
	a := newAsked(func() {})
	now := time.Now()
	proxy := [6]byte{2, 5: 1}
	for i, mac := range [][6]byte{{9}, proxy, {9}, proxy, proxy, proxy, proxy, proxy, proxy, proxy} {
		key := neighbourKey{3, netip.AddrFrom4([4]byte{10, 9, 1, byte(i)})}
		a.inquire(key, now, time.Minute)
		a.heard(key, mac, now)
		a.heard(key, mac, now)
	}
	for _, ifindex := range []int{3, 4} {
		for i, want := range [][6]byte{{}, proxy, {}} {
			if ifindex == 4 {
				want = [6]byte{}
			}
			_, to, ask := a.inquire(neighbourKey{ifindex, there4}, now.Add(time.Duration(i)*time.Second), time.Minute)
			if !ask || to != want {
				t.Errorf("question %d on interface %d goes to %x, want %x", i, ifindex, to, want)
			}
		}
	}
}

// With answers to many questions at once, more than the socket has room for, nobody who lives is taken for dead.
func TestLabInquire(t *testing.T) {
	p := newPeer(t)
	p.do(func() { run(t, "ip route add local 10.9.8.0/21 dev lo") })
	run(t, "ip route add 10.9.0.0/16 dev va scope link")
	n := openTestNeighbours(t)
	us := link(t, "va")
	r := Route{Interface: us.Attrs().Index, Source: here4}
	copy(r.SourceMAC[:], us.Attrs().HardwareAddr)
	var want [6]byte
	p.do(func() { copy(want[:], link(t, "vb").Attrs().HardwareAddr) })
	lives := netip.MustParsePrefix("10.9.8.0/21")
	for end := time.Now().Add(8 * time.Second); ; time.Sleep(time.Millisecond) {
		unsettled := 0
		for a := netip.MustParseAddr("10.9.8.0"); a != netip.MustParseAddr("10.9.24.0"); a = a.Next() {
			state, mac, _, err := n.Inquire(r, a, time.Minute)
			check(t, err)
			switch {
			case state == Reachable && lives.Contains(a) && mac == want, state == Failed && !lives.Contains(a):
			case state == Reachable, state == Failed:
				t.Fatalf("%v is %v, %x", a, state, mac)
			default:
				unsettled++
			}
		}
		if unsettled == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d neighbours are neither known nor failed", unsettled)
		}
	}
}

// What the kernel has learned may be out of date: who lives is asked for the MAC that it has now, and who is gone is Failed. What the
// kernel was told holds.
func TestLabInquireBeyondTheKernel(t *testing.T) {
	p := newPeer(t)
	n := openTestNeighbours(t)
	us := link(t, "va")
	var want [6]byte
	p.do(func() { copy(want[:], link(t, "vb").Attrs().HardwareAddr) })
	old := [6]byte{2, 0, 0, 0, 0, 9}
	for _, c := range []struct {
		here, there netip.Addr
		nud         string
		state       NeighbourState
		mac         [6]byte
		asks        bool
	}{
		{here4, there4, "stale", Reachable, want, true},
		{here6, there6, "reachable", Reachable, want, true},
		{here4, netip.MustParseAddr("10.9.0.77"), "stale", Failed, [6]byte{}, true},
		{here6, netip.MustParseAddr("fd09::77"), "stale", Failed, [6]byte{}, true},
		{here4, netip.MustParseAddr("10.9.0.78"), "permanent", Reachable, old, false},
		{here6, netip.MustParseAddr("fd09::78"), "noarp", Reachable, old, false},
		{here6, netip.MustParseAddr("fd09::79"), "reachable extern_learn", Reachable, old, false},
	} {
		run(t, fmt.Sprintf("ip neigh replace %v lladdr 02:00:00:00:00:09 dev va nud %s", c.there, c.nud))
		for end := time.Now().Add(time.Second); ; time.Sleep(time.Millisecond) {
			if state, _, _ := n.known(neighbourKey{us.Attrs().Index, c.there}); state == Reachable {
				break
			} else if time.Now().After(end) {
				t.Fatalf("%v: there is no notice of it", c.there)
			}
		}
		r := Route{Interface: us.Attrs().Index, Source: c.here}
		copy(r.SourceMAC[:], us.Attrs().HardwareAddr)
		asks := 0
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			state, mac, asked, err := n.Inquire(r, c.there, time.Minute)
			check(t, err)
			if asked {
				asks++
			}
			if settled := state == Reachable || state == Failed; settled || time.Now().After(end) {
				if state != c.state || mac != c.mac || asks > 0 != c.asks {
					t.Errorf("%v, %s: %v, %x after %d questions, want %v, %x", c.there, c.nud, state, mac, asks, c.state, c.mac)
				}
				break
			}
		}
	}
}

// Whether a neighbour is silent is judged by our own questions: the kernel remembers for long that one did not answer once.
func TestLabSilent(t *testing.T) {
	newPeer(t)
	n := openTestNeighbours(t)
	us := link(t, "va")
	r := Route{Interface: us.Attrs().Index, Source: here4}
	copy(r.SourceMAC[:], us.Attrs().HardwareAddr)
	nobody := netip.MustParseAddr("10.9.0.80")
	for _, addr := range []netip.Addr{there4, nobody} {
		run(t, fmt.Sprintf("ip neigh add %v dev va nud failed", addr))
		becomes(t, n, r.Interface, addr, Failed, time.Second)
		if n.Silent(r.Interface, addr) {
			t.Errorf("%v is silent, and was not asked", addr)
		}
	}
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		silent := n.Silent(r.Interface, nobody)
		lives, _, _, err := n.Inquire(r, there4, time.Minute)
		check(t, err)
		dead, _, _, err := n.Inquire(r, nobody, time.Minute)
		check(t, err)
		if n.Silent(r.Interface, there4) || silent && dead != Failed || dead == Failed && !n.Silent(r.Interface, nobody) {
			t.Fatalf("%v is %v, %v is %v and was silent: %v", there4, lives, nobody, dead, silent)
		}
		if lives == Reachable && dead == Failed {
			break
		}
		if time.Since(began) > 4*time.Second {
			t.Fatalf("%v is %v, %v is %v", there4, lives, nobody, dead)
		}
	}
	n.asked.mu.Lock()
	n.asked.entries[neighbourKey{r.Interface, there4}].answered = time.Now().Add(-2 * answerLasts)
	n.asked.mu.Unlock()
	if n.Silent(r.Interface, there4) {
		t.Errorf("%v is silent, as its answer is old", there4)
	}
}

// A proxy answers for many neighbours, and a Linux one keeps but 64 questions that all have heard: whom it answers for is found all the same.
func TestLabInquireBehindAProxy(t *testing.T) {
	const many = 512
	p := newPeer(t)
	first4, first6 := netip.MustParseAddr("10.9.8.0"), netip.MustParseAddr("fd0a::")
	p.do(func() {
		run(t, "ip link add d0 type veth peer name d1")
		up(t, "d0")
		up(t, "d1")
		run(t, "ip route add 10.9.8.0/21 dev d0")
		run(t, "ip route add fd0a::/64 dev d0")
		for _, path := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv4/conf/vb/proxy_arp", "ipv6/conf/vb/proxy_ndp"} {
			sysctl(t, "net/"+path, "1")
		}
		addr := first6
		for range many { // IPv6 has no proxy for whole networks
			check(t, netlink.NeighAdd(&netlink.Neigh{
				LinkIndex: ifindex(t, "vb"), Family: unix.AF_INET6, Flags: netlink.NTF_PROXY, IP: addr.AsSlice(),
			}))
			addr = addr.Next()
		}
	})
	run(t, "ip route add 10.9.8.0/21 dev va")
	run(t, "ip route add fd0a::/64 dev va")
	n := openTestNeighbours(t)
	us := link(t, "va")
	for first, source := range map[netip.Addr]netip.Addr{first4: here4, first6: here6} {
		r := Route{Interface: us.Attrs().Index, Source: source}
		copy(r.SourceMAC[:], us.Attrs().HardwareAddr)
		count := map[NeighbourState]int{}
		for end := time.Now().Add(5 * time.Second); count[Reachable]+count[Failed] < many && time.Now().Before(end); time.Sleep(time.Millisecond) {
			clear(count)
			addr := first
			for range many {
				state, _, _, err := n.Inquire(r, addr, time.Minute)
				check(t, err)
				count[state]++
				addr = addr.Next()
			}
		}
		if count[Reachable] != many {
			t.Errorf("from %v on: %v", first, count)
		}
	}
}
