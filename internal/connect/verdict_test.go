package connect

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/loopback"
	"github.com/rawshake/rawshake/match"
)

func TestVerdict(t *testing.T) {
	p := open(t, Config{})
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		before := time.Now()
		addr, _ := loopback.Open(t, host)
		v := probe(t, p, addr, 5*time.Second)
		want(t, v, match.Open, match.SYNACK, nil)
		if v.Target.String() != addr || v.Time.Before(before) {
			t.Errorf("open: target %v, time %v", v.Target, v.Time)
		}
		if v.RTT <= 0 || v.RTT > time.Second || v.Attempt != 0 {
			t.Errorf("open: RTT %v, attempt %d", v.RTT, v.Attempt)
		}
		if v.Source.Addr() != v.Target.Addr() || v.Source.Port() == 0 {
			t.Errorf("open: source %v", v.Source)
		}
		v = probe(t, p, loopback.Closed(t, host), 5*time.Second)
		want(t, v, match.Closed, match.RST, syscall.ECONNREFUSED)
		if v.RTT <= 0 {
			t.Errorf("closed: RTT %v", v.RTT)
		}
	}
	counters := Counters{SYNSent: 4, RSTSent: 2, Verdicts: [match.NumStates]uint64{match.Open: 2, match.Closed: 2}}
	if got := p.Counters(); got != counters {
		t.Errorf("counters %+v, want %+v", got, counters)
	}
}

func TestErrno(t *testing.T) {
	tests := []struct {
		op     string
		errno  syscall.Errno
		state  match.State
		reason match.Reason
		err    error
	}{
		{"connect", syscall.ECONNREFUSED, match.Closed, match.RST, syscall.ECONNREFUSED},
		{"connect", syscall.ECONNRESET, match.Open, match.SYNACK, nil},
		{"connect", syscall.EPIPE, match.Open, match.SYNACK, nil},
		{"connect", syscall.ETIMEDOUT, match.Filtered, match.Timeout, nil},
		{"connect", syscall.ENETUNREACH, match.Unreachable, match.NetUnreachable, syscall.ENETUNREACH},
		{"connect", syscall.EHOSTUNREACH, match.Unreachable, match.HostUnreachable, syscall.EHOSTUNREACH},
		{"connect", syscall.EHOSTDOWN, match.Unreachable, match.NoNeighbour, syscall.EHOSTDOWN},
		{"connect", syscall.ENOPROTOOPT, match.Unreachable, match.ProtocolUnreachable, syscall.ENOPROTOOPT},
		{"connect", syscall.EACCES, match.Unreachable, match.AdminProhibited, syscall.EACCES},
		{"connect", syscall.EINVAL, match.Unreachable, match.NoRoute, syscall.EINVAL},
		{"connect", syscall.EPERM, match.Unsent, match.LocalFirewall, syscall.EPERM},
		{"connect", syscall.ENOBUFS, match.Unsent, match.NoBuffers, syscall.ENOBUFS},
		{"connect", syscall.ENETDOWN, match.Unsent, match.LinkDown, syscall.ENETDOWN},
		{"connect", syscall.EADDRNOTAVAIL, match.Unsent, match.Overload, syscall.EADDRNOTAVAIL},
		{"connect", syscall.EIO, match.Unsent, match.SendFailed, syscall.EIO},
		{"bind", syscall.EADDRNOTAVAIL, match.Unsent, match.NoSource, syscall.EADDRNOTAVAIL},
		{"bind", syscall.EADDRINUSE, match.Unsent, match.Overload, syscall.EADDRNOTAVAIL},
		{"bind", syscall.EACCES, match.Unsent, match.ConnectFailed, syscall.EACCES},
		{"socket", syscall.EAFNOSUPPORT, match.Unsent, match.ConnectFailed, syscall.EAFNOSUPPORT},
		{"setsockopt", syscall.ENODEV, match.Unsent, match.LinkDown, syscall.ENODEV},
	}
	for _, test := range tests {
		t.Run(test.op+" "+test.errno.Error(), func(t *testing.T) {
			p := dialing(t, Config{}, failing(&net.OpError{Op: "dial", Err: os.NewSyscallError(test.op, test.errno)}))
			want(t, probe(t, p, "127.0.0.1:80", time.Second), test.state, test.reason, test.err)
		})
	}
}

