//go:build linux && !android

package rawshake

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/lab"
)

// The tests of this file are tcp-shaker's situations that need a network, with each method, as a user with CAP_NET_RAW alone.

func at(a netip.Addr, port uint16) string { return netip.AddrPortFrom(a, port).String() }

func TestSituationUnreachable(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		rejects := []struct {
			with  lab.Reject
			addr  netip.Addr
			errno syscall.Errno
		}{
			{lab.NetUnreachable, peer.V4, syscall.ENETUNREACH},
			{lab.HostUnreachable, peer.V4, syscall.EHOSTUNREACH},
			{lab.ProtUnreachable, peer.V4, syscall.ENOPROTOOPT},
			{lab.PortUnreachable, peer.V4, syscall.ECONNREFUSED},
			{lab.NetProhibited, peer.V4, syscall.ENETUNREACH},
			{lab.HostProhibited, peer.V4, syscall.EHOSTUNREACH},
			{lab.AdminProhibited, peer.V4, syscall.EHOSTUNREACH},
			{lab.TCPReset, peer.V4, syscall.ECONNREFUSED},
			{lab.NoRoute6, peer.V6, syscall.ENETUNREACH},
			{lab.AdminProhibited6, peer.V6, syscall.EACCES},
			{lab.AddrUnreachable6, peer.V6, syscall.EHOSTUNREACH},
			{lab.PortUnreachable6, peer.V6, syscall.ECONNREFUSED},
			{lab.TCPReset, peer.V6, syscall.ECONNREFUSED},
		}
		for i, r := range rejects {
			peer.Reject(t, uint16(100+i), r.with)
		}
		eachMethod(t, func(t *testing.T, config Config) {
			c := started(t, NewCheckerConfig(config))
			for i, r := range rejects {
				t.Run(fmt.Sprintf("%s from %s", r.with, r.addr), func(t *testing.T) {
					start := time.Now()
					wantErrConnect(t, c.CheckAddr(at(r.addr, uint16(100+i)), 10*time.Second), r.errno)
					// connect(2) forgets an ICMPv6 error that arrives while it still holds its socket, as on a veth pair.
					if took := time.Since(start); took > 900*time.Millisecond && config.Method == MethodRaw {
						t.Errorf("it took %v, want the first attempt to settle it", took)
					}
				})
			}
		})
	})
}

// TestDifferenceTooBig: connect(2) takes an ICMP error that asks for smaller packets for advice, goes on and times out, though a SYN
// cannot get smaller; likewise one about fragments that did not come together, which a SYN does not have.
func TestDifferenceTooBig(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Script(t, func(p lab.Packet) []lab.Answer {
			if p.Flags() != "S" {
				return nil
			}
			e := p.Error(p.Dst.Addr(), 3, 4)
			switch {
			case p.Dst.Port() == 81:
				e.Type, e.Code = 11, 1
			case p.Dst.Addr().Is6():
				e.Type, e.Code = 2, 0
			}
			e.MTU = 1280
			return lab.After(5*time.Millisecond, e) // see TestLabICMP
		})
		eachMethod(t, func(t *testing.T, config Config) {
			c := started(t, NewCheckerConfig(config))
			for target, errno := range map[string]syscall.Errno{
				at(peer.V4, 80): syscall.EMSGSIZE, at(peer.V6, 80): syscall.EMSGSIZE, at(peer.V4, 81): syscall.EHOSTUNREACH,
			} {
				err := c.CheckAddr(target, 900*time.Millisecond)
				if config.Method == MethodRaw {
					wantErrConnect(t, err, errno)
				} else if err != ErrTimeout {
					t.Errorf("connect to %s: %v, want ErrTimeout", target, err)
				}
			}
		})
	})
}

