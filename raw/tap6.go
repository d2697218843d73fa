//go:build linux && !android

package raw

import (
	"encoding/binary"
	"net"

	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// tap6 rebuilds the IPv6 header, which raw sockets withhold (RFC 3542,
// section 3), from what comes beside the packet.
type tap6 struct {
	*ipv6.PacketConn
	protocol uint8
	messages [tapBatch]ipv6.Message
	packets  [tapBatch][v6Header + tapSize]byte
}

func newTap6(c *net.IPConn, protocol uint8) (tapReader, error) {
	t := &tap6{PacketConn: ipv6.NewPacketConn(c), protocol: protocol}
	for i := range t.messages {
		t.messages[i] = ipv6.Message{Buffers: [][]byte{t.packets[i][v6Header:]}, OOB: make([]byte, tapControl)}
	}
	flags := ipv6.FlagTrafficClass | ipv6.FlagHopLimit | ipv6.FlagDst | ipv6.FlagInterface
	return t, named("IPV6_RECVPKTINFO", t.SetControlMessage(flags, true))
}

// SetBPF moves the filter's loads: here offset 0 is the first byte behind
// it, and the IP header is at SKF_NET_OFF.
func (t *tap6) SetBPF(filter []bpf.RawInstruction) error {
	return t.PacketConn.SetBPF(fromNetworkHeader(filter))
}

func fromNetworkHeader(filter []bpf.RawInstruction) []bpf.RawInstruction {
	const (
		mask      = 0xe7 // class and mode
		absolute  = unix.BPF_LD | unix.BPF_ABS
		indirect  = unix.BPF_LD | unix.BPF_IND
		headerLen = unix.BPF_LDX | unix.BPF_MSH
		netOffset = 0xfff00000 // SKF_NET_OFF of linux/filter.h, -0x100000
	)
	moved := append([]bpf.RawInstruction(nil), filter...)
	for i, in := range moved {
		switch in.Op & mask {
		case absolute, indirect, headerLen:
			if in.K < netOffset {
				moved[i].K += netOffset
			}
		}
	}
	return moved
}

func (t *tap6) read(packets []Packet) int {
	n, err := t.ReadBatch(t.messages[:len(packets)], unix.MSG_DONTWAIT)
	if err != nil {
		return 0
	}
	for i, m := range t.messages[:n] {
		var control ipv6.ControlMessage
		control.Parse(m.OOB[:m.NN])
		packet := t.packets[i][:v6Header+m.N]
		writeHeader(packet, t.protocol, m, control)
		packets[i] = Packet{Data: packet, Time: stamp(m.OOB[:m.NN]), Interface: control.IfIndex}
	}
	return n
}

func writeHeader(packet []byte, protocol uint8, m ipv6.Message, control ipv6.ControlMessage) {
	clear(packet[:v6Header])
	packet[0] = 0x60 | byte(control.TrafficClass>>4)
	packet[1] = byte(control.TrafficClass << 4)
	binary.BigEndian.PutUint16(packet[4:], uint16(m.N))
	packet[6], packet[7] = protocol, byte(control.HopLimit)
	if from, ok := m.Addr.(*net.IPAddr); ok {
		copy(packet[8:24], from.IP.To16())
	}
	copy(packet[24:v6Header], control.Dst.To16())
}
