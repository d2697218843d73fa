//go:build linux && !android

package raw

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func openTestRoutes(t testing.TB, c RouteConfig) *Routes {
	t.Helper()
	r, err := OpenRoutes(c)
	check(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// crookedRoutes sets up rules and routes of every sort.
func crookedRoutes(t testing.TB) {
	t.Helper()
	newPeer(t)
	for _, command := range []string{
		"ip link add vc type veth peer name vd", "ip link set vc up", "ip link set vd up",
		"ip tuntap add dev tn mode tun", "ip link set tn up", "ip addr add 10.7.0.1/32 dev tn",
		"ip addr add 10.8.0.1/24 dev vc", "ip addr add 10.8.1.1/24 dev vc",
		"ip -6 addr add 2001:db8:4000::1/64 dev vc nodad", "ip -6 addr add 2001:db8:8::1/64 dev vc nodad", "ip -6 addr add fd08::1/64 dev vc nodad",
		"ip -6 addr add 2001:db8:8::dead/64 dev vc nodad preferred_lft 0",
		"ip -6 addr add 2001:db8:9:9::1/64 dev vc nodad",
		"ip route add default via 10.9.0.254", "ip -6 route add default via fd08::fe dev vc",
		"ip route add 10.20.0.0/16 via 10.8.0.9 src 10.8.1.1 mtu 1300",
		"ip route add 10.20.3.0/24 via inet6 fe80::9 dev vc",
		"ip route add 10.21.0.0/16 dev tn", "ip -6 route add fd21::/32 dev tn",
		"ip route add 10.22.0.0/17 dev vc scope link",
		"ip route add unreachable 10.30.0.0/16", "ip route add prohibit 10.31.0.0/16", "ip route add blackhole 10.32.0.0/16",
		"ip -6 route add unreachable fd30::/32", "ip -6 route add prohibit fd31::/32", "ip -6 route add blackhole fd32::/32",
		"ip route add 10.40.0.0/16 via 10.8.0.7 table 77", "ip route add throw 10.40.9.0/24 table 77",
		"ip rule add to 10.40.0.0/15 lookup 77", "ip rule add fwmark 5 lookup 78", "ip rule add from 10.8.1.1 lookup 79",
		"ip route add default via 10.8.0.5 table 78", "ip route add default via 10.8.0.6 table 79",
		"ip rule add to 10.50.0.0/16 ipproto udp lookup 78", "ip rule add to 10.51.0.0/16 ipproto tcp lookup 78",
		"ip rule add to 10.60.0.0/24 prohibit",
		"ip -6 route add fd40::/32 via fd08::7 dev vc table 77", "ip -6 rule add to fd40:0::/30 lookup 77",
		"ip -6 route add 2002::/16 via fd08::2 dev vc", "ip -6 route add fec0::/16 via fd08::2 dev vc",
		"ip addrlabel add prefix 2600:5::/32 label 5", // that of fc00::/7
		"ip route add local 10.70.0.0/24 dev lo", "ip -6 route add local fd70::/64 dev lo",
	} {
		run(t, command)
	}
}

// Every address of a cell gets the answer that the kernel has for it, whoever
// filled the cell: the choice of route, gateway, source and error. A TCP
// socket that connects is the other witness.
func TestLabRoutesAgreeWithKernel(t *testing.T) {
	crookedRoutes(t)
	for _, c := range []RouteConfig{
		{}, {Mark: 5}, {Interface: "vc"},
		{Source: netip.MustParseAddr("10.8.1.1")}, {Source: netip.MustParseAddr("2001:db8:9:9::1")},
	} {
		r := openTestRoutes(t, c)
		table := r.table.Load()
		random := rand.New(rand.NewPCG(1, 2))
		for _, v6 := range []bool{false, true} {
			if c.Source.IsValid() && c.Source.Is6() != v6 {
				continue
			}
			for range 3000 {
				dst := near(random, v6).Unmap()
				got, err := r.Lookup(dst)
				fresh := r.resolve(table, dst, r.oif)
				if got != fresh.route || err != fresh.err {
					t.Fatalf("%+v, %v:\ncell   %+v %v\nkernel %+v %v", c, dst, got, err, fresh.route, fresh.err)
				}
				source, errno := connectTo(t, c, dst)
				if err == nil && (errno != nil || source != got.Source) || err != nil && err != errno {
					t.Fatalf("%+v, %v: lookup %v, %v; connect %v, %v", c, dst, got.Source, err, source, errno)
				}
			}
		}
	}
}

// seeds are prefixes at whose bounds something changes in crookedRoutes, and
// own addresses. They are written down here, so that a bound that the cells
// lack is looked at all the same.
var seeds = [2][]netip.Prefix{prefixes(
	"0.0.0.0/0", "0.0.0.0/32", "10.0.0.0/8", "10.7.0.1/32", "10.8.0.0/24", "10.8.0.255/32", "10.8.1.0/24", "10.8.1.1/32", "10.9.0.0/24",
	"10.20.0.0/16", "10.20.3.0/24", "10.21.0.0/16", "10.22.0.0/17", "10.30.0.0/16", "10.31.0.0/16", "10.32.0.0/16", "10.40.0.0/15",
	"10.40.0.0/16", "10.40.9.0/24", "10.50.0.0/16", "10.51.0.0/16", "10.60.0.0/24", "10.70.0.0/24", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32",
), prefixes(
	"::/0", "::/128", "::1/128", "::/96", "2001:db8:4000::/64", "2001:db8:4000::1/128", "2600:5::/32", "2001:db8:8::/64", "2001:db8:8::1/128", "2001:db8:8::dead/128", "2001:db8:9:9::/64", "2001:db8:9:9::1/128",
	"2001::/32", "2002::/16", "fc00::/7", "fd08::/64", "fd09::/64", "fd09::1/128", "fd21::/32", "fd30::/32", "fd31::/32", "fd32::/32",
	"fd40::/32", "fd40::/30", "fd70::/64", "fe80::/10", "fe80::/64", "fec0::/10", "fec0::/16", "ff00::/8",
)}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// near picks an address beside a bound of a prefix, inside it, or one that
// parts from its first address at any bit.
func near(random *rand.Rand, v6 bool) netip.Addr {
	all := seeds[0]
	bits := 32
	if v6 {
		all, bits = seeds[1], 128
	}
	first, last := bounds(all[random.IntN(len(all))])
	k := first
	switch random.IntN(4) {
	case 0:
		k.lo--
	case 1:
		k = last
	case 2:
		k, _ = last.next(v6)
	case 3:
		if part := random.IntN(bits); part >= 64 {
			k.hi ^= 1<<(part-64) | random.Uint64()&(1<<(part-64)-1)
			k.lo = random.Uint64()
		} else {
			k.lo ^= 1<<part | random.Uint64()&(1<<part-1)
		}
	}
	if !v6 {
		return addr4(uint32(k.lo))
	}
	return addr6(k)
}

func addr4(v uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

func addr6(k key) netip.Addr {
	var b [16]byte
	for i := range 8 {
		b[i], b[8+i] = byte(k.hi>>(56-8*i)), byte(k.lo>>(56-8*i))
	}
	return netip.AddrFrom16(b)
}

// connectTo lets a TCP socket connect to a port and returns its address and
// what connect said.
func connectTo(t *testing.T, c RouteConfig, dst netip.Addr) (netip.Addr, error) {
	t.Helper()
	dst = dst.Unmap()
	domain := unix.AF_INET
	if dst.Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	check(t, err)
	defer unix.Close(fd)
	check(t, bindDevice(fd, c.Interface))
	check(t, setMark(fd, c.Mark))
	check(t, bindSource(fd, dst.Is6(), c.Source))
	to, err := socketAddress(dst.Is6(), dst, 7)
	check(t, err)
	err = unix.Connect(fd, to)
	if err != nil && err != unix.EINPROGRESS && err != unix.ECONNREFUSED {
		return netip.Addr{}, err
	}
	switch a, _ := unix.Getsockname(fd); a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(a.Addr), nil
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(a.Addr), nil
	}
	return netip.Addr{}, unix.EINVAL
}

func TestLabRouteFields(t *testing.T) {
	crookedRoutes(t)
	r := openTestRoutes(t, RouteConfig{})
	var mac [6]byte
	copy(mac[:], link(t, "vc").Attrs().HardwareAddr)
	linkLocal := linkLocalOf(t, "va")
	a := netip.MustParseAddr
	lo, va, vc, tn := ifindex(t, "lo"), ifindex(t, "va"), ifindex(t, "vc"), ifindex(t, "tn")
	for dst, want := range map[string]Route{
		"127.0.0.1":                  {Interface: lo, Source: a("127.0.0.1"), Kind: Local, MTU: 65536},
		"::1":                        {Interface: lo, Source: a("::1"), Kind: Local, MTU: 65536},
		"10.9.0.1":                   {Interface: lo, Source: a("10.9.0.1"), Kind: Local, MTU: 65536},
		"fd09::1":                    {Kind: Local, Source: a("fd09::1"), MTU: 65536},
		"10.70.0.9":                  {Interface: lo, Source: a("10.70.0.9"), Kind: Local, MTU: 65536},
		"10.8.0.77":                  {Interface: vc, Source: a("10.8.0.1"), Kind: Link, SourceMAC: mac, MTU: 1500},
		"::ffff:10.8.0.77":           {Interface: vc, Source: a("10.8.0.1"), Kind: Link, SourceMAC: mac, MTU: 1500},
		"10.8.1.77":                  {Interface: vc, Source: a("10.8.1.1"), Kind: Link, SourceMAC: mac, MTU: 1500},
		"10.20.1.1":                  {Interface: vc, Source: a("10.8.1.1"), Gateway: a("10.8.0.9"), Kind: Link, SourceMAC: mac, MTU: 1300},
		"10.20.3.1":                  {Interface: vc, Source: a("10.8.0.1"), Gateway: a("fe80::9"), Kind: Link, SourceMAC: mac, MTU: 1500},
		"10.21.0.1":                  {Interface: tn, Source: a("10.7.0.1"), Kind: PointToPoint, MTU: 1500},
		"2001:db8:9:9::5":            {Interface: vc, Source: a("2001:db8:9:9::1"), Kind: Link, SourceMAC: mac, MTU: 1500},
		"2600::1":                    {Interface: vc, Gateway: a("fd08::fe"), Source: a("2001:db8:9:9::1"), Kind: Link, SourceMAC: mac, MTU: 1500},
		"fd11::1":                    {Interface: vc, Gateway: a("fd08::fe"), Source: a("fd08::1"), Kind: Link, SourceMAC: mac, MTU: 1500},
		"fe80::1234%vc":              {Interface: vc, Source: linkLocalOf(t, "vc"), Kind: Link, SourceMAC: mac, MTU: 1500},
		linkLocal.String() + "%va":   {Interface: va, Source: linkLocal, Kind: Local},
		"fe80::77%" + fmt.Sprint(vc): {Interface: vc, Source: linkLocalOf(t, "vc"), Kind: Link, SourceMAC: mac, MTU: 1500},
	} {
		for range 2 { // asked, and from the cell
			got, err := r.Lookup(a(dst))
			if want.Interface == 0 {
				got.Interface = 0 // the kernel says lo or the owner, by version
			}
			if want.Kind == Local {
				got.MTU = want.MTU
			}
			if err != nil || got != want {
				t.Errorf("%s: %+v, %v\nwant %+v", dst, got, err, want)
			}
		}
	}
	for dst, want := range map[string]error{
		"224.0.0.1": unix.ENETUNREACH, "ff02::1": unix.ENETUNREACH, "255.255.255.255": unix.ENETUNREACH,
		"10.8.0.255": unix.ENETUNREACH, "10.30.0.1": unix.EHOSTUNREACH, "10.31.0.1": unix.EACCES, "10.32.0.1": unix.EINVAL,
		"10.60.0.1": unix.EACCES, "fd30::1": unix.EHOSTUNREACH, "fd31::1": unix.EACCES, "fd32::1": unix.EINVAL,
		"fe80::1": unix.EINVAL, "fe80::1%none": unix.ENODEV,
	} {
		if _, err := r.Lookup(a(dst)); err != want {
			t.Errorf("%s: %v, want %v", dst, err, want)
		}
	}
	if _, err := r.Lookup(netip.Addr{}); err != unix.EINVAL {
		t.Errorf("the zero address: %v", err)
	}
	if _, err := OpenRoutes(RouteConfig{Interface: "none0"}); !errors.Is(err, unix.ENODEV) {
		t.Errorf("an interface that is not there: %v", err)
	}
}

// TestLabLoopbackLeadsNowhere: by the loopback interface one gets to this host alone.
func TestLabLoopbackLeadsNowhere(t *testing.T) {
	crookedRoutes(t)
	r := openTestRoutes(t, RouteConfig{Interface: "lo"})
	for dst, want := range map[string]error{
		"127.0.0.1": nil, "::1": nil, "10.9.0.1": nil, "10.70.0.9": nil, "10.9.0.2": unix.ENETUNREACH, "198.51.100.1": unix.ENETUNREACH,
		"2600::1": unix.ENETUNREACH,
	} {
		if route, err := r.Lookup(netip.MustParseAddr(dst)); err != want {
			t.Errorf("%s: %+v, %v; want %v", dst, route, err, want)
		}
	}
}

func linkLocalOf(t testing.TB, name string) netip.Addr {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		addrs, err := netlink.AddrList(link(t, name), netlink.FAMILY_V6)
		check(t, err)
		for _, a := range addrs {
			if a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
				addr, _ := netip.AddrFromSlice(a.IP)
				return addr
			}
		}
	}
	t.Fatalf("%s has no link-local address", name)
	return netip.Addr{}
}

