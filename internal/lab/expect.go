//go:build linux && !android

package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Step is a packet that must come next between the prober and a target.
type Step struct {
	name  string
	check func(*exchange, Packet) error
}

// exchange is what the steps of one target know of each other.
type exchange struct {
	target netip.AddrPort
	isn    map[netip.AddrPort]uint32 // of the last SYN from each source
}

// SYN is a SYN to the target, with nothing acknowledged and checksums complete and right.
func SYN() Step {
	return Step{"SYN", func(x *exchange, p Packet) error {
		if err := x.sent(p, "S"); err != nil {
			return err
		}
		return x.crafted(p)
	}}
}

// SYNACK is the target's answer to a SYN: it acknowledges ISN+1.
func SYNACK() Step {
	return Step{"SYN-ACK", func(x *exchange, p Packet) error { return x.answered(p, "S.") }}
}

// PeerRST is a RST of the target that acknowledges ISN+1, as a closed port sends it.
func PeerRST() Step {
	return Step{"RST of the peer", func(x *exchange, p Packet) error { return x.answered(p, "R.") }}
}

// RST is our own: sequence number ISN+1 of the SYN from the same port, no acknowledgement, no options, no payload, checksums
// complete and right.
func RST() Step {
	return Step{"our RST", func(x *exchange, p Packet) error {
		if err := x.sent(p, "R"); err != nil {
			return err
		}
		if isn, ok := x.isn[p.Src]; !ok || p.TCP.Seq != isn+1 {
			return fmt.Errorf("sequence number %d, ISN+1 is %d", p.TCP.Seq, isn+1)
		}
		if p.TCP.DataOffset != 5 || len(p.TCP.Payload) > 0 {
			return fmt.Errorf("%d bytes of options and %d of payload", p.TCP.DataOffset*4-20, len(p.TCP.Payload))
		}
		return x.crafted(p)
	}}
}

// Error is an ICMP error of this type and code that quotes a SYN to the target.
func Error(kind, code uint8) Step {
	return Step{fmt.Sprintf("ICMP %d/%d", kind, code), func(x *exchange, p Packet) error {
		if p.ICMP == nil || p.ICMP.Type != kind || p.ICMP.Code != code {
			return fmt.Errorf("not this ICMP error")
		}
		if isn, ok := x.isn[p.ICMP.Src]; !ok || p.ICMP.Seq != isn {
			return fmt.Errorf("quotes sequence number %d, the SYN had %d", p.ICMP.Seq, isn)
		}
		return nil
	}}
}

// Sent is any segment to the target with exactly these flags, as [Packet.Flags] writes them.
func Sent(flags string) Step {
	return Step{"[" + flags + "] to the target", func(x *exchange, p Packet) error { return x.sent(p, flags) }}
}

// Got is any segment of the target with exactly these flags.
func Got(flags string) Step {
	return Step{"[" + flags + "] of the target", func(x *exchange, p Packet) error { return x.got(p, flags) }}
}

func (x *exchange) sent(p Packet, flags string) error {
	if p.Dst != x.target || p.Flags() != flags {
		return fmt.Errorf("not [%s] to the target", flags)
	}
	if flags == "S" {
		x.isn[p.Src] = p.TCP.Seq
	}
	return nil
}

func (x *exchange) got(p Packet, flags string) error {
	if p.Src != x.target || p.Flags() != flags {
		return fmt.Errorf("not [%s] of the target", flags)
	}
	return nil
}

// crafted holds what the prober makes itself: no kernel's hand is in it.
func (x *exchange) crafted(p Packet) error {
	if p.TCP.ACK || p.TCP.Ack != 0 {
		return fmt.Errorf("acknowledges %d", p.TCP.Ack)
	}
	return p.CheckSums()
}

func (x *exchange) answered(p Packet, flags string) error {
	if err := x.got(p, flags); err != nil {
		return err
	}
	if isn, ok := x.isn[p.Dst]; !ok || p.TCP.Ack != isn+1 {
		return fmt.Errorf("acknowledges %d, ISN+1 is %d", p.TCP.Ack, isn+1)
	}
	return nil
}

const (
	expectPatience = 3 * time.Second       // for packets that are on their way
	expectQuiet    = 60 * time.Millisecond // in which a packet too many would come: a kernel answers at once
)

// expectations are the targets of which every packet was accounted for.
type expectations map[netip.AddrPort]bool

// Expect fails the test unless the packets that concern the target, from the beginning of the recording, are exactly these
// steps. It waits for those that are missing, and a moment for one too many. It returns the packets.
func (c *Capture) Expect(t testing.TB, target netip.AddrPort, steps ...Step) []Packet {
	t.Helper()
	target = plain(target)
	enough := func(all []Packet) bool { return len(Concerning(target, all)) >= len(steps) }
	c.Wait(t, expectPatience, enough)
	time.Sleep(expectQuiet)
	packets := Concerning(target, c.Packets(t))
	if err := compare(target, steps, packets); err != nil {
		t.Errorf("packets of %s: %v\n%s", target, err, side(steps, packets))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expect == nil {
		c.expect = expectations{}
	}
	c.expect[target] = true
	return packets
}

// ExpectNothingElse fails the test if a packet was recorded that concerns none of the targets of earlier calls of Expect.
func (c *Capture) ExpectNothingElse(t testing.TB) {
	t.Helper()
	time.Sleep(expectQuiet)
	packets := c.Packets(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range packets {
		known := false
		for target := range c.expect {
			known = known || p.concerns(target)
		}
		if !known {
			t.Errorf("unexpected packet: %s", p)
		}
	}
}

func compare(target netip.AddrPort, steps []Step, packets []Packet) error {
	x := &exchange{target, map[netip.AddrPort]uint32{}}
	for i, p := range packets {
		if i == len(steps) {
			return fmt.Errorf("%d packets, %d expected", len(packets), len(steps))
		}
		if err := steps[i].check(x, p); err != nil {
			return fmt.Errorf("packet %d is not the %s: %w", i+1, steps[i].name, err)
		}
	}
	if len(packets) < len(steps) {
		return fmt.Errorf("%d packets, %d expected", len(packets), len(steps))
	}
	return nil
}

// side shows the steps and the packets.
func side(steps []Step, packets []Packet) string {
	var b strings.Builder
	for i, s := range steps {
		fmt.Fprintf(&b, "  expected %d: %s\n", i+1, s.name)
	}
	for i, p := range packets {
		fmt.Fprintf(&b, "  seen %d: %s %s\n", i+1, p.Time.Format("05.000000"), p)
	}
	return b.String()
}
