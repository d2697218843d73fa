package rawshake

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/match"
	"golang.org/x/sys/unix"
)

func TestConnectSource(t *testing.T) {
	addr, _ := listen(t, "127.0.0.1:0")
	p := prober(t, Config{Method: MethodConnect, Source: netip.MustParseAddr("127.0.0.5")})
	if r := mustProbe(t, p, addr); r.State != Open || r.Source.Addr().String() != "127.0.0.5" {
		t.Errorf("%v from %v, want open from 127.0.0.5", r.State, r.Source)
	}
	if r := mustProbe(t, p, "[::1]:1"); r.State != Unsent || r.Reason != match.NoSource {
		t.Errorf("target of the other family: %v, %v", r.State, r.Reason)
	}
	p = prober(t, Config{Method: MethodConnect, Source: netip.MustParseAddr("192.0.2.1")})
	if r := mustProbe(t, p, addr); r.State != Unsent || r.Reason != match.NoSource || r.Err != syscall.EADDRNOTAVAIL {
		t.Errorf("source that is not ours: %v, %v, %v", r.State, r.Reason, r.Err)
	}
}

func TestConnectInterface(t *testing.T) {
	addr, _ := listen(t, "127.0.0.1:0")
	p, err := New(Config{Method: MethodConnect, Interface: "lo"})
	if errors.Is(err, os.ErrPermission) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if r := mustProbe(t, p, addr); r.State != Open {
		t.Errorf("by lo: %v, %v", r.State, r.Err)
	}
}

// TestConnectTTL: the port that is silent to everyone else answers whoever sends TTL 255.
func TestConnectTTL(t *testing.T) {
	near := prober(t, Config{Method: MethodConnect, TTL: 255, TOS: 0x10, Timeout: 5 * time.Second})
	far := prober(t, Config{Method: MethodConnect, TTL: 254, Timeout: 100 * time.Millisecond})
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		addr := silent(t, host)
		if r := mustProbe(t, near, addr); r.State != Open {
			t.Errorf("%s with TTL 255: %v, %v", addr, r.State, r.Err)
		}
		if r := mustProbe(t, far, addr); r.State != Filtered || r.Err != nil {
			t.Errorf("%s with TTL 254: %v, %v", addr, r.State, r.Err)
		}
	}
}

func TestConnectMark(t *testing.T) {
	p, err := New(Config{Method: MethodConnect, Mark: 7})
	if err != nil {
		if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "Config.Mark") || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
			t.Errorf("error %q does not name the field and the capability", err)
		}
		t.Skip(err)
	}
	defer p.Close()
	addr, _ := listen(t, "127.0.0.1:0")
	if r := mustProbe(t, p, addr); r.State != Open {
		t.Errorf("%v, %v", r.State, r.Err)
	}
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

