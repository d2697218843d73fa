//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// icmpError is an ICMP error and what it means.
type icmpError struct {
	kind, code uint8
	mtu        uint32
	reason     rawshake.Reason
}

var icmpErrors = map[bool][]icmpError{
	false: {
		{3, 0, 0, match.NetUnreachable},
		{3, 1, 0, match.HostUnreachable},
		{3, 2, 0, match.ProtocolUnreachable},
		{3, 3, 0, match.PortUnreachable},
		{3, 4, 1280, match.FragmentationNeeded},
		{3, 5, 0, match.HostUnreachable}, // source route failed
		{3, 6, 0, match.NetUnreachable},  // network unknown
		{3, 7, 0, match.HostUnreachable}, // host unknown
		{3, 8, 0, match.HostUnreachable}, // host isolated
		{3, 9, 0, match.AdminProhibited},
		{3, 10, 0, match.AdminProhibited},
		{3, 11, 0, match.NetUnreachable},  // for this type of service
		{3, 12, 0, match.HostUnreachable}, // for this type of service
		{3, 13, 0, match.AdminProhibited},
		{3, 14, 0, match.AdminProhibited}, // precedence violation
		{3, 15, 0, match.AdminProhibited}, // precedence cut-off
		{11, 0, 0, match.TTLExceeded},
		{11, 1, 0, match.TTLExceeded}, // while reassembling
		{12, 0, 0, match.ParameterProblem},
	},
	true: {
		{1, 0, 0, match.NetUnreachable},
		{1, 1, 0, match.AdminProhibited},
		{1, 2, 0, match.HostUnreachable}, // beyond the scope of the source address
		{1, 3, 0, match.HostUnreachable},
		{1, 4, 0, match.PortUnreachable},
		{1, 5, 0, match.AdminProhibited}, // source address failed a policy
		{1, 6, 0, match.AdminProhibited}, // reject route
		{2, 0, 1280, match.FragmentationNeeded},
		{3, 0, 0, match.TTLExceeded},
		{3, 1, 0, match.TTLExceeded},
		{4, 0, 0, match.ParameterProblem},
		{4, 1, 0, match.ParameterProblem},
	},
}

// TestLabICMP answers SYNs with every ICMP error, quoting 8 bytes of TCP or all of it: state, reason, code and responder are
// what was sent, and the errno is net.Dial's in the same place.
func TestLabICMP(t *testing.T) {
	const firstPort = 1000
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		families(t, func(t *testing.T, v6 bool) {
			all := icmpErrors[v6]
			router := map[bool]netip.Addr{false: netip.MustParseAddr("10.99.9.9"), true: netip.MustParseAddr("fd99::9")}[v6]
			peer.Script(t, func(p lab.Packet) []lab.Answer {
				if !isSYN(p) {
					return nil
				}
				i := int(p.Dst.Port() - firstPort)
				e := p.Error(router, all[i/2].kind, all[i/2].code)
				e.MTU = all[i/2].mtu
				if i%2 == 0 {
					e.Quote = e.Quote[:len(p.Data)-int(p.TCP.DataOffset)*4+8]
				}
				// Not at once: connect(2) forgets an error that arrives while it still holds its socket.
				return lab.After(5*time.Millisecond, e)
			})
			var targets []netip.AddrPort
			for i := range 2 * len(all) {
				targets = append(targets, at(peer.Addr(v6), uint16(firstPort+i)))
			}
			p := newProber(t, quick)
			wire := peer.Capture(t)
			results := probeAll(t, p, targets...)
			for i, e := range all {
				for _, target := range targets[2*i : 2*i+2] {
					r := want(t, results[target], rawshake.Unreachable, e.reason)
					if r.Reply.ICMPType != e.kind || r.Reply.ICMPCode != e.code || r.Reply.Responder != router || r.Reply.MTU != e.mtu {
						t.Errorf("%d/%d: reply %+v", e.kind, e.code, r.Reply)
					}
					if r.RTT != 0 && r.RTT < 4*time.Millisecond || !plausible(r.RTT) || r.Attempt != 0 {
						t.Errorf("%d/%d: RTT %v, attempt %d", e.kind, e.code, r.RTT, r.Attempt)
					}
				}
			}
			wire.Expect(t, targets[0], lab.SYN(), lab.Error(all[0].kind, all[0].code))
			if n := len(wire.Packets(t)); n != 2*len(targets) {
				t.Errorf("%d packets, want a SYN and an error for each of %d targets", n, len(targets))
			}
			for target, err := range dialAll(t.Context(), targets...) {
				r := results[target]
				if errno := errnoOf(err); errno != 0 && r.Err != errno {
					t.Errorf("ICMP %d/%d: error %v, net.Dial's is %v", r.Reply.ICMPType, r.Reply.ICMPCode, r.Err, errno)
				} else if errno == 0 && !connectIgnores(r) {
					t.Errorf("ICMP %d/%d: net.Dial gives no errno: %v", r.Reply.ICMPType, r.Reply.ICMPCode, err)
				}
			}
		})
	})
}

// connectIgnores tells of the errors that do not end connect(2): it makes its segments smaller, or does not understand how a SYN
// could wait for its other fragments (tcp_v4_err in net/ipv4/tcp_ipv4.c, icmp_unreach in net/ipv4/icmp.c).
func connectIgnores(r rawshake.Result) bool {
	return r.Reason == match.FragmentationNeeded || r.Reply.ICMPType == 11 && r.Reply.ICMPCode == 1
}

