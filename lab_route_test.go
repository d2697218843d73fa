//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// twoLinks joins the prober to two hosts that both own the addresses of twins: which of them a SYN reaches tells its way.
var (
	twoLinks = lab.Topology{Links: []lab.Link{{A: "prober", B: "left"}, {A: "prober", B: "right"}}}
	twins    = map[bool]netip.Addr{false: netip.MustParseAddr("10.90.0.1"), true: netip.MustParseAddr("fd90::1")}
)

func makeTwins(t *testing.T, n *lab.Net) {
	for _, host := range []*lab.Host{n.Host("left"), n.Host("right")} {
		host.Listen(t, 80)
		for _, a := range twins {
			host.AddAddress(t, "eth0", netip.PrefixFrom(a, a.BitLen()))
		}
	}
}

// via is the route to the twins that leads to one of them.
func via(n *lab.Net, host string, v6 bool) lab.Route {
	return lab.Route{To: netip.PrefixFrom(twins[v6], twins[v6].BitLen()), Via: n.Host(host).Addr(v6)}
}

// reaches probes the twins and returns which of them the SYN reached, and its source address.
func reaches(t *testing.T, n *lab.Net, p *rawshake.Prober, v6 bool) (host string, source netip.Addr) {
	t.Helper()
	left, right := n.Host("left").Capture(t), n.Host("right").Capture(t)
	defer left.Close()
	defer right.Close()
	r := want(t, probe(t, p, at(twins[v6], 80)), rawshake.Open, match.SYNACK)
	eventually(t, "a packet", func() bool {
		for name, wire := range map[string]*lab.Capture{"left": left, "right": right} {
			if len(wire.Packets(t)) > 0 {
				host = name
			}
		}
		return host != ""
	})
	return host, r.Source.Addr()
}

// TestLabInterfaces probes hosts on different links by one Prober, and each link's own host at the link-local address that all
// of them have.
func TestLabInterfaces(t *testing.T) {
	lab.Test(t, twoLinks, func(t *testing.T, n *lab.Net) {
		makeTwins(t, n)
		p := newProber(t, rawshake.Config{})
		for i, name := range []string{"left", "right"} {
			host, ours := n.Host(name), n.Prober().Interfaces[i]
			for _, c := range []struct{ target, source netip.Addr }{
				{host.V4, ours.V4},
				{host.V6, ours.V6},
				{host.Interfaces[0].LinkLocal.WithZone(ours.Name), ours.LinkLocal},
				{host.Interfaces[0].LinkLocal.WithZone(fmt.Sprint(ours.Index)), ours.LinkLocal},
			} {
				wire := host.Capture(t)
				r := want(t, probe(t, p, at(c.target, 80)), rawshake.Open, match.SYNACK)
				if r.Source.Addr().WithZone("") != c.source {
					t.Errorf("%v: source %v, want %v", c.target, r.Source, c.source)
				}
				wire.Expect(t, r.Target, lab.SYN(), lab.SYNACK(), lab.RST())
				want(t, probe(t, p, at(c.target, 81)), rawshake.Closed, match.RST)
			}
		}
	})
}

// TestLabRouteChanges changes the way to a target between probes of one Prober.
func TestLabRouteChanges(t *testing.T) {
	lab.Test(t, twoLinks, func(t *testing.T, n *lab.Net) {
		makeTwins(t, n)
		prober := n.Prober()
		families(t, func(t *testing.T, v6 bool) {
			p := newProber(t, quick)
			target := at(twins[v6], 80)
			is := func(what string, state rawshake.State, source netip.Addr) {
				t.Helper()
				eventually(t, what, func() bool {
					r := probe(t, p, target)
					return r.State == state && r.Source.Addr() == source
				})
			}
			leads := func(host string, source netip.Addr) {
				t.Helper()
				is("by "+host, rawshake.Open, source)
				if got, _ := reaches(t, n, p, v6); got != host {
					t.Errorf("the SYN reached %s, want %s", got, host)
				}
			}
			left, right := prober.Interfaces[0], prober.Interfaces[1]
			addr := func(i lab.Interface) netip.Addr {
				if v6 {
					return i.V6
				}
				return i.V4
			}
			is("no route", rawshake.Unreachable, netip.Addr{})
			remove := prober.AddRoute(t, via(n, "left", v6))
			leads("left", addr(left))
			remove()
			is("no route any more", rawshake.Unreachable, netip.Addr{})
			prober.AddRoute(t, via(n, "right", v6))
			leads("right", addr(right))

			better := via(n, "left", v6)
			better.To = netip.PrefixFrom(twins[v6], twins[v6].BitLen()-1).Masked() // less specific: does not count
			prober.AddRoute(t, better)
			leads("right", addr(right))

			extra := netip.PrefixFrom(addr(right).Next().Next(), addr(right).BitLen())
			prober.AddAddress(t, "eth1", extra)
			with := via(n, "right", v6)
			with.Source = extra.Addr()
			prober.DelRoute(t, via(n, "right", v6))
			prober.AddRoute(t, with)
			leads("right", extra.Addr())

			prober.FlushNeighbours(t)
			leads("right", extra.Addr())
		})
	})
}

