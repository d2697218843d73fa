//go:build linux && !android

package doctor

import (
	"errors"
	"net/netip"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/loopback"
	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/raw"
	"golang.org/x/sys/unix"
)

var errLoopbackDown = errors.New("the loopback interface is down")

// trial is a stage on loopback: two guarded ports, one without a listener, a socket that forges and a ring that watches.
type trial struct {
	v6     bool
	addr   netip.Addr
	guard  *raw.Guard
	sender *raw.Sender
	ring   *raw.Ring
	waiter *raw.Waiter
	closed *loopback.Closed
}

// forger is the port that forged segments come from, and resets go to; guarded is the one they go to.
func (t *trial) forger() uint16  { return t.guard.Ports()[0] }
func (t *trial) guarded() uint16 { return t.guard.Ports()[1] }

// newTrial opens the sockets. The trial must be closed, also after an error.
func (p *patient) newTrial(v6 bool) (*trial, error) {
	t := &trial{v6: v6, addr: loopback.Addr(v6)}
	if lo, ok := p.links.byName("lo"); ok && !lo.State.Up {
		return t, errLoopbackDown
	}
	return t, p.explained(t.open())
}

func (t *trial) open() (err error) {
	if t.sender, err = raw.OpenIP(t.v6, raw.SocketConfig{}); err != nil {
		return opening(err)
	}
	if t.guard, err = raw.OpenGuard(t.v6, raw.PortRange{}, 2, ""); err != nil {
		return opening(err)
	}
	if t.closed, err = loopback.OpenClosed(t.v6); err != nil {
		return opening(err)
	}
	return opening(t.watch())
}

// watch opens the ring on what goes to the forger.
func (t *trial) watch() error {
	proto := uint16(unix.ETH_P_IP)
	if t.v6 {
		proto = unix.ETH_P_IPV6
	}
	filter, err := match.Filter(t.v6, t.guard.Ports())
	if err != nil {
		return err
	}
	if t.ring, err = raw.OpenRing(raw.RingConfig{Proto: proto, Filter: filter, Frames: 4096}); err != nil {
		return err
	}
	t.waiter, err = raw.NewWaiter(t.ring.FD())
	return err
}

func (t *trial) close() {
	if t.waiter != nil {
		t.waiter.Close()
	}
	if t.ring != nil {
		t.ring.Close()
	}
	if t.closed != nil {
		t.closed.Close()
	}
	if t.guard != nil {
		t.guard.Close()
	}
	if t.sender != nil {
		t.sender.Close()
	}
}

// forge puts a SYN-ACK from the forger to port in a place of the sender. Its acknowledgment number names it: a reset of it carries the
// same as its sequence number (RFC 9293 §3.10.7.1).
func (t *trial) forge(place int, port uint16, ttl uint8, ack uint32) error {
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(t.forger()), DstPort: layers.TCPPort(port),
		Seq: 1, Ack: ack, SYN: true, ACK: true, Window: 65535,
	}
	ip := t.header(ttl)
	if err := tcp.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer)); err != nil {
		return err
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, tcp); err != nil {
		return err
	}
	n := copy(t.sender.Frame(place)[craft.Headroom:], b.Bytes())
	t.sender.SetIP(place, n, t.addr, 0)
	return nil
}

func (t *trial) header(ttl uint8) gopacket.SerializableLayer {
	if t.v6 {
		return &layers.IPv6{Version: 6, HopLimit: ttl, NextHeader: layers.IPProtocolTCP, SrcIP: t.addr.AsSlice(), DstIP: t.addr.AsSlice()}
	}
	return &layers.IPv4{Version: 4, TTL: ttl, Protocol: layers.IPProtocolTCP, SrcIP: t.addr.AsSlice(), DstIP: t.addr.AsSlice()}
}

// watchFor hands what arrives to see until that says that it has seen enough, or time is up.
func (t *trial) watchFor(d time.Duration, see func(*craft.Reply) (enough bool)) error {
	enough := false
	for end := time.Now().Add(d); !enough && time.Now().Before(end); {
		if err := t.waiter.Wait(time.Until(end)); err != nil {
			return err
		}
		t.ring.Drain(1<<16, func(p raw.Packet) {
			var r craft.Reply
			if craft.Decode(p.Data, false, &r) == nil && see(&r) {
				enough = true
			}
		})
	}
	return nil
}

// patience is how long a packet may take over loopback on a busy machine.
const patience = 500 * time.Millisecond

// tryGuard sends a SYN-ACK to the guard, one with TTL 255, and one to a port without a guard, and watches for resets.
func (p *patient) tryGuard(v6 bool) (f guardFacts) {
	f.v6 = v6
	t, err := p.newTrial(v6)
	defer t.close()
	if f.err = err; err != nil {
		return f
	}
	if ok, lacks := t.guard.Complete(); !ok {
		f.lacks = lacks
	}
	const plain, hop, control = 0x101, 0x102, 0x103
	if f.err = errors.Join(t.forge(0, t.guarded(), 64, plain), t.forge(1, t.guarded(), 255, hop), t.forge(2, t.closed.Addr.Port(), 64, control)); f.err != nil {
		return f
	}
	if _, f.err = t.sender.Send(0, 3); f.err != nil {
		return f
	}
	// Loopback keeps the order: when the control is here, so are the others.
	f.err = t.watchFor(patience, func(r *craft.Reply) bool {
		if r.Kind != craft.RST {
			return false
		}
		f.plain = f.plain || r.Seq == plain
		f.hop = f.hop || r.Seq == hop
		f.control = f.control || r.Seq == control
		return r.Seq == control
	})
	return f
}