// A change is seen soon after the command that made it returns.
func TestLabRouteChangesAreNoticed(t *testing.T) {
	newPeer(t)
	r := openTestRoutes(t, RouteConfig{Mark: 3})
	a := netip.MustParseAddr
	far4, far6 := a("198.51.100.1"), a("2001:db8:5::1")
	expect := func(what string, dst netip.Addr, want func(Route, error) bool) {
		t.Helper()
		start := time.Now()
		for {
			route, err := r.Lookup(dst)
			if want(route, err) {
				return
			}
			if time.Since(start) > time.Second {
				t.Fatalf("%s: after a second still %+v, %v", what, route, err)
			}
			time.Sleep(time.Millisecond)
		}
	}
	via := func(gw string) func(Route, error) bool {
		return func(r Route, err error) bool { return err == nil && r.Gateway == a(gw) }
	}
	fails := func(want error) func(Route, error) bool {
		return func(_ Route, err error) bool { return err == want }
	}
	expect("at first", far4, fails(unix.ENETUNREACH))
	expect("at first", far6, fails(unix.ENETUNREACH))
	for _, step := range []struct {
		command string
		dst     netip.Addr
		want    func(Route, error) bool
	}{
		{"ip route add default via 10.9.0.2", far4, via("10.9.0.2")},
		{"ip route replace default via 10.9.0.3", far4, via("10.9.0.3")},
		{"ip route add 198.51.100.0/28 via 10.9.0.4", far4, via("10.9.0.4")},
		{"ip route add 198.51.100.0/24 via 10.9.0.5 table 9", far4, via("10.9.0.4")},
		{"ip rule add fwmark 3 to 198.51.100.0/30 lookup 9", far4, via("10.9.0.5")},
		{"ip rule del fwmark 3 to 198.51.100.0/30 lookup 9", far4, via("10.9.0.4")},
		{"ip route del 198.51.100.0/28", far4, via("10.9.0.3")},
		{"ip addr add 198.51.100.1/32 dev lo", far4, func(r Route, err error) bool { return r.Kind == Local && r.Source == far4 }},
		{"ip addr del 198.51.100.1/32 dev lo", far4, via("10.9.0.3")},
		{"ip -6 route add default via fd09::2", far6, via("fd09::2")},
		{"ip -6 route add prohibit 2001:db8:5::/48", far6, fails(unix.EACCES)},
		{"ip -6 route del prohibit 2001:db8:5::/48", far6, via("fd09::2")},
		{"ip -6 addr add 2001:db8:77::1/128 dev va nodad", far6, func(r Route, err error) bool { return r.Source == a("2001:db8:77::1") }},
		{"ip link set va address 02:00:00:00:00:77", far4, func(r Route, err error) bool { return r.SourceMAC[5] == 0x77 }},
		{"ip link set va mtu 1400", far4, func(r Route, err error) bool { return r.MTU == 1400 }},
		{"ip nexthop add id 7 via 10.9.0.7 dev va", far4, via("10.9.0.3")},
		{"ip route add 198.51.100.0/28 nhid 7", far4, via("10.9.0.7")},
		{"ip nexthop replace id 7 via 10.9.0.8 dev va", far4, via("10.9.0.8")},
	} {
		before := r.Generation()
		run(t, step.command)
		expect(step.command, step.dst, step.want)
		for end := time.Now().Add(time.Second); r.Generation() == before; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: the generation stays at %d", step.command, before)
			}
		}
	}
	run(t, "ip route del 198.51.100.0/28")
	sysctl(t, "net/ipv6/conf/va/disable_ipv6", "1") // its notices would hide that IPv4 has none
	for range 50 {                                  // the routes go a moment after the notice
		down(t, "va")
		expect("down", far4, fails(unix.ENETUNREACH))
		up(t, "va")
		run(t, "ip route add default via 10.9.0.3")
		expect("up", far4, via("10.9.0.3"))
	}
}

