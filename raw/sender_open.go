//go:build linux && !android

package raw

import (
	"cmp"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// SocketConfig says how a Sender's socket is bound. The zero value is ready.
type SocketConfig struct {
	// Source is the address that raw IP packets leave from. When it is valid
	// the socket is bound to it, so that the kernel routes by it; it must be
	// the host's own and of the socket's family. Packet sockets ignore it.
	Source netip.Addr
	// Interface is the name of the one interface that raw IP packets may
	// leave by (SO_BINDTODEVICE). If empty, routing decides. Packet sockets
	// ignore it.
	Interface string
	// Mark is the packets' SO_MARK. If zero, there is none. CAP_NET_RAW suffices
	// from Linux 5.17 on; before, it takes CAP_NET_ADMIN.
	Mark uint32
	// Qdisc makes packets of a packet socket pass the interface's queueing
	// discipline and its packet taps. By default they go straight to the
	// driver, which is faster and reports a full transmit ring (ENOBUFS)
	// instead of hiding the loss.
	Qdisc bool
	// SendBuffer is the socket's send buffer in bytes. If zero, it is the
	// system's default for raw IP, and 4 MiB for packet sockets. The kernel
	// cuts it to net.core.wmem_max without CAP_NET_ADMIN; a full buffer shows
	// as EAGAIN, never as loss.
	SendBuffer int
}

// packetSendBuffer is enough for some 5000 small packets on their way through
// a driver; the system's default holds about 250, and hardware that reports
// sent packets late then stalls the sender.
const packetSendBuffer = 4 << 20

// OpenIP opens a raw IP socket for whole packets, header included. The kernel
// routes each packet, resolves its neighbour, passes it through the local
// firewall and reports what goes wrong.
//
// The protocol is IPPROTO_RAW, so the socket takes no part in receiving: no
// copy of every TCP packet of the host, and no errors from ICMP messages that
// other sockets' traffic drew (a raw IPPROTO_TCP socket gets both). On
// kernels without c89477ad7944 (2026) a forged ICMP error that quotes protocol
// 255 can still leave its errno on the socket; Send deals with that.
// IP_RECVERR is set for one reason: without it the kernel reads a packet
// that the neighbour table or the queueing discipline dropped as sent
// (raw_send_hdrinc, net/ipv4/raw.c).
func OpenIP(v6 bool, c SocketConfig) (*Sender, error) {
	return openIP(v6, unix.IPPROTO_RAW, c)
}

func openIP(v6 bool, proto int, c SocketConfig) (*Sender, error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	fd, err := openSocket(family, unix.SOCK_RAW, proto)
	if err != nil {
		return nil, fmt.Errorf("raw: raw IP socket: %w", err)
	}
	if err := setupIP(fd, v6, c); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("raw: raw IP socket: %w", err)
	}
	s := newSender(fd)
	s.nameDestinations(uint16(family))
	return s, nil
}

func (s *Sender) nameDestinations(family uint16) {
	size := uint32(unix.SizeofSockaddrInet6)
	if family == unix.AF_INET {
		size = unix.SizeofSockaddrInet4
	}
	for i := range s.names {
		s.names[i].inet6.Family = family
		s.msgs[i].Hdr.Name = (*byte)(ptr(&s.names[i]))
		s.msgs[i].Hdr.Namelen = size
	}
}

func setupIP(fd int, v6 bool, c SocketConfig) error {
	level, hdrincl, recverr := unix.IPPROTO_IP, unix.IP_HDRINCL, unix.IP_RECVERR
	if v6 {
		level, hdrincl, recverr = unix.IPPROTO_IPV6, unix.IPV6_HDRINCL, unix.IPV6_RECVERR
	}
	return cmp.Or(
		setInt(fd, level, hdrincl, 1, "HDRINCL"),
		setInt(fd, level, recverr, 1, "RECVERR"),
		// The queue that RECVERR fills is never read; keep it small.
		setInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 0, "SO_RCVBUF"),
		dropAll(fd),
		bindDevice(fd, c.Interface),
		setMark(fd, c.Mark),
		setSendBuffer(fd, c.SendBuffer),
		bindSource(fd, v6, c.Source),
	)
}

// OpenPacket opens a packet socket bound to one interface, for frames with
// their link header. Frames bypass routing, the local firewall's output chain
// and connection tracking, and by default the queueing discipline too
// (PACKET_QDISC_BYPASS). The socket's protocol is 0: it never receives.
func OpenPacket(ifindex int, c SocketConfig) (*Sender, error) {
	fd, err := openSocket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return nil, fmt.Errorf("raw: packet socket: %w", err)
	}
	if err := setupPacket(fd, ifindex, c); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("raw: packet socket on interface %d: %w", ifindex, err)
	}
	return newSender(fd), nil
}

func setupPacket(fd, ifindex int, c SocketConfig) error {
	if c.SendBuffer == 0 {
		c.SendBuffer = packetSendBuffer
	}
	bypass := 1
	if c.Qdisc {
		bypass = 0
	}
	return cmp.Or(
		setInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, bypass, "PACKET_QDISC_BYPASS"),
		setMark(fd, c.Mark),
		setSendBuffer(fd, c.SendBuffer),
		named("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex})),
	)
}
