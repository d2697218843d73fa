//go:build linux && !android

package lab_test

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/rawshake/rawshake/internal/lab"
)

// TestLabScript lets a function answer the kernel's connect: right, refusing, late, wrong in every field, and by ICMP.
func TestLabScript(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		both(t, func(t *testing.T, v6 bool) {
			peer := n.Host("peer")
			peer.Listen(t, 80) // the kernel must not see the SYNs for it
			answers := map[uint16]func(lab.Packet) []lab.Answer{
				80: func(lab.Packet) []lab.Answer { return nil },
				81: func(p lab.Packet) []lab.Answer { return lab.Now(p.SYNACK()) },
				82: func(p lab.Packet) []lab.Answer { return lab.Now(p.PeerRST()) },
				83: func(p lab.Packet) []lab.Answer { return lab.After(100*time.Millisecond, p.SYNACK()) },
				84: func(p lab.Packet) []lab.Answer { return lab.Now(wrong(p)...) },
			}
			var seen atomic.Int32
			script := peer.Script(t, func(p lab.Packet) []lab.Answer {
				seen.Add(1)
				if p.Flags() != "S" {
					return nil
				}
				return answers[p.Dst.Port()](p)
			})
			wire := peer.Capture(t)
			at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(peer.Addr(v6), port) }

			if err := dial(at(80)); !timedOut(err) {
				t.Errorf("silence: %v", err)
			}
			wire.Expect(t, at(80), lab.Sent("S"))

			if err := dial(at(81)); err != nil {
				t.Errorf("SYN-ACK: %v", err)
			}
			packets := wire.Expect(t, at(81), lab.Sent("S"), lab.SYNACK(), lab.Sent("."), lab.Sent("R."))
			if err := packets[1].CheckSums(); err != nil {
				t.Error(err)
			}

			if err := dial(at(82)); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("RST: %v", err)
			}
			packets = wire.Expect(t, at(82), lab.Sent("S"), lab.PeerRST())
			if err := packets[1].CheckSums(); err != nil {
				t.Error(err)
			}

			if err := dial(at(83)); err != nil {
				t.Errorf("late SYN-ACK: %v", err)
			}
			packets = wire.Expect(t, at(83), lab.Sent("S"), lab.SYNACK(), lab.Sent("."), lab.Sent("R."))
			if late := packets[1].Time.Sub(packets[0].Time); late < 100*time.Millisecond || late > 400*time.Millisecond {
				t.Errorf("the late SYN-ACK came after %s", late)
			}

			if err := dial(at(84)); !timedOut(err) {
				t.Errorf("wrong answers: %v", err)
			}
			packets = lab.Concerning(at(84), wire.Packets(t))
			if len(packets) != 1+len(wrong(packets[0]))-1 { // the answer from another port does not concern the target
				t.Errorf("%d packets:\n%v", len(packets), packets)
			}
			if last := packets[len(packets)-1]; last.CheckSums() == nil {
				t.Errorf("a corrupt checksum passes: %s", last)
			}
			if seen.Load() < 8 {
				t.Errorf("the script saw %d packets", seen.Load())
			}
			script.Stop()
			if err := dial(at(80)); err != nil {
				t.Errorf("the kernel after the script: %v", err)
			}
		})
	})
}

// wrong are SYN-ACKs that no stack may take for an answer and that it does not answer itself: from another port, and corrupt.
func wrong(p lab.Packet) []lab.Forged {
	elsewhere, corrupt := p.SYNACK(), p.SYNACK()
	elsewhere.Src = netip.AddrPortFrom(elsewhere.Src.Addr(), elsewhere.Src.Port()+1)
	elsewhere.Flags = "" // no flag at all: silently dropped
	corrupt.Corrupt = true
	corrupt.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindNop}}
	return []lab.Forged{elsewhere, corrupt}
}

// TestLabScriptErrors forges the ICMP errors that no kernel here would send, and reads them back.
func TestLabScriptErrors(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		script := peer.Script(t, func(p lab.Packet) []lab.Answer {
			e := p.Error(netip.MustParseAddr("192.0.2.1"), 3, 4)
			if p.Dst.Addr().Is6() {
				e = p.Error(netip.MustParseAddr("2001:db8::1"), 2, 0)
			}
			e.MTU = 1280
			return lab.Now(e)
		})
		wire := peer.Capture(t)
		for target, step := range map[netip.AddrPort]lab.Step{
			netip.AddrPortFrom(peer.V4, 80): lab.Error(3, 4),
			netip.AddrPortFrom(peer.V6, 80): lab.Error(2, 0),
		} {
			if err := dial(target); !timedOut(err) {
				t.Errorf("dial: %v", err)
			}
			packets := wire.Packets(t)
			packets = lab.Concerning(target, packets)
			if len(packets) != 2 || packets[1].ICMP == nil || packets[1].ICMP.MTU != 1280 || packets[1].ICMP.Seq != packets[0].TCP.Seq {
				t.Errorf("packets %v", packets)
			}
			wire.Expect(t, target, lab.Sent("S"), step)
		}
		forged := lab.Segment{Src: netip.MustParseAddrPort("203.0.113.1:5"), Dst: netip.AddrPortFrom(n.Prober().V4, 6), Flags: "PU.", TTL: 255}
		if err := script.Send(forged.Bytes()); err != nil {
			t.Fatal(err)
		}
		packets := wire.Wait(t, time.Second, func(p []lab.Packet) bool { return len(lab.Concerning(forged.Src, p)) > 0 })
		last := packets[len(packets)-1]
		if last.Src != forged.Src || last.Dst != forged.Dst || last.Flags() != "PU." || last.TTL != 255 || last.CheckSums() != nil {
			t.Errorf("sent %+v, captured %s", forged, last)
		}
	})
}
