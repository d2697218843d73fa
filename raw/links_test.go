//go:build linux && !android

package raw

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestLabLinksFollow(t *testing.T) {
	p := newPeer(t)
	l, err := OpenLinks()
	check(t, err)
	defer l.Close()
	va := ifindex(t, "va")
	expect := func(what string, index int, want LinkState) {
		t.Helper()
		for end := time.Now().Add(2 * time.Second); l.State(index) != want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %+v, want %+v", what, l.State(index), want)
			}
		}
	}
	on, noCarrier := LinkState{Exists: true, Up: true, Carrier: true}, LinkState{Exists: true, Up: true}
	expect("at first", va, on)
	expect("loopback", ifindex(t, "lo"), on)
	expect("nothing", 999, LinkState{})
	losses := func(what string, index, want int, name string) {
		t.Helper()
		if n, is := l.Losses(index); n != want || is != name {
			t.Errorf("%s: %d losses of %q, want %d of %q", what, n, is, want, name)
		}
	}
	before := l.Generation()
	losses("at first", va, 0, "va")
	p.do(func() { down(t, "vb") })
	expect("peer down", va, noCarrier)
	losses("peer down", va, 1, "va")
	p.do(func() { up(t, "vb") })
	expect("peer up", va, on)
	down(t, "va")
	expect("down", va, LinkState{Exists: true})
	losses("down", va, 2, "va")
	up(t, "va")
	expect("up", va, on)
	losses("up", va, 2, "va")
	if l.Generation() == before {
		t.Error("the generation stays")
	}
	run(t, "ip link add late type veth peer name other")
	expect("new", ifindex(t, "late"), LinkState{Exists: true})
	index := ifindex(t, "late")
	check(t, netlink.LinkDel(link(t, "late")))
	expect("gone", index, LinkState{})
	losses("gone", index, 1, "")
}

// A loss that is over before the kernel looks is one all the same, and so is one of which the notice was lost.
func TestLabLinksCountShortLosses(t *testing.T) {
	p := newPeer(t)
	l, err := OpenLinks()
	check(t, err)
	defer l.Close()
	va := ifindex(t, "va")
	const times = 5
	for range times {
		p.do(func() { down(t, "vb"); up(t, "vb") })
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if n, _ := l.Losses(va); n > 0 && l.State(va).Carrier {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", (*l.known.Load())[va])
		}
	}
}

// What comes after a state, by notice or when all is read anew.
func TestLinkLosses(t *testing.T) {
	const up, carrier = unix.IFF_UP, unix.IFF_UP | unix.IFF_LOWER_UP
	var past linkPast
	for i, step := range []struct {
		flags, downs uint32
		losses       int
	}{
		{up, 1, 0}, {carrier, 1, 0}, {carrier, 1, 0}, {up, 2, 1}, {up, 3, 1}, {carrier, 3, 1}, {carrier, 4, 2}, {carrier, 6, 3}, {0, 7, 4}, {carrier, 7, 4},
	} {
		if past = past.next(linkInfo{flags: step.flags, downs: step.downs}); past.losses != step.losses {
			t.Errorf("step %d: %+v, want %d losses", i, past, step.losses)
		}
	}
}

// A bridge says of its port what would read as the port's end.
func TestLinksIgnoreBridges(t *testing.T) {
	l := &Links{}
	l.known.Store(&map[int]linkPast{3: {LinkState: LinkState{Exists: true}}})
	say := func(family uint8) {
		l.notice(message{kind: unix.RTM_DELLINK, body: newRequest(unix.RTM_DELLINK, unix.IfInfomsg{Family: family, Index: 3}).body})
	}
	if say(unix.AF_BRIDGE); !l.State(3).Exists {
		t.Error("the interface is gone when it leaves a bridge")
	}
	if say(unix.AF_UNSPEC); l.State(3).Exists {
		t.Error("the interface stays")
	}
}

func TestVRFDevice(t *testing.T) {
	links := map[int]linkInfo{
		1: {index: 1, name: "lo"},
		2: {index: 2, name: "eth0"},
		3: {index: 3, name: "red", kind: "vrf"},
		4: {index: 4, name: "eth1", master: 3},
		5: {index: 5, name: "br0", kind: "bridge"},
		6: {index: 6, name: "eth2", master: 5},
	}
	for device, want := range map[string]string{"lo": "", "eth0": "", "red": "red", "eth1": "eth1", "br0": "", "eth2": "", "4": "eth1"} {
		if got, err := vrfDevice(links, device); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", device, got, err, want)
		}
	}
	if _, err := vrfDevice(links, "none"); err == nil {
		t.Error("an interface that is not there")
	}
}