// dialAll connects to the targets with the kernel's sockets and returns the errors.
func dialAll(ctx context.Context, targets ...netip.AddrPort) map[netip.AddrPort]error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	errs := map[netip.AddrPort]error{}
	for _, target := range targets {
		wg.Go(func() {
			err := kernelDial(ctx, net.Dialer{Timeout: 250 * time.Millisecond}, target)
			mu.Lock()
			defer mu.Unlock()
			errs[target] = err
		})
	}
	wg.Wait()
	return errs
}

// kernelDial makes a connection with the kernel's sockets and resets it.
func kernelDial(ctx context.Context, d net.Dialer, target netip.AddrPort) error {
	conn, err := d.DialContext(ctx, "tcp", target.String())
	if err != nil {
		return err
	}
	return errors.Join(conn.(*net.TCPConn).SetLinger(0), conn.Close())
}

// errnoOf returns the errno of a failed dial; 0 if there was none or the dial timed out.
func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	errors.As(err, &errno)
	return errno
}

// stateOf returns the state that the outcome of a dial stands for.
func stateOf(err error) rawshake.State {
	switch errno := errnoOf(err); {
	case err == nil:
		return rawshake.Open
	case errno == 0:
		return rawshake.Filtered
	case errno == syscall.ECONNREFUSED:
		return rawshake.Closed
	}
	return rawshake.Unreachable
}

// TestLabRouters has routers answer that cannot, or may not, pass a SYN on: by their tables, their firewalls, and when its TTL
// is over.
func TestLabRouters(t *testing.T) {
	top := lab.Topology{Links: []lab.Link{{A: "prober", B: "router"}, {A: "router", B: "target"}}}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		prober, router, target := n.Prober(), n.Host("router"), n.Host("target")
		cases := []struct {
			addr       string // if empty, the target's
			route      string // of the router to addr's network; "none" for none
			reject     lab.Reject
			ttl        uint8
			kind, code uint8
			state      rawshake.State
			reason     rawshake.Reason
		}{
			{addr: "10.201.0.1", route: "none", kind: 3, code: 0, reason: match.NetUnreachable},
			{addr: "10.202.0.1", route: "unreachable", kind: 3, code: 1, reason: match.HostUnreachable},
			{addr: "10.203.0.1", route: "prohibit", kind: 3, code: 13, reason: match.AdminProhibited},
			{addr: "10.204.0.1", route: "blackhole", state: rawshake.Filtered, reason: match.Timeout},
			{addr: "fd99:1::1", route: "none", kind: 1, code: 0, reason: match.NetUnreachable},
			{addr: "fd99:2::1", route: "unreachable", kind: 1, code: 0, reason: match.NetUnreachable},
			{addr: "fd99:3::1", route: "prohibit", kind: 1, code: 1, reason: match.AdminProhibited},
			{addr: "fd99:4::1", route: "blackhole", state: rawshake.Filtered, reason: match.Timeout},
			{reject: lab.NetUnreachable, kind: 3, code: 0, reason: match.NetUnreachable},
			{reject: lab.HostUnreachable, kind: 3, code: 1, reason: match.HostUnreachable},
			{reject: lab.ProtUnreachable, kind: 3, code: 2, reason: match.ProtocolUnreachable},
			{reject: lab.PortUnreachable, kind: 3, code: 3, reason: match.PortUnreachable},
			{reject: lab.NetProhibited, kind: 3, code: 9, reason: match.AdminProhibited},
			{reject: lab.HostProhibited, kind: 3, code: 10, reason: match.AdminProhibited},
			{reject: lab.AdminProhibited, kind: 3, code: 13, reason: match.AdminProhibited},
			{reject: lab.NoRoute6, kind: 1, code: 0, reason: match.NetUnreachable},
			{reject: lab.AdminProhibited6, kind: 1, code: 1, reason: match.AdminProhibited},
			{reject: lab.AddrUnreachable6, kind: 1, code: 3, reason: match.HostUnreachable},
			{reject: lab.PortUnreachable6, kind: 1, code: 4, reason: match.PortUnreachable},
			{reject: lab.TCPReset, state: rawshake.Closed, reason: match.RST},
			{addr: target.V4.String(), ttl: 1, kind: 11, code: 0, reason: match.TTLExceeded},
			{addr: target.V6.String(), ttl: 1, kind: 3, code: 0, reason: match.TTLExceeded},
		}
		short := quick
		short.TTL = 1
		probers := map[uint8]*rawshake.Prober{0: newProber(t, quick), 1: newProber(t, short)}
		for i, c := range cases {
			port, addr := uint16(1000+i), target.V4
			if c.kind == 1 {
				addr = target.V6
			}
			if c.addr != "" {
				addr = netip.MustParseAddr(c.addr)
			}
			if c.route != "" {
				to := netip.PrefixFrom(addr, addr.BitLen()/4+8).Masked() // 16 or 40
				prober.AddRoute(t, lab.Route{To: to, Via: router.Addr(addr.Is6())})
				if c.route != "none" {
					router.AddRoute(t, lab.Route{To: to, Type: c.route})
				}
			}
			if c.reject != "" {
				router.Reject(t, port, c.reject)
			}
			if c.state == rawshake.Unsent {
				c.state = rawshake.Unreachable
			}
			t.Run(fmt.Sprint(c.route, c.reject, c.ttl, " ", addr), func(t *testing.T) {
				r := want(t, probe(t, probers[c.ttl], at(addr, port)), c.state, c.reason)
				if r.Reply.ICMPType != c.kind || r.Reply.ICMPCode != c.code {
					t.Errorf("reply %+v", r.Reply)
				}
				if c.kind != 0 && r.Reply.Responder != router.Addr(addr.Is6()) {
					t.Errorf("responder %v", r.Reply.Responder)
				}
			})
		}
	})
}
