//go:build linux && !android

package raw

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Tap receives TCP segments, or ICMP messages, where the kernel's own sockets
// do: after connection tracking has undone address translation, also in what
// an ICMP error quotes, whereas a Ring sees the translated addresses. It is for
// the few packets that need the comparison: every one of the protocol that this
// host receives is copied before the filter looks at it.
//
// Drain may be called by one goroutine at a time.
type Tap struct {
	conn *net.IPConn
	fd   int
	in   tapReader
}

// tapReader is what differs between the families.
type tapReader interface {
	// read fills packets with up to as many packets, without waiting.
	read(packets []Packet) int
	SetBPF([]bpf.RawInstruction) error
}

const (
	tapSize    = 256 // bytes of a packet
	tapControl = 256 // bytes of control messages: time stamp, addresses
)

// TapProtocol is what a Tap receives.
type TapProtocol uint8

// The protocols of taps.
const (
	TapTCP  TapProtocol = iota
	TapICMP             // ICMPv6 in IPv6
)

// number returns the protocol's number in the header of a family.
func (p TapProtocol) number(v6 bool) uint8 {
	switch {
	case p == TapTCP:
		return unix.IPPROTO_TCP
	case v6:
		return unix.IPPROTO_ICMPV6
	}
	return unix.IPPROTO_ICMP
}

// OpenTap opens a raw IP socket. In the filter offset 0 is the first byte of
// the IP header, in both families.
func OpenTap(v6 bool, p TapProtocol, filter []bpf.RawInstruction) (*Tap, error) {
	t := &Tap{}
	if err := t.open(v6, p.number(v6), filter); err != nil {
		if t.conn != nil {
			t.conn.Close()
		}
		return nil, fmt.Errorf("raw: tap: %w", err)
	}
	return t, nil
}

func (t *Tap) open(v6 bool, protocol uint8, filter []bpf.RawInstruction) error {
	if len(filter) == 0 {
		return errNoFilter
	}
	network, address := fmt.Sprint("ip4:", protocol), "0.0.0.0"
	if v6 {
		network, address = fmt.Sprint("ip6:", protocol), "::"
	}
	listen := net.ListenConfig{Control: t.deafen}
	err := privileged(func() error {
		c, err := listen.ListenPacket(context.Background(), network, address)
		if err == nil {
			t.conn = c.(*net.IPConn)
		}
		return err
	})
	if err != nil {
		return err
	}
	newReader := newTap4
	if v6 {
		newReader = newTap6
	}
	if t.in, err = newReader(t.conn, protocol); err != nil {
		return err
	}
	// What came before the socket was deaf would pass for filtered.
	for t.Drain(tapBatch, func(Packet) {}) > 0 {
	}
	return named("SO_ATTACH_FILTER", t.in.SetBPF(filter))
}

// deafen sets the socket up before it is bound.
func (t *Tap) deafen(_, _ string, c syscall.RawConn) error {
	var err error
	refusal := c.Control(func(fd uintptr) {
		t.fd = int(fd)
		if err = dropAll(t.fd); err == nil {
			err = setInt(t.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1, "SO_TIMESTAMPNS")
		}
	})
	if refusal != nil {
		return refusal
	}
	return err
}

// tapBatch is the number of packets of one system call.
const tapBatch = 16

// Drain calls fn for the packets that have arrived, at most max of them, and
// returns how many there were. It never blocks. The time is the kernel's.
// Verify is never set: the kernel does not say here whether a checksum has
// been computed at all.
func (t *Tap) Drain(max int, fn func(Packet)) int {
	var packets [tapBatch]Packet
	taken := 0
	for taken < max {
		n := t.in.read(packets[:min(max-taken, tapBatch)])
		for _, p := range packets[:n] {
			fn(p)
		}
		if taken += n; n == 0 {
			break
		}
	}
	return taken
}

// FD returns the socket, for a Waiter.
func (t *Tap) FD() int { return t.fd }

// Close closes the socket.
func (t *Tap) Close() error { return t.conn.Close() }

// stamp finds the kernel's time stamp among control messages. Without one it
// is the present time.
func stamp(oob []byte) int64 {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Now().UnixNano()
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			return (*unix.Timespec)(unsafe.Pointer(&m.Data[0])).Nano()
		}
	}
	return time.Now().UnixNano()
}