// TestLabPolicyRouting holds that Config.Source, Interface and Mark choose the way as they do for other programs.
func TestLabPolicyRouting(t *testing.T) {
	const mark, bySource, byMark = 7, 100, 101
	lab.Test(t, twoLinks, func(t *testing.T, n *lab.Net) {
		makeTwins(t, n)
		prober := n.Prober()
		families(t, func(t *testing.T, v6 bool) {
			right := prober.Interfaces[1].V4
			if v6 {
				right = prober.Interfaces[1].V6
			}
			extra := netip.PrefixFrom(right.Next().Next().Next(), right.BitLen())
			prober.AddAddress(t, "eth1", extra)

			prober.AddRoute(t, via(n, "left", v6))
			worse := via(n, "right", v6)
			worse.Metric = 5000
			prober.AddRoute(t, worse)
			for _, table := range []int{bySource, byMark} {
				route := via(n, "right", v6)
				route.Table = table
				prober.AddRoute(t, route)
			}
			prober.AddRule(t, lab.Rule{From: extra, Table: bySource})
			prober.AddRule(t, lab.Rule{Mark: mark, Table: byMark, V6: v6})

			for _, c := range []struct {
				name   string
				config rawshake.Config
				host   string
			}{
				{"nothing", rawshake.Config{}, "left"},
				{"a mark", rawshake.Config{Mark: mark}, "right"},
				{"a mark without a rule", rawshake.Config{Mark: mark + 1}, "left"},
				{"a source", rawshake.Config{Source: extra.Addr()}, "right"},
				{"a source without a rule", rawshake.Config{Source: right}, "left"},
				{"an interface", rawshake.Config{Interface: "eth1"}, "right"},
				{"an interface and a source", rawshake.Config{Interface: "eth0", Source: right}, "left"},
			} {
				t.Run(c.name, func(t *testing.T) {
					host, source := reaches(t, n, newProber(t, c.config), v6)
					if theirs := kernelSource(t, c.config, at(twins[v6], 80)); host != c.host || source != theirs {
						t.Errorf("the SYN reached %s from %v, want %s from %v", host, source, c.host, theirs)
					}
				})
			}
		})
	})
}

// kernelSource returns the address that a connection of the kernel's with the same options leaves from.
func kernelSource(t *testing.T, c rawshake.Config, target netip.AddrPort) netip.Addr {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, conn syscall.RawConn) (err error) {
		conn.Control(func(fd uintptr) {
			err = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(c.Mark)),
				unix.BindToDevice(int(fd), c.Interface))
		})
		return err
	}}
	if c.Source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(at(c.Source, 0))
	}
	conn, err := d.DialContext(t.Context(), "tcp", target.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr()
}

// TestLabChosenSource holds what a source address and an interface exclude.
func TestLabChosenSource(t *testing.T) {
	lab.Test(t, twoLinks, func(t *testing.T, n *lab.Net) {
		prober, left, right := n.Prober(), n.Host("left"), n.Host("right")
		left.Listen(t, 80)
		families(t, func(t *testing.T, v6 bool) {
			p := newProber(t, rawshake.Config{Source: prober.Addr(v6)})
			want(t, probe(t, p, at(left.Addr(v6), 80)), rawshake.Open, match.SYNACK)
			r := want(t, probe(t, p, at(left.Addr(!v6), 80)), rawshake.Unsent, match.NoSource)
			if r.Err != syscall.EADDRNOTAVAIL && r.Err != syscall.EAFNOSUPPORT {
				t.Errorf("error %v", r.Err)
			}
			p = newProber(t, rawshake.Config{Interface: "eth0"})
			want(t, probe(t, p, at(left.Addr(v6), 80)), rawshake.Open, match.SYNACK)
			if !v6 { // what has no route over the chosen interface is taken for a neighbour there (ip_route_output_key_hash_rcu, net/ipv4/route.c)
				return
			}
			r = want(t, probe(t, p, at(right.V6, 80)), rawshake.Unreachable, match.NoRoute)
			if r.Err != syscall.ENETUNREACH {
				t.Errorf("error %v", r.Err)
			}
		})
		for name, c := range map[string]rawshake.Config{
			"10.77.1.2": {Source: left.V4}, "nosuch0": {Interface: "nosuch0"},
		} {
			if p, err := rawshake.New(c); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%+v: error %v, want one that names %s", c, err, name)
				if err == nil {
					p.Close()
				}
			}
		}
	})
}

// TestLabHeader holds the fields of what is sent that the caller chooses, on SYN and RST.
func TestLabHeader(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		families(t, func(t *testing.T, v6 bool) {
			for _, style := range []rawshake.Style{rawshake.MSSOnly, rawshake.Linux, rawshake.Windows, rawshake.BSD, rawshake.NoOptions} {
				wire := peer.Capture(t)
				p := newProber(t, rawshake.Config{TTL: 33, TOS: 0x48, Options: style, SourcePorts: rawshake.PortRange{First: 50000, Last: 50999}})
				want(t, probe(t, p, at(peer.Addr(v6), 80)), rawshake.Open, match.SYNACK)
				for _, packet := range wire.Expect(t, at(peer.Addr(v6), 80), lab.SYN(), lab.SYNACK(), lab.RST()) {
					if packet.Flags() == "S." {
						continue
					}
					tos := packet.Data[1]
					if v6 {
						tos = packet.Data[0]<<4 | packet.Data[1]>>4
					}
					if packet.TTL != 33 || tos != 0x48 || packet.Src.Port() < 50000 || packet.Src.Port() > 50999 {
						t.Errorf("%s: TOS %#x", packet, tos)
					}
					if isSYN(packet) && (len(packet.TCP.Options) == 0) != (style == rawshake.NoOptions) {
						t.Errorf("%v: options %v", style, packet.TCP.Options)
					}
				}
			}
		})
	})
}