// When the kernel's tables cannot be read, lookups ask the kernel each time.
func TestLabRoutesWithoutCells(t *testing.T) {
	newPeer(t)
	r := openTestRoutes(t, RouteConfig{})
	r.table.Store(&routeTable{links: r.table.Load().links})
	for _, dst := range []netip.Addr{there4, there6, loopback(true), linkLocalOf(t, "va").WithZone("va")} {
		if route, err := r.Lookup(dst); err != nil || !route.Source.IsValid() {
			t.Errorf("%v: %+v, %v", dst, route, err)
		}
	}
}

// A route over an interface that is younger than the table is found.
func TestLabRouteOverNewLink(t *testing.T) {
	newPeer(t)
	r := openTestRoutes(t, RouteConfig{})
	table := r.table.Load()
	links := maps.Clone(table.links)
	delete(links, ifindex(t, "va"))
	r.table.Store(&routeTable{links: links, cells: table.cells})
	if route, err := r.Lookup(there4); err != nil || route.Interface != ifindex(t, "va") {
		t.Errorf("%+v, %v", route, err)
	}
}

// A reader that was too slow hears that it has missed something.
func TestLabLostNotices(t *testing.T) {
	namespace(t)
	release, lost := make(chan struct{}), make(chan struct{}, 1000)
	m, err := openMonitor([]int{unix.RTNLGRP_IPV4_IFADDR}, func(message) { <-release }, func() { lost <- struct{}{} })
	check(t, err)
	defer m.close()
	raw, err := m.file.SyscallConn()
	check(t, err)
	raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
	for i := range 100 {
		address(t, "lo", fmt.Sprintf("10.1.1.%d/32", i))
	}
	close(release)
	select {
	case <-lost:
	case <-time.After(5 * time.Second):
		t.Error("nothing was said")
	}
}

