package rawshake

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// zone is what a nameserver of the tests knows: addresses by name, lower case and with the final dot.
type zone map[string][]string

// nameserver returns a resolver that asks a server on loopback, which answers after delay.
func nameserver(t *testing.T, names zone, delay time.Duration) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var server sync.WaitGroup
	server.Go(func() { names.serve(conn, delay, &server) })
	t.Cleanup(func() {
		conn.Close()
		server.Wait()
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (z zone) serve(conn net.PacketConn, delay time.Duration, server *sync.WaitGroup) {
	for {
		b := make([]byte, 512)
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			return
		}
		server.Go(func() {
			time.Sleep(delay)
			if reply, err := z.reply(b[:n]); err == nil {
				conn.WriteTo(reply, from)
			}
		})
	}
}

func (z zone) reply(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	addrs, known := z[q.Name.String()]
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, s := range addrs {
		a := netip.MustParseAddr(s)
		header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return m.Pack()
}

// echo is a backend that tells the target it was asked for as the error.
type echo struct{ netip.AddrPort }

func (e echo) Error() string { return e.String() }

func echoes() *stub {
	return &stub{answer: func(_ context.Context, target netip.AddrPort, _ time.Duration) (Result, error) {
		return Result{}, echo{target}
	}}
}

func TestNames(t *testing.T) {
	c := withBackend(echoes())
	c.resolver = nameserver(t, zone{
		"both.test.": {"::1", "127.0.0.7", "127.0.0.8"},
		"four.test.": {"127.0.0.4"},
		"six.test.":  {"::1"},
		"none.test.": {},
	}, 0)
	started(t, c)
	tests := []struct{ name, network, addr, want string }{
		{"IPv4 first", "tcp", "both.test.:80", "127.0.0.7:80"},
		{"IPv4 first, network empty", "", "both.test.:80", "127.0.0.7:80"},
		{"IPv4 wanted", "tcp4", "both.test.:80", "127.0.0.7:80"},
		{"IPv6 wanted", "tcp6", "both.test.:80", "[::1]:80"},
		{"only IPv4", "tcp", "four.test.:80", "127.0.0.4:80"},
		{"only IPv6", "tcp", "six.test.:80", "[::1]:80"},
		{"localhost is IPv4", "tcp", "localhost:80", "127.0.0.1:80"},
		{"service", "tcp", "four.test.:http", "127.0.0.4:80"},
		{"service of a literal", "tcp", "127.0.0.1:https", "127.0.0.1:443"},
		{"service of an IPv6 literal", "tcp6", "[::1]:http", "[::1]:80"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := c.CheckAddrWithOptions(test.addr, Options{Network: test.network, Timeout: 5 * time.Second})
			if err == nil || err.Error() != test.want {
				t.Errorf("probed %v, want %s", err, test.want)
			}
		})
	}
	for _, test := range []struct{ name, network, addr string }{
		{"unknown name", "tcp", "unknown.test.:80"},
		{"no address", "tcp", "none.test.:80"},
		{"no IPv6", "tcp6", "four.test.:80"},
		{"no IPv4", "tcp4", "six.test.:80"},
		{"unknown service", "tcp", "four.test.:nosuchsvc"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := c.CheckAddrWithOptions(test.addr, Options{Network: test.network, Timeout: 5 * time.Second})
			if _, ok := err.(*net.DNSError); !ok {
				t.Errorf("error %v (%T), want a bare *net.DNSError", err, err)
			}
		})
	}
}

func TestDifferenceTimeoutBoundsResolution(t *testing.T) {
	c := withBackend(echoes())
	c.resolver = nameserver(t, zone{"slow.test.": {"127.0.0.1"}}, 700*time.Millisecond)
	started(t, c)
	start := time.Now()
	if err := c.CheckAddr("slow.test.:80", 100*time.Millisecond); err != ErrTimeout {
		t.Errorf("slow name: %v (%T), want ErrTimeout", err, err)
	}
	if took := time.Since(start); took < 100*time.Millisecond || took > 600*time.Millisecond {
		t.Errorf("it took %v, want 100ms", took)
	}
}

