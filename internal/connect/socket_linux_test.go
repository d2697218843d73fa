package connect

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/loopback"
	"github.com/rawshake/rawshake/match"
	"golang.org/x/sys/unix"
)

func TestSource(t *testing.T) {
	addr, _ := loopback.Open(t, "127.0.0.1:0")
	p := open(t, Config{Source: netip.MustParseAddr("127.0.0.5")})
	v := probe(t, p, addr, 5*time.Second)
	want(t, v, match.Open, match.SYNACK, nil)
	if v.Source.Addr() != netip.MustParseAddr("127.0.0.5") {
		t.Errorf("from %v, want from 127.0.0.5", v.Source)
	}
	p = open(t, Config{Source: netip.MustParseAddr("192.0.2.1")}) // not ours
	want(t, probe(t, p, addr, 5*time.Second), match.Unsent, match.NoSource, syscall.EADDRNOTAVAIL)
}

func TestInterface(t *testing.T) {
	addr, _ := loopback.Open(t, "127.0.0.1:0")
	p, err := Open(Config{Interface: "lo"})
	if errors.Is(err, os.ErrPermission) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	want(t, probe(t, p, addr, 5*time.Second), match.Open, match.SYNACK, nil)
}

// TestTTL: the port that is silent to everyone else answers whoever sends TTL 255.
func TestTTL(t *testing.T) {
	near, far := open(t, Config{TTL: 255, TOS: 0x10}), open(t, Config{TTL: 254})
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		addr := loopback.Silent(t, host)
		want(t, probe(t, near, addr, 5*time.Second), match.Open, match.SYNACK, nil)
		want(t, probe(t, far, addr, 100*time.Millisecond), match.Filtered, match.Timeout, nil)
	}
}

func TestMark(t *testing.T) {
	p, err := Open(Config{Mark: 7})
	if err != nil {
		if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "Config.Mark") || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
			t.Errorf("error %q does not name the field and the capability", err)
		}
		t.Skip(err)
	}
	defer p.Close()
	addr, _ := loopback.Open(t, "127.0.0.1:0")
	want(t, probe(t, p, addr, 5*time.Second), match.Open, match.SYNACK, nil)
}

func TestSocketOptions(t *testing.T) {
	options := Config{TTL: 9, TOS: 0x20, Interface: "lo", Source: netip.MustParseAddr("127.0.0.1")}.socketOptions()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := options.set(fd, false); err != nil {
		t.Skip(err)
	}
	for name, want := range map[int]int{unix.IP_TTL: 9, unix.IP_TOS: 0x20, unix.IP_BIND_ADDRESS_NO_PORT: 1} {
		if got, err := unix.GetsockoptInt(fd, unix.SOL_IP, name); err != nil || got != want {
			t.Errorf("IP option %d is %d, %v; want %d", name, got, err, want)
		}
	}
	if device, err := unix.GetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE); err != nil || device != "lo" {
		t.Errorf("device %q, %v", device, err)
	}
}

// TestRetransmission: the kernel's own count and measure, not the time that went by.
func TestRetransmission(t *testing.T) {
	fd, addr := fullListener(t)
	p := open(t, Config{})
	var v Verdict
	var all sync.WaitGroup
	all.Go(func() { v = probe(t, p, addr, 10*time.Second) })
	time.Sleep(200 * time.Millisecond)
	drain(fd)
	all.Wait()
	if v.State != match.Open || v.Attempt == 0 {
		t.Fatalf("%v, attempt %d: want open by a retransmission", v.State, v.Attempt)
	}
	if v.RTT > 500*time.Millisecond {
		t.Errorf("RTT %v includes the wait for the retransmission", v.RTT)
	}
	if c := p.Counters(); c.SYNSent != 1+uint64(v.Attempt) {
		t.Errorf("%d SYNs counted, want %d", c.SYNSent, 1+v.Attempt)
	}
}

// fullListener returns a listener that drops SYNs until drain accepts what is in its queue.
func fullListener(t *testing.T) (fd int, addr string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(name.(*unix.SockaddrInet4).Port)).String()
	for range 10 {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return fd, addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("a listener without backlog took 10 connections")
	return 0, ""
}

func drain(fd int) {
	for {
		c, _, err := unix.Accept(fd)
		if err != nil {
			return
		}
		unix.Close(c)
	}
}