// TestConnectRetransmission: the kernel's own count and measure, not the time that went by.
func TestConnectRetransmission(t *testing.T) {
	fd, addr := fullListener(t)
	p := prober(t, Config{Method: MethodConnect, Timeout: 10 * time.Second})
	var r Result
	var probe sync.WaitGroup
	probe.Go(func() { r = mustProbe(t, p, addr) })
	time.Sleep(200 * time.Millisecond)
	drain(fd)
	probe.Wait()
	if r.State != Open || r.Attempt == 0 {
		t.Fatalf("%v, attempt %d: want open by a retransmission", r.State, r.Attempt)
	}
	if r.RTT > 500*time.Millisecond {
		t.Errorf("RTT %v includes the wait for the retransmission", r.RTT)
	}
	if s := p.Stats(); s.SYNSent != 1+uint64(r.Attempt) {
		t.Errorf("%d SYNs counted, want %d", s.SYNSent, 1+r.Attempt)
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

// TestConnectSourcePortsUsedUp is tcp-shaker's row "ephemeral ports exhausted".
func TestConnectSourcePortsUsedUp(t *testing.T) {
	hole := silent(t, "127.0.0.1:0")
	first := netip.MustParseAddrPort(refusing(t, "127.0.0.1:0")).Port()
	config := Config{Method: MethodConnect, SourcePorts: PortRange{First: min(first, 65530), Last: min(first, 65530) + 2}}
	c := started(t, NewCheckerConfig(config))
	var all sync.WaitGroup
	results := make(chan error, 3)
	for range 3 {
		all.Go(func() { results <- c.CheckAddr(hole, time.Second) })
	}
	time.Sleep(200 * time.Millisecond)
	wantErrConnect(t, c.CheckAddr(hole, 100*time.Millisecond), syscall.EADDRNOTAVAIL)
	all.Wait()
	for range 3 {
		if err := <-results; err != ErrTimeout && !errors.Is(err, syscall.EADDRNOTAVAIL) { // somebody else may sit on a port
			t.Errorf("check with a port: %v", err)
		}
	}
}

func TestConnectDescriptorLimit(t *testing.T) {
	if os.Getenv("RAWSHAKE_CHILD") == "few descriptors" {
		childWithFewDescriptors(t, os.Getenv("RAWSHAKE_TARGET"))
		return
	}
	addr, _ := listen(t, "127.0.0.1:0")
	t.Setenv("RAWSHAKE_TARGET", addr)
	runChild(t, "few descriptors", nil)
}

// childWithFewDescriptors probes far more targets at once than it may have descriptors.
func childWithFewDescriptors(t *testing.T, addr string) {
	limit := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if n := descriptorLimit(); n != 48 {
		t.Errorf("room for %d probes with 64 descriptors, want 48", n)
	}
	c := started(t, NewCheckerConfig(Config{Method: MethodConnect}))
	var all sync.WaitGroup
	for range 2000 {
		all.Go(func() {
			if err := c.CheckAddr(addr, 20*time.Second); err != nil {
				t.Errorf("open port with few descriptors: %v", err)
			}
		})
	}
	all.Wait()
	t.Run("difference/waits for a descriptor, then says so in an ErrConnect", func(t *testing.T) {
		files := takeAllDescriptors(t)
		start := time.Now()
		wantErrConnect(t, c.CheckAddr(addr, 50*time.Millisecond), syscall.EMFILE)
		if took := time.Since(start); took < 50*time.Millisecond {
			t.Errorf("it gave up after %v", took)
		}
		time.AfterFunc(50*time.Millisecond, func() { files[0].Close() })
		if err := c.CheckAddr(addr, 10*time.Second); err != nil {
			t.Errorf("with one descriptor given back: %v", err)
		}
		for _, f := range files {
			f.Close()
		}
	})
}

func takeAllDescriptors(t *testing.T) (files []*os.File) {
	t.Helper()
	for range 100 {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, syscall.EMFILE) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	t.Fatal("100 descriptors with a limit of 64")
	return nil
}

// TestConnectAllOnLoopback sweeps targets of all kinds and finds each once, with its own verdict.
func TestConnectAllOnLoopback(t *testing.T) {
	open, _ := listen(t, "127.0.0.1:0")
	want := map[string]State{open: Open, refusing(t, "127.0.0.1:0"): Closed, silent(t, "127.0.0.1:0"): Filtered}
	if six := refusing(t, "[::1]:0"); six != "" {
		want[six] = Closed
	}
	var targets []netip.AddrPort
	for range 300 {
		for addr := range want {
			targets = append(targets, netip.MustParseAddrPort(addr))
		}
	}
	p := prober(t, Config{Method: MethodConnect, Timeout: 300 * time.Millisecond, MaxInFlight: 400})
	got := make(map[string]int)
	for r, err := range p.ProbeAll(t.Context(), slices.Values(targets)) {
		if err != nil {
			t.Fatal(err)
		}
		got[r.Target.String()]++
		if r.State != want[r.Target.String()] {
			t.Errorf("%v is %v, %v; want %v", r.Target, r.State, r.Err, want[r.Target.String()])
		}
	}
	for addr := range want {
		if got[addr] != 300 {
			t.Errorf("%s came out %d times, want 300", addr, got[addr])
		}
	}
	if s := p.Stats(); s.InFlight != 0 || s.Open != 300 || s.Filtered != 300 {
		t.Errorf("stats %+v", s)
	}
}
