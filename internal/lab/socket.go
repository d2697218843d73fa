//go:build linux && !android

package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// packetArgs describe a packet socket that the first process opens in a host's namespace and hands over.
type packetArgs struct {
	Interface int
	Header    int  // bytes of its link header
	Incoming  bool // only what arrives
	TCPOnly   bool // else also ICMP
}

// receiveBuffer holds about 300 000 small packets: a capture must not lose any while its reader waits for a processor.
const receiveBuffer = 256 << 20

func opPackets(c *call, a packetArgs) (any, error) {
	f, err := c.packetSocket(a)
	if err != nil {
		return nil, err
	}
	c.out = append(c.out, f)
	return none{}, nil
}

// packetSocket is complete before it is bound, so that it never holds a packet that was not asked for.
func (n *node) packetSocket(a packetArgs) (*os.File, error) {
	var fd int
	err := n.ns.do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "packets")
	if err := preparePacketSocket(fd, a); err != nil {
		return nil, errors.Join(fmt.Errorf("packet socket: %w", err), f.Close())
	}
	return f, nil
}

func preparePacketSocket(fd int, a packetArgs) error {
	filter, err := bpf.Assemble(packetFilter(uint32(a.Header), a.TCPOnly))
	if err != nil {
		return err
	}
	kernel := make([]unix.SockFilter, len(filter))
	for i, ins := range filter {
		kernel[i] = unix.SockFilter{Code: ins.Op, Jt: ins.Jt, Jf: ins.Jf, K: ins.K}
	}
	program := unix.SockFprog{Len: uint16(len(kernel)), Filter: &kernel[0]}
	return errors.Join(
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, toInt(a.Incoming)),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: a.Interface}))
}

func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// packetFilter lets TCP and ICMP pass, over IPv4 and IPv6 without extension headers.
func packetFilter(header uint32, tcpOnly bool) []bpf.Instruction {
	icmp4, icmp6 := uint32(unix.IPPROTO_ICMP), uint32(unix.IPPROTO_ICMPV6)
	if tcpOnly {
		icmp4, icmp6 = unix.IPPROTO_TCP, unix.IPPROTO_TCP
	}
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtProto},
		bpf.JumpIf{Val: unix.ETH_P_IP, SkipFalse: 3},
		bpf.LoadAbsolute{Off: header + 9, Size: 1},
		bpf.JumpIf{Val: unix.IPPROTO_TCP, SkipTrue: 6},
		bpf.JumpIf{Val: icmp4, SkipTrue: 5, SkipFalse: 4},
		bpf.JumpIf{Val: unix.ETH_P_IPV6, SkipFalse: 3},
		bpf.LoadAbsolute{Off: header + 6, Size: 1},
		bpf.JumpIf{Val: unix.IPPROTO_TCP, SkipTrue: 2},
		bpf.JumpIf{Val: icmp6, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 1 << 16},
	}
}

func networkOrder(v uint16) uint16 {
	return *(*uint16)(unsafe.Pointer(&[2]byte{byte(v >> 8), byte(v)}))
}

// frame is what a packet socket delivers.
type frame struct {
	time       time.Time
	out        bool // the host sent it
	unfinished bool // its checksum is for a network card to finish, which veth has not
	data       []byte
}

// packetConn is a packet socket that was handed over.
type packetConn struct{ file *os.File }

// receive waits for the next frame; its data belongs to the caller. After Close of the file it fails.
func (c packetConn) receive(buf []byte) (frame, error) {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return frame{}, err
	}
	var (
		n, oobn int
		from    unix.Sockaddr
		oob     [128]byte
		failed  error
	)
	err = raw.Read(func(fd uintptr) bool {
		n, oobn, _, from, failed = unix.Recvmsg(int(fd), buf, oob[:], 0)
		return failed != unix.EAGAIN
	})
	if err := errors.Join(err, failed); err != nil {
		return frame{}, err
	}
	f := frame{data: append([]byte(nil), buf[:n]...)}
	if ll, ok := from.(*unix.SockaddrLinklayer); ok {
		f.out = ll.Pkttype == unix.PACKET_OUTGOING
	}
	return f, f.readControl(oob[:oobn])
}

func (f *frame) readControl(oob []byte) error {
	messages, err := unix.ParseSocketControlMessage(oob)
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS:
			f.time = time.Unix((*unix.Timespec)(unsafe.Pointer(&m.Data[0])).Unix())
		case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA:
			aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0]))
			f.unfinished = aux.Status&unix.TP_STATUS_CSUMNOTREADY != 0
		}
	}
	return err
}

// send puts an IP packet on the link.
func (c packetConn) send(packet []byte, from, to net.HardwareAddr) error {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return err
	}
	kind := []byte{0x08, 0x00}
	if packet[0]>>4 == 6 {
		kind = []byte{0x86, 0xdd}
	}
	b := append(append(append(append([]byte(nil), to...), from...), kind...), packet...)
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		_, failed = unix.Write(int(fd), b)
		return failed != unix.EAGAIN
	})
	return errors.Join(err, failed)
}

// drops counts the packets that did not fit into the socket's buffer since the last call.
func (c packetConn) drops() (n uint32, err error) {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = errors.Join(err, raw.Control(func(fd uintptr) {
		var stats *unix.TpacketStats
		if stats, err = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			n = stats.Drops
		}
	}))
	return n, err
}

// listenArgs ask for a listening socket.
type listenArgs struct{ At netip.AddrPort }

func opListen(c *call, a listenArgs) (any, error) {
	var l net.Listener
	err := c.ns.do(func() (err error) {
		l, err = net.Listen("tcp", a.At.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	c.out = append(c.out, f)
	return none{}, nil
}