func TestLabLookupDoesNotAllocate(t *testing.T) {
	newPeer(t)
	r := openTestRoutes(t, RouteConfig{})
	for _, dst := range []netip.Addr{there4, there6} {
		r.Lookup(dst)
		if n := testing.AllocsPerRun(100, func() { r.Lookup(dst) }); n != 0 {
			t.Errorf("%v: %v allocations", dst, n)
		}
	}
}

func BenchmarkLabRouteLookup(b *testing.B) {
	crookedRoutes(b)
	r := openTestRoutes(b, RouteConfig{})
	table := r.table.Load()
	b.Logf("cells: %d IPv4, %d IPv6", len(table.cells[0].starts), len(table.cells[1].starts))
	for name, dst := range map[string]string{"v4": "10.20.1.1", "v6": "2600::1"} {
		addr := netip.MustParseAddr(dst)
		b.Run(name+"/cached", func(b *testing.B) {
			for b.Loop() {
				r.Lookup(addr)
			}
		})
		b.Run(name+"/kernel", func(b *testing.B) {
			for b.Loop() {
				r.resolve(table, addr, 0)
			}
		})
	}
	for name, v6 := range map[string]bool{"v4": false, "v6": true} {
		b.Run(name+"/random", func(b *testing.B) {
			random := rand.New(rand.NewPCG(1, 2))
			var dst [4096]netip.Addr
			for i := range dst {
				dst[i] = addr4(random.Uint32())
				if v6 {
					dst[i] = addr6(key{0x2000<<48 | random.Uint64()>>3, random.Uint64()})
				}
			}
			for i := 0; b.Loop(); i++ {
				r.Lookup(dst[i%len(dst)])
			}
		})
	}
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			r.build()
		}
	})
}