func TestSituationNoRoute(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		for prefix, kind := range map[string]string{
			"10.1.0.0/16": "unreachable", "10.2.0.0/16": "prohibit", "10.3.0.0/16": "blackhole",
			"fd01::/16": "unreachable", "fd02::/16": "prohibit", "fd03::/16": "blackhole",
		} {
			prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix(prefix), Type: kind})
		}
		prober.Nft(t, "chain out { type filter hook output priority 0; tcp dport 99 drop; }")
		eachMethod(t, func(t *testing.T, config Config) {
			c := started(t, NewCheckerConfig(config))
			for name, row := range map[string]struct {
				addr  string
				errno syscall.Errno
			}{
				"unreachable route":    {"10.1.0.1:80", syscall.EHOSTUNREACH},
				"prohibit route":       {"10.2.0.1:80", syscall.EACCES},
				"blackhole route":      {"10.3.0.1:80", syscall.EINVAL},
				"no route":             {"192.0.2.1:80", syscall.ENETUNREACH},
				"IPv6 unreachable":     {"[fd01::1]:80", syscall.EHOSTUNREACH},
				"IPv6 prohibit":        {"[fd02::1]:80", syscall.EACCES},
				"IPv6 blackhole":       {"[fd03::1]:80", syscall.EINVAL},
				"IPv6 no route":        {"[2001:db8::1]:80", syscall.ENETUNREACH},
				"broadcast":            {"255.255.255.255:80", syscall.ENETUNREACH},
				"broadcast of the net": {"10.77.1.255:80", syscall.ENETUNREACH},
				"multicast":            {"224.0.0.1:80", syscall.ENETUNREACH},
			} {
				t.Run(name, func(t *testing.T) {
					start := time.Now()
					wantErrConnect(t, c.CheckAddr(row.addr, 10*time.Second), row.errno)
					if took := time.Since(start); took > 500*time.Millisecond {
						t.Errorf("it took %v, want at once", took)
					}
				})
			}
			t.Run("local firewall", func(t *testing.T) {
				err := c.CheckAddr(at(peer.V4, 99), 300*time.Millisecond)
				if config.Method == MethodConnect {
					if err != ErrTimeout {
						t.Errorf("connect: %v, want ErrTimeout", err)
					}
					return
				}
				t.Run("difference/says so", func(t *testing.T) { wantErrConnect(t, err, syscall.EPERM) })
			})
		})
	})
}

// TestSituationDeadNeighbour is the row of a host on the same link that answers no ARP.
func TestSituationDeadNeighbour(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		eachMethod(t, func(t *testing.T, config Config) {
			c := started(t, NewCheckerConfig(config))
			six := make(chan error, 1)
			go func() { six <- c.CheckAddr("[fd77:0:0:1::99]:80", 5*time.Second) }()
			wantErrConnect(t, c.CheckAddr("10.77.1.99:80", 5*time.Second), syscall.EHOSTUNREACH)
			wantErrConnect(t, <-six, syscall.EHOSTUNREACH)
		})
	})
}

// TestDifferenceUnsentIsNotSilence: where a SYN is not known to have left, connect(2) times out like with a silent target. That is the
// other half of the row of the host that answers no ARP, with less time than the kernel takes to give it up.
func TestDifferenceUnsentIsNotSilence(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix("10.88.0.0/16"), Via: netip.MustParseAddr("10.77.1.99")})
		prober.AddRoute(t, lab.Route{To: netip.MustParsePrefix("fd88::/64"), Via: netip.MustParseAddr("fd77:0:0:1::99")})
		eachMethod(t, func(t *testing.T, config Config) {
			c := started(t, NewCheckerConfig(config))
			unsent := func(addr string, errno syscall.Errno) {
				t.Helper()
				err := c.CheckAddr(addr, 300*time.Millisecond)
				if config.Method == MethodRaw {
					wantErrConnect(t, err, errno)
				} else if err != ErrTimeout {
					t.Errorf("connect to %s: %v, want ErrTimeout", addr, err)
				}
			}
			for _, addr := range []string{"10.77.1.98:80", "[fd77:0:0:1::98]:80", "10.88.0.1:80", "[fd88::1]:80"} {
				unsent(addr, syscall.EHOSTUNREACH) // neighbours that answer nothing, and gateways
			}
			plug := peer.LinkDown(t, "eth0")
			defer plug()
			time.Sleep(1500 * time.Millisecond) // the kernel may tell a second late
			unsent(at(peer.V4, 80), syscall.ENETDOWN)
			unsent(at(peer.V6, 80), syscall.ENETDOWN)
		})
	})
}

// TestDifferenceKernelGivesUp: silence is silence, also when the kernel runs out of SYNs before we run out of time.
func TestDifferenceKernelGivesUp(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Drop(t, 80)
		n.Prober().Sysctl(t, "net/ipv4/tcp_syn_linear_timeouts", "0")
		n.Prober().Sysctl(t, "net/ipv4/tcp_syn_retries", "1") // 1 s and 2 s
		c := started(t, NewCheckerConfig(Config{Method: MethodConnect}))
		for _, addr := range []netip.Addr{peer.V4, peer.V6} {
			start := time.Now()
			if err := c.CheckAddr(at(addr, 80), time.Minute); err != ErrTimeout {
				t.Errorf("%v: %v, want ErrTimeout", addr, err)
			}
			if took := time.Since(start); took < 2*time.Second || took > 10*time.Second {
				t.Errorf("%v: the kernel gave up after %v", addr, took)
			}
		}
	})
}

