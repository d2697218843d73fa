package rawshake

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/match"
)

// dialing returns a connect backend that a function makes the connections of.
func dialing(t *testing.T, c Config, dial dialFunc) *connectBackend {
	t.Helper()
	b := newConnect(c, dial)
	t.Cleanup(func() { b.close() })
	return b
}

func prober(t *testing.T, c Config) *Prober {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func mustProbe(t *testing.T, p *Prober, addr string) Result {
	t.Helper()
	r, err := p.Probe(t.Context(), netip.MustParseAddrPort(addr))
	if err != nil {
		t.Fatalf("%s: %v", addr, err)
	}
	return r
}

func TestConnectResult(t *testing.T) {
	p := prober(t, Config{Method: MethodConnect, Timeout: 5 * time.Second})
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		before := time.Now()
		open, _ := listen(t, host)
		r := mustProbe(t, p, open)
		if r.State != Open || r.Reason != match.SYNACK || r.Err != nil {
			t.Errorf("open: %v, %v, %v", r.State, r.Reason, r.Err)
		}
		if r.Target.String() != open || r.Method != MethodConnect || r.Time.Before(before) {
			t.Errorf("open: target %v, method %v, time %v", r.Target, r.Method, r.Time)
		}
		if r.RTT <= 0 || r.RTT > time.Second || r.Attempt != 0 {
			t.Errorf("open: RTT %v, attempt %d", r.RTT, r.Attempt)
		}
		if r.Source.Addr() != r.Target.Addr() || r.Source.Port() == 0 {
			t.Errorf("open: source %v", r.Source)
		}
		r = mustProbe(t, p, refusing(t, host))
		if r.State != Closed || r.Reason != match.RST || r.Err != syscall.ECONNREFUSED || r.RTT <= 0 {
			t.Errorf("closed: %v, %v, %v, RTT %v", r.State, r.Reason, r.Err, r.RTT)
		}
	}
	want := Stats{SYNSent: 4, RSTSent: 2, Answers: 4, Open: 2, Closed: 2}
	if got := p.Stats(); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

func TestConnectErrno(t *testing.T) {
	tests := []struct {
		op     string
		errno  syscall.Errno
		state  State
		reason Reason
		err    error
	}{
		{"connect", syscall.ECONNREFUSED, Closed, match.RST, syscall.ECONNREFUSED},
		{"connect", syscall.ECONNRESET, Open, match.SYNACK, nil},
		{"connect", syscall.EPIPE, Open, match.SYNACK, nil},
		{"connect", syscall.ETIMEDOUT, Filtered, match.Timeout, nil},
		{"connect", syscall.ENETUNREACH, Unreachable, match.NetUnreachable, syscall.ENETUNREACH},
		{"connect", syscall.EHOSTUNREACH, Unreachable, match.HostUnreachable, syscall.EHOSTUNREACH},
		{"connect", syscall.EHOSTDOWN, Unreachable, match.NoNeighbour, syscall.EHOSTDOWN},
		{"connect", syscall.ENOPROTOOPT, Unreachable, match.ProtocolUnreachable, syscall.ENOPROTOOPT},
		{"connect", syscall.EACCES, Unreachable, match.AdminProhibited, syscall.EACCES},
		{"connect", syscall.EINVAL, Unreachable, match.NoRoute, syscall.EINVAL},
		{"connect", syscall.EPERM, Unsent, match.LocalFirewall, syscall.EPERM},
		{"connect", syscall.ENOBUFS, Unsent, match.NoBuffers, syscall.ENOBUFS},
		{"connect", syscall.ENETDOWN, Unsent, match.LinkDown, syscall.ENETDOWN},
		{"connect", syscall.EADDRNOTAVAIL, Unsent, match.Overload, syscall.EADDRNOTAVAIL},
		{"connect", syscall.EIO, Unsent, match.SendFailed, syscall.EIO},
		{"bind", syscall.EADDRNOTAVAIL, Unsent, match.NoSource, syscall.EADDRNOTAVAIL},
		{"bind", syscall.EADDRINUSE, Unsent, match.Overload, syscall.EADDRNOTAVAIL},
		{"bind", syscall.EACCES, Unsent, match.ConnectFailed, syscall.EACCES},
		{"socket", syscall.EAFNOSUPPORT, Unsent, match.ConnectFailed, syscall.EAFNOSUPPORT},
		{"setsockopt", syscall.ENODEV, Unsent, match.LinkDown, syscall.ENODEV},
	}
	for _, test := range tests {
		t.Run(test.op+" "+test.errno.Error(), func(t *testing.T) {
			b := dialing(t, Config{}, func(context.Context, netip.AddrPort, netip.AddrPort) (handshake, error) {
				return handshake{}, &net.OpError{Op: "dial", Err: os.NewSyscallError(test.op, test.errno)}
			})
			r, err := b.probe(t.Context(), netip.MustParseAddrPort("127.0.0.1:80"), time.Second)
			if err != nil || r.State != test.state || r.Reason != test.reason || r.Err != test.err {
				t.Errorf("%v, %v, %v (%v), want %v, %v, %v", r.State, r.Reason, r.Err, err, test.state, test.reason, test.err)
			}
		})
	}
}

// TestDifferenceKernelGivesUp: silence is silence, also when the kernel runs out of SYNs before we run out of time.
func TestDifferenceKernelGivesUp(t *testing.T) {
	c := started(t, withBackend(dialing(t, Config{}, func(context.Context, netip.AddrPort, netip.AddrPort) (handshake, error) {
		return handshake{}, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ETIMEDOUT)}
	})))
	if err := c.CheckAddr("127.0.0.1:80", time.Hour); err != ErrTimeout {
		t.Errorf("error %v, want ErrTimeout", err)
	}
}

