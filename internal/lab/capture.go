//go:build linux && !android

package lab

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"
)

// Capture records the TCP segments and ICMP errors that an interface of a host receives and sends, in order. ARP, neighbour
// discovery and echoes are left out. It is safe for concurrent use.
//
// A packet socket that bypasses the queueing discipline is not seen on the interface that it sends from, but at the other end of the
// link: capture at the peer.
type Capture struct {
	conn   packetConn
	header int // bytes of the link header

	mu      sync.Mutex
	frames  []frame  // not decoded yet
	packets []Packet // what they were
	err     error    // of the reader or the decoder
	expect  expectations
}

// Capture records on the host's eth0 until the end of t.
func (h *Host) Capture(t testing.TB) *Capture {
	t.Helper()
	return h.CaptureOn(t, "eth0")
}

// CaptureOn records on an interface of the host, which may be "lo", until the end of t. On lo each packet is recorded once,
// as it arrives.
func (h *Host) CaptureOn(t testing.TB, name string) *Capture {
	t.Helper()
	return h.capture(t, packetArgs{Interface: h.Interface(name).Index, Header: ether, Incoming: name == "lo"})
}

func (h *Host) capture(t testing.TB, args packetArgs) *Capture {
	t.Helper()
	m, err := h.call("packets", args, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &Capture{conn: packetConn{m.files[0]}, header: args.Header}
	go c.read()
	t.Cleanup(c.Close)
	return c
}

// read returns when the socket is closed.
func (c *Capture) read() {
	buf := make([]byte, 1<<16)
	for {
		f, err := c.conn.receive(buf)
		c.mu.Lock()
		if err == nil {
			c.frames = append(c.frames, f)
		} else if !errors.Is(err, os.ErrClosed) {
			c.err = errors.Join(c.err, err)
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Close ends the recording; what was recorded stays.
func (c *Capture) Close() { c.conn.file.Close() }

// Packets returns what was recorded so far. The test fails if the recording has gaps or cannot be decoded.
func (c *Capture) Packets(t testing.TB) []Packet {
	t.Helper()
	lost, err := c.conn.drops()
	if err != nil && !errors.Is(err, os.ErrClosed) {
		t.Errorf("lab: drops of the capture: %v", err)
	}
	if lost > 0 {
		t.Errorf("lab: the capture lost %d packets", lost)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decode()
	if c.err != nil {
		t.Error(c.err)
	}
	return c.packets
}

// decode runs under the lock.
func (c *Capture) decode() {
	for _, f := range c.frames {
		p, err := Decode(f.data[c.header:])
		p.Time, p.Out, p.Unfinished = f.time, f.out, f.unfinished
		if err != nil {
			c.err = errors.Join(c.err, err)
		} else if p.TCP != nil || p.ICMP != nil {
			c.packets = append(c.packets, p)
		}
	}
	c.frames = nil
}

// Wait returns what was recorded as soon as done says so, or after the timeout.
func (c *Capture) Wait(t testing.TB, timeout time.Duration, done func([]Packet) bool) []Packet {
	t.Helper()
	for end := time.Now().Add(timeout); ; time.Sleep(time.Millisecond) {
		packets := c.Packets(t)
		if done(packets) || time.Now().After(end) {
			return packets
		}
	}
}

// Concerning picks the packets from and to a target, and the ICMP errors about it.
func Concerning(target netip.AddrPort, packets []Packet) []Packet {
	var picked []Packet
	for _, p := range packets {
		if p.concerns(target) {
			picked = append(picked, p)
		}
	}
	return picked
}

func (p Packet) concerns(target netip.AddrPort) bool {
	target = plain(target)
	return p.Src == target || p.Dst == target || p.ICMP != nil && p.ICMP.Dst == target
}

// plain is the address as a packet carries it.
func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