func TestResolutionLeavesTheRestOfTheTimeout(t *testing.T) {
	var left time.Duration
	c := withBackend(&stub{answer: func(_ context.Context, _ netip.AddrPort, timeout time.Duration) (Result, error) {
		left = timeout
		return Result{State: Open}, nil
	}})
	c.resolver = nameserver(t, zone{"slow.test.": {"127.0.0.1"}}, 100*time.Millisecond)
	started(t, c)
	if err := c.CheckAddr("slow.test.:80", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if left <= 0 || left > 4900*time.Millisecond {
		t.Errorf("the probe had %v, want what 100ms of resolution left of 5s", left)
	}
}

func TestStopEndsResolution(t *testing.T) {
	c := withBackend(echoes())
	c.resolver = nameserver(t, zone{"slow.test.": {"127.0.0.1"}}, 700*time.Millisecond)
	stop := loop(c)
	<-c.WaitReady()
	done := make(chan error, 1)
	go func() { done <- c.CheckAddr("slow.test.:80", time.Minute) }()
	time.Sleep(50 * time.Millisecond)
	start := time.Now()
	stop()
	if err := <-done; err != ErrCheckerStopped {
		t.Errorf("check that was resolving: %v, want ErrCheckerStopped", err)
	}
	if took := time.Since(start); took > 500*time.Millisecond {
		t.Errorf("it took %v to stop", took)
	}
}

func TestLiterals(t *testing.T) {
	c := started(t, withBackend(echoes()))
	tests := []struct{ name, network, addr, want string }{
		{"IPv4", "tcp", "127.0.0.1:80", "127.0.0.1:80"},
		{"IPv6", "tcp", "[::1]:80", "[::1]:80"},
		{"tcp4", "tcp4", "127.0.0.1:80", "127.0.0.1:80"},
		{"tcp6", "tcp6", "[::1]:80", "[::1]:80"},
		{"IPv4-mapped", "tcp", "[::ffff:127.0.0.1]:80", "127.0.0.1:80"},
		{"IPv4-mapped as tcp4", "tcp4", "[::ffff:127.0.0.1]:80", "127.0.0.1:80"},
		{"unspecified is localhost", "tcp", "0.0.0.0:80", "127.0.0.1:80"},
		{"unspecified IPv6 is localhost", "tcp", "[::]:80", "[::1]:80"},
		{"port 0", "tcp", "127.0.0.1:0", "127.0.0.1:0"},
		{"port with zeros", "tcp", "127.0.0.1:080", "127.0.0.1:80"},
		{"difference/zone", "tcp", "[fe80::1%eth0]:80", "[fe80::1%eth0]:80"},
		{"difference/zone as tcp6", "tcp6", "[fe80::1%eth0]:80", "[fe80::1%eth0]:80"},
		{"difference/zone with service", "tcp", "[fe80::1%eth0]:http", "[fe80::1%eth0]:80"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := c.CheckAddrWithOptions(test.addr, Options{Network: test.network, Timeout: time.Second})
			if err == nil || err.Error() != test.want {
				t.Errorf("probed %v, want %s", err, test.want)
			}
		})
	}
}

func TestBadAddresses(t *testing.T) {
	c := started(t, withBackend(echoes()))
	tests := []struct{ name, network, addr, want string }{
		{"no port", "tcp", "127.0.0.1", "address 127.0.0.1: missing port in address"},
		{"name without port", "tcp", "localhost", "address localhost: missing port in address"},
		{"difference/empty", "tcp", "", "missing port in address"},
		{"difference/no host", "tcp", ":80", "address :80: missing host in address"},
		{"difference/port empty", "tcp", "127.0.0.1:", "address 127.0.0.1:: missing port in address"},
		{"port too high", "tcp", "127.0.0.1:99999", "address 99999: invalid port"},
		{"port negative", "tcp", "127.0.0.1:-1", "address -1: invalid port"},
		{"IPv6 without brackets", "tcp", "::1:80", "address ::1:80: too many colons in address"},
		{"IPv4 asked as tcp6", "tcp6", "127.0.0.1:80", "address 127.0.0.1: no suitable address found"},
		{"IPv4-mapped asked as tcp6", "tcp6", "[::ffff:127.0.0.1]:80", "address ::ffff:127.0.0.1: no suitable address found"},
		{"IPv6 asked as tcp4", "tcp4", "[::1]:80", "address ::1: no suitable address found"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := c.CheckAddrWithOptions(test.addr, Options{Network: test.network, Timeout: time.Second})
			if _, ok := err.(*net.AddrError); !ok || err.Error() != test.want {
				t.Errorf("error %q (%T), want *net.AddrError %q", err, err, test.want)
			}
		})
	}
	for _, network := range []string{"udp", "ip", "tcp5", "TCP"} {
		err := c.CheckAddrWithOptions("127.0.0.1:80", Options{Network: network, Timeout: time.Second})
		if err != net.UnknownNetworkError(network) {
			t.Errorf("network %q: %v (%T), want UnknownNetworkError", network, err, err)
		}
	}
}

func TestUnknownServiceText(t *testing.T) {
	c := started(t, withBackend(echoes()))
	err := c.CheckAddr("127.0.0.1:nosuchsvc", time.Second)
	if dns, ok := errors.AsType[*net.DNSError](err); !ok || dns.Err != "unknown port" {
		t.Errorf("error %v (%T)", err, err)
	}
}