func TestConnectOtherError(t *testing.T) {
	broken := errors.New("no errno in it")
	b := dialing(t, Config{}, func(context.Context, netip.AddrPort, netip.AddrPort) (handshake, error) { return handshake{}, broken })
	r, err := b.probe(t.Context(), netip.MustParseAddrPort("127.0.0.1:80"), time.Second)
	if err != nil || r.State != Unsent || r.Reason != match.ConnectFailed || r.Err != broken {
		t.Errorf("%v, %v, %v (%v)", r.State, r.Reason, r.Err, err)
	}
	if s := b.stats(); s.SendErrors != 1 || s.SYNSent != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestConnectWithoutSocket(t *testing.T) {
	tests := []struct {
		name    string
		config  Config
		target  string
		timeout time.Duration
		state   State
		reason  Reason
		err     error
	}{
		{"invalid", Config{}, "", 1, Unsent, match.SendFailed, syscall.EINVAL},
		{"scope", Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, "[::1]:80", 1, Unsent, match.OutOfScope, syscall.EPERM},
		{"no source", Config{Source: netip.MustParseAddr("::1")}, "127.0.0.1:80", 1, Unsent, match.NoSource, syscall.EADDRNOTAVAIL},
		{"no source, mapped", Config{Source: netip.MustParseAddr("::ffff:127.0.0.1")}, "[::1]:80", 1, Unsent, match.NoSource, syscall.EADDRNOTAVAIL},
		{"timeout 0", Config{}, "127.0.0.1:80", 0, Filtered, match.Timeout, nil},
		{"timeout negative", Config{}, "127.0.0.1:80", -1, Filtered, match.Timeout, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := dialing(t, test.config, func(context.Context, netip.AddrPort, netip.AddrPort) (handshake, error) {
				t.Error("it dialed")
				return handshake{}, nil
			})
			target, _ := netip.ParseAddrPort(test.target)
			r, err := b.probe(t.Context(), target, test.timeout)
			if err != nil || r.State != test.state || r.Reason != test.reason || r.Err != test.err {
				t.Errorf("%v, %v, %v (%v), want %v, %v, %v", r.State, r.Reason, r.Err, err, test.state, test.reason, test.err)
			}
		})
	}
}

func TestConnectToItself(t *testing.T) {
	addr := netip.MustParseAddrPort(refusing(t, "127.0.0.1:0"))
	p := prober(t, Config{Method: MethodConnect, Source: addr.Addr(), SourcePorts: PortRange{addr.Port(), addr.Port()}})
	if r := mustProbe(t, p, addr.String()); r.State != Closed || r.Err != syscall.ECONNREFUSED {
		t.Errorf("a connection with itself: %v, %v, want closed", r.State, r.Err)
	}
}

func TestConnectFromPorts(t *testing.T) {
	addr, _ := listen(t, "127.0.0.1:0")
	first := netip.MustParseAddrPort(refusing(t, "127.0.0.1:0")).Port()
	ports := PortRange{First: min(first, 65530), Last: min(first, 65530) + 4}
	p := prober(t, Config{Method: MethodConnect, Source: netip.MustParseAddr("127.0.0.1"), SourcePorts: ports})
	for range 20 {
		r := mustProbe(t, p, addr)
		if r.State != Open || r.Source.Port() < ports.First || r.Source.Port() > ports.Last {
			t.Fatalf("%v from %v, want open from port %d to %d", r.State, r.Source, ports.First, ports.Last)
		}
	}
}

func TestConnectRefusesWhatItCannotDo(t *testing.T) {
	for name, c := range map[string]Config{
		"Config.Options":   {Options: Linux},
		"Config.Interface": {Interface: "nosuchif0"},
	} {
		c.Method = MethodConnect
		p, err := New(c)
		if err == nil {
			p.Close()
			t.Errorf("%s: no error", name)
		} else if got := err.Error(); len(got) < len(name) || got[:len("rawshake: ")+len(name)] != "rawshake: "+name {
			t.Errorf("error %q does not begin with %s", got, name)
		}
	}
}

func TestConnectClosed(t *testing.T) {
	p := prober(t, Config{Method: MethodConnect})
	if err := p.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := p.Close(); err != ErrClosed {
		t.Errorf("second Close: %v, want ErrClosed", err)
	}
	target := netip.MustParseAddrPort("127.0.0.1:1")
	if _, err := p.Probe(t.Context(), target); err != ErrClosed {
		t.Errorf("Probe: %v, want ErrClosed", err)
	}
	var errs []error
	for _, err := range p.ProbeAll(t.Context(), func(yield func(netip.AddrPort) bool) { yield(target) }) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || errs[0] != ErrClosed {
		t.Errorf("ProbeAll: %v, want ErrClosed", errs)
	}
}
