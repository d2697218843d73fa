//go:build linux && !android

package raw

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// namespace moves the test to a network namespace of its own, with loopback
// up. Subtests run on other threads: each needs its own. The thread is not unlocked: it ends with the test's goroutine, and the
// namespace with the last descriptor in it.
func namespace(t testing.TB) {
	t.Helper()
	requireRoot(t)
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("unshare: %v", err)
	}
	up(t, "lo")
}

func requireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("RAWSHAKE_LAB") == "require" {
		t.Fatal("the lab needs root")
	}
	t.Skip("the lab needs root")
}

// peer is a second namespace, joined to the first by a veth pair: va here
// with 10.9.0.1/24 and fd09::1/64, vb there with .2 and ::2.
type peer struct{ ns netns.NsHandle }

var (
	here4  = netip.MustParseAddr("10.9.0.1")
	there4 = netip.MustParseAddr("10.9.0.2")
	here6  = netip.MustParseAddr("fd09::1")
	there6 = netip.MustParseAddr("fd09::2")
)

func newPeer(t testing.TB) *peer {
	t.Helper()
	namespace(t)
	p := &peer{}
	onThread(func() {
		check(t, unix.Unshare(unix.CLONE_NEWNET))
		up(t, "lo")
		p.ns, _ = netns.Get()
	})
	t.Cleanup(func() { p.ns.Close() })
	check(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "va"}, PeerName: "vb", PeerNamespace: netlink.NsFd(p.ns)}))
	address(t, "va", "10.9.0.1/24", "fd09::1/64")
	up(t, "va")
	p.do(func() {
		address(t, "vb", "10.9.0.2/24", "fd09::2/64")
		up(t, "vb")
	})
	return p
}

// do runs fn in the peer's namespace.
func (p *peer) do(fn func()) {
	onThread(func() {
		if err := netns.Set(p.ns); err != nil {
			panic(err)
		}
		fn()
	})
}

// onThread runs fn on a thread that ends afterwards.
func onThread(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		fn()
	}()
	<-done
}

func up(t testing.TB, name string) {
	t.Helper()
	check(t, netlink.LinkSetUp(link(t, name)))
}

func down(t testing.TB, name string) {
	t.Helper()
	check(t, netlink.LinkSetDown(link(t, name)))
}

func link(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	check(t, err)
	return l
}

func ifindex(t testing.TB, name string) int {
	t.Helper()
	return link(t, name).Attrs().Index
}

func address(t testing.TB, name string, prefixes ...string) {
	t.Helper()
	for _, p := range prefixes {
		a, err := netlink.ParseAddr(p)
		check(t, err)
		a.Flags = unix.IFA_F_NODAD
		check(t, netlink.AddrAdd(link(t, name), a))
	}
}

func run(t testing.TB, command string) {
	t.Helper()
	args := strings.Fields(command)
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// sysctl sets a parameter of the thread's namespace.
func sysctl(t testing.TB, path, value string) {
	t.Helper()
	check(t, os.WriteFile("/proc/sys/"+path, []byte(value), 0))
}

// nft loads a rule set.
func nft(t testing.TB, rules string) {
	t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
}

// nftOutput loads one rule for packets that leave.
func nftOutput(t testing.TB, rule string) {
	t.Helper()
	nft(t, "table inet t { chain o { type filter hook output priority 0; "+rule+"; }; }")
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// segment builds a TCP segment with gopacket, IP header included.
type segment struct {
	src, dst     netip.Addr
	sport, dport uint16
	ttl          uint8
	flags        string // of "SAR"
	seq          uint32
}

func (s segment) bytes(t testing.TB) []byte {
	t.Helper()
	ttl := s.ttl
	if ttl == 0 {
		ttl = 64
	}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(s.sport), DstPort: layers.TCPPort(s.dport), Seq: s.seq, Ack: 1, Window: 1024,
		SYN: strings.Contains(s.flags, "S"), ACK: strings.Contains(s.flags, "A"), RST: strings.Contains(s.flags, "R")}
	var ip gopacket.SerializableLayer
	if s.dst.Is4() {
		v4 := &layers.IPv4{Version: 4, TTL: ttl, Protocol: layers.IPProtocolTCP, Flags: layers.IPv4DontFragment,
			SrcIP: s.src.AsSlice(), DstIP: s.dst.AsSlice()}
		check(t, tcp.SetNetworkLayerForChecksum(v4))
		ip = v4
	} else {
		v6 := &layers.IPv6{Version: 6, HopLimit: ttl, NextHeader: layers.IPProtocolTCP,
			SrcIP: s.src.WithZone("").AsSlice(), DstIP: s.dst.WithZone("").AsSlice()}
		check(t, tcp.SetNetworkLayerForChecksum(v6))
		ip = v6
	}
	buf := gopacket.NewSerializeBuffer()
	check(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, tcp))
	return buf.Bytes()
}

// put writes the segment to place i of a raw IP sender.
func (s segment) put(t testing.TB, to *Sender, i int) {
	t.Helper()
	n := copy(to.Frame(i)[Headroom:], s.bytes(t))
	zone := 0
	if s.dst.Zone() != "" {
		zone = ifindex(t, s.dst.Zone())
	}
	to.SetIP(i, n, s.dst, zone)
}

// tcpTo is a filter for TCP segments to a port, without extension headers.
func tcpTo(t testing.TB, v6 bool, port uint16) []bpf.RawInstruction {
	t.Helper()
	proto, dport := uint32(9), uint32(22)
	if v6 {
		proto, dport = 6, 42
	}
	prog, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: proto, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 3},
		bpf.LoadAbsolute{Off: dport, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(port), SkipTrue: 1},
		bpf.RetConstant{Val: 128},
		bpf.RetConstant{Val: 0},
	})
	check(t, err)
	return prog
}

func loopback(v6 bool) netip.Addr {
	if v6 {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// listen opens a plain TCP socket in a namespace and returns its port.
func listen(t testing.TB, addr netip.Addr) (net.Listener, uint16) {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
	check(t, err)
	t.Cleanup(func() { l.Close() })
	return l, uint16(l.Addr().(*net.TCPAddr).Port)
}
