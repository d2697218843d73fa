//go:build linux && !android

package lab

import (
	"sync"
	"testing"
	"time"
)

// Answer is a packet that a script sends.
type Answer struct {
	After  time.Duration // counted from the packet that it answers
	Packet []byte        // from the IP header on
}

// Now answers at once, in this order.
func Now(packets ...Forged) []Answer { return After(0, packets...) }

// After answers later.
func After(d time.Duration, packets ...Forged) []Answer {
	var answers []Answer
	for _, p := range packets {
		answers = append(answers, Answer{d, p.Bytes()})
	}
	return answers
}

// Script is a host whose TCP is a Go function.
type Script struct {
	conn packetConn
	eth0 Interface
	Stop func() // gives TCP back to the kernel before the end of t
}

// Script takes TCP away from the host's kernel, on eth0 and until the end of t: each segment that arrives is given to answer, and
// what that returns is sent. Answer runs in the process of the body, on one goroutine, packet by packet; nil answers nothing.
// ARP, neighbour discovery and ICMP stay with the kernel. The packets may claim to come from anywhere.
func (h *Host) Script(t testing.TB, answer func(Packet) []Answer) *Script {
	t.Helper()
	m, err := h.call("script", h.Interface("eth0").Index, nil)
	if err != nil {
		t.Fatal(err)
	}
	undo := m.undoAtEnd(t)
	s := &Script{conn: packetConn{m.files[0]}, eth0: h.Interface("eth0")}
	s.Stop = sync.OnceFunc(func() {
		s.conn.file.Close()
		undo()
	})
	t.Cleanup(s.Stop)
	go s.run(answer)
	return s
}

// run returns when the socket is closed.
func (s *Script) run(answer func(Packet) []Answer) {
	buf := make([]byte, 1<<16)
	for {
		f, err := s.conn.receive(buf)
		if err != nil {
			return
		}
		p, err := Decode(f.data[ether:])
		if err != nil {
			continue
		}
		p.Time, p.Unfinished = f.time, f.unfinished
		respond(answer(p), s.Send)
	}
}

// respond sends answers when their time has come.
func respond(answers []Answer, send func(packet []byte) error) {
	for _, a := range answers {
		if a.After <= 0 {
			send(a.Packet)
		} else {
			time.AfterFunc(a.After, func() { send(a.Packet) })
		}
	}
}

// Send puts an IP packet on the link of eth0, unasked. It is safe for concurrent use.
func (s *Script) Send(packet []byte) error {
	return s.conn.send(packet, s.eth0.MAC, s.eth0.NeighbourMAC)
}

func opScript(c *call, index int) (any, error) {
	f, err := c.packetSocket(packetArgs{Interface: index, Header: ether, Incoming: true, TCPOnly: true})
	if err != nil {
		return nil, err
	}
	c.out = append(c.out, f)
	return none{}, c.attach(hook{index: index, priority: answerPriority}, dropTCP())
}