func TestErrorWithoutErrno(t *testing.T) {
	broken := errors.New("no errno in it")
	p := dialing(t, Config{}, failing(broken))
	want(t, probe(t, p, "127.0.0.1:80", time.Second), match.Unsent, match.ConnectFailed, broken)
	if c := p.Counters(); c.SendErrors != 1 || c.SYNSent != 0 {
		t.Errorf("counters %+v", c)
	}
}

func TestWithoutSocket(t *testing.T) {
	ours := netip.MustParsePrefix("127.0.0.0/8")
	tests := []struct {
		name    string
		config  Config
		target  string
		timeout time.Duration
		state   match.State
		reason  match.Reason
		err     error
	}{
		{"invalid", Config{}, "", 1, match.Unsent, match.SendFailed, syscall.EINVAL},
		{"scope", Config{Allow: ours.Contains}, "[::1]:80", 1, match.Unsent, match.OutOfScope, syscall.EPERM},
		{"no source", Config{Source: netip.MustParseAddr("::1")}, "127.0.0.1:80", 1, match.Unsent, match.NoSource, syscall.EADDRNOTAVAIL},
		{"no source, mapped", Config{Source: netip.MustParseAddr("::ffff:127.0.0.1")}, "[::1]:80", 1, match.Unsent, match.NoSource, syscall.EADDRNOTAVAIL},
		{"timeout 0", Config{}, "127.0.0.1:80", 0, match.Filtered, match.Timeout, nil},
		{"timeout negative", Config{}, "127.0.0.1:80", -1, match.Filtered, match.Timeout, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := dialing(t, test.config, func(context.Context, netip.AddrPort, netip.AddrPort) (handshake, error) {
				t.Error("it dialed")
				return handshake{}, nil
			})
			target, _ := netip.ParseAddrPort(test.target)
			v, err := p.Probe(t.Context(), target, test.timeout)
			if err != nil {
				t.Fatal(err)
			}
			want(t, v, test.state, test.reason, test.err)
		})
	}
}

func TestToItself(t *testing.T) {
	addr := netip.MustParseAddrPort(loopback.Free(t, "127.0.0.1:0"))
	p := open(t, Config{Source: addr.Addr(), SourcePorts: PortRange{addr.Port(), addr.Port()}})
	want(t, probe(t, p, addr.String(), 5*time.Second), match.Closed, match.RST, syscall.ECONNREFUSED)
}

func TestFromPorts(t *testing.T) {
	addr, _ := loopback.Open(t, "127.0.0.1:0")
	first := min(netip.MustParseAddrPort(loopback.Free(t, "127.0.0.1:0")).Port(), 65530)
	ports := PortRange{First: first, Last: first + 4}
	p := open(t, Config{Source: netip.MustParseAddr("127.0.0.1"), SourcePorts: ports})
	for range 20 {
		v := probe(t, p, addr, 5*time.Second)
		want(t, v, match.Open, match.SYNACK, nil)
		if v.Source.Port() < ports.First || v.Source.Port() > ports.Last {
			t.Fatalf("from %v, want from port %d to %d", v.Source, ports.First, ports.Last)
		}
	}
}

func TestOpenRefusesWhatItCannotDo(t *testing.T) {
	p, err := Open(Config{Interface: "nosuchif0"})
	if err == nil {
		p.Close()
		t.Fatal("an interface that does not exist: no error")
	}
	if !strings.HasPrefix(err.Error(), "Config.Interface") {
		t.Errorf("error %q does not begin with the field", err)
	}
}
