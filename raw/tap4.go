//go:build linux && !android

package raw

import (
	"net"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// tap4 hands out whole IPv4 packets, as the kernel does.
type tap4 struct {
	*ipv4.RawConn
	messages [tapBatch]ipv4.Message
}

func newTap4(c *net.IPConn, _ uint8) (tapReader, error) {
	raw, err := ipv4.NewRawConn(c)
	if err != nil {
		return nil, err
	}
	t := &tap4{RawConn: raw}
	for i := range t.messages {
		t.messages[i] = ipv4.Message{Buffers: [][]byte{make([]byte, tapSize)}, OOB: make([]byte, tapControl)}
	}
	return t, named("IP_PKTINFO", raw.SetControlMessage(ipv4.FlagInterface, true))
}

func (t *tap4) read(packets []Packet) int {
	n, err := t.ReadBatch(t.messages[:len(packets)], unix.MSG_DONTWAIT)
	if err != nil {
		return 0
	}
	for i, m := range t.messages[:n] {
		var control ipv4.ControlMessage
		control.Parse(m.OOB[:m.NN])
		packets[i] = Packet{Data: m.Buffers[0][:m.N], Time: stamp(m.OOB[:m.NN]), Interface: control.IfIndex}
	}
	return n
}