// TestSituationSourcePortsUsedUp is the row "ephemeral ports exhausted". A raw check waits for its turn, which against a silent target
// comes in half of its time.
func TestSituationSourcePortsUsedUp(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Drop(t, 80)
		eachMethod(t, func(t *testing.T, config Config) {
			for _, addr := range []netip.Addr{peer.V4, peer.V6} {
				sourcePortsUsedUp(t, config, at(addr, 80))
			}
		})
	})
}

func sourcePortsUsedUp(t *testing.T, config Config, silent string) {
	config.SourcePorts = PortRange{40000, 40002}
	c := started(t, NewCheckerConfig(config))
	var all sync.WaitGroup
	defer all.Wait()
	for range 3 {
		all.Go(func() {
			if err := c.CheckAddr(silent, time.Second); err != ErrTimeout {
				t.Errorf("check of %s with a port: %v, want ErrTimeout", silent, err)
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	start := time.Now()
	err := c.CheckAddr(silent, 200*time.Millisecond)
	if config.Method == MethodConnect {
		wantErrConnect(t, err, syscall.EADDRNOTAVAIL)
		return
	}
	t.Run("difference/waits for a port", func(t *testing.T) {
		if took := time.Since(start); err != ErrTimeout || took < 290*time.Millisecond || took > 500*time.Millisecond {
			t.Errorf("%s: %v after %v, want ErrTimeout after 300ms", silent, err, took)
		}
	})
}

func TestDifferenceZones(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		zoned := func(port uint16) string { return at(peer.Interfaces[0].LinkLocal.WithZone("eth0"), port) }
		eachMethod(t, func(t *testing.T, config Config) {
			c := started(t, NewCheckerConfig(config))
			if err := c.CheckAddr(zoned(80), 5*time.Second); err != nil {
				t.Errorf("open port of %s: %v", zoned(80), err)
			}
			wantErrConnect(t, c.CheckAddr(zoned(81), 5*time.Second), syscall.ECONNREFUSED)
			if err := c.CheckAddr("[fe80::1%nosuchif0]:80", 500*time.Millisecond); err == nil || err == ErrTimeout {
				t.Errorf("zone that does not exist: %v", err)
			}
			if err := c.CheckAddr("[fe80::1]:80", 500*time.Millisecond); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("link-local address without a zone: %v, want EINVAL", err)
			}
		})
	})
}

// resets counts RSTs.
func resets(packets []lab.Packet) (n int) {
	for _, p := range packets {
		if strings.HasPrefix(p.Flags(), "R") {
			n++
		}
	}
	return n
}

// TestSituationWire holds what a check leaves on the wire and at the server.
func TestSituationWire(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		for i, addr := range []netip.Addr{peer.V4, peer.V6} {
			eachMethod(t, func(t *testing.T, config Config) {
				port := uint16(80 + 10*i)
				listener := peer.Listen(t, port)
				c := started(t, NewCheckerConfig(config))
				wire := peer.Capture(t)
				for done := range 2 { // zeroLinger true and false
					if err := c.CheckAddrZeroLinger(at(addr, port), 5*time.Second, config.Method == MethodRaw); err != nil {
						t.Fatal(err)
					}
					wire.Wait(t, time.Second, func(seen []lab.Packet) bool { return resets(seen) > done }) // it may leave a moment later
				}
				target := netip.AddrPortFrom(addr, port)
				if config.Method == MethodConnect {
					wire.Expect(t, target, lab.Sent("S"), lab.SYNACK(), lab.Sent("."), lab.Sent("R."), lab.Sent("S"), lab.SYNACK(), lab.Sent("."), lab.Sent("R."))
					return
				}
				wire.Expect(t, target, lab.SYN(), lab.SYNACK(), lab.RST(), lab.SYN(), lab.SYNACK(), lab.RST())
				if n := listener.Accepted(); n != 0 {
					t.Errorf("accept returned %d times", n)
				}
			})
		}
	})
}