// What a destination had at first stays known when it is gone, and what had nothing then has not.
func TestLabRoutesRemember(t *testing.T) {
	newPeer(t)
	run(t, "ip route add 10.20.0.0/16 via 10.9.0.254")
	run(t, "ip -6 route add fd20::/32 via fd09::fe dev va")
	run(t, "ip route add unreachable 10.30.0.0/16")
	r := openTestRoutes(t, RouteConfig{})
	if _, _, ok := r.Was(there4); ok {
		t.Error("it knows what it was not told to remember")
	}
	r.Remember()
	had := []netip.Addr{netip.MustParseAddr("10.20.3.4"), netip.MustParseAddr("fd20::5"), there4, there6}
	for _, dst := range had {
		want, err := r.Lookup(dst)
		if got, name, ok := r.Was(dst); err != nil || !ok || got != want || name != "va" {
			t.Errorf("%v was %+v by %q (%v), is %+v", dst, got, name, ok, want)
		}
	}
	down(t, "va")
	for _, dst := range had {
		for end := time.Now().Add(2 * time.Second); ; time.Sleep(time.Millisecond) {
			if _, err := r.Lookup(dst); err != nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%v keeps its route", dst)
			}
		}
		if _, name, ok := r.Was(dst); !ok || name != "va" {
			t.Errorf("%v was never reached", dst)
		}
	}
	for _, text := range []string{"10.30.0.1", "10.31.0.1", "fd31::1", "255.255.255.255", "fe80::1%va", "fe80::1%none", "fe80::1"} {
		if _, _, ok := r.Was(netip.MustParseAddr(text)); ok {
			t.Errorf("%s had a route", text)
		}
	}
}
