//go:build linux && !android

package raw

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/bpf"
)

// A tap shows the whole packet with the addresses that sockets see, where a
// ring shows those on the wire, and its filter counts from the IP header.
func TestLabTapSeesBehindTranslation(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		p := newPeer(t)
		here, there, asked := here4, there4, netip.MustParseAddr("10.99.0.1")
		run(t, "ip route add 10.99.0.0/24 via 10.9.0.2")
		rule := "ip daddr 10.99.0.1 dnat to 10.9.0.2"
		if v6 {
			here, there, asked = here6, there6, netip.MustParseAddr("fd99::1")
			run(t, "ip -6 route add fd99::/64 via fd09::2")
			rule = "ip6 daddr fd99::1 dnat to fd09::2"
		}
		family := "ip"
		if v6 {
			family = "ip6"
		}
		nft(t, "table "+family+" n { chain o { type nat hook output priority -100; "+rule+"; }; }")
		ring := openTestRing(t, v6, false, 0, tcpTo(t, v6, 7777))
		tap, err := OpenTap(v6, TapTCP, tcpTo(t, v6, 7777))
		check(t, err)
		defer tap.Close()
		s, err := OpenIP(v6, SocketConfig{})
		check(t, err)
		defer s.Close()
		segment{src: here, dst: asked, sport: 7777, dport: 9, flags: "S"}.put(t, s, 0)
		segment{src: here, dst: asked, sport: 7778, dport: 9, flags: "S"}.put(t, s, 1)
		start := time.Now().UnixNano()
		_, err = s.Send(0, 2)
		check(t, err)
		_ = p

		onWire := collect(t, ring, 1)
		var got []Packet
		w := newWaiter(t, tap.FD())
		check(t, w.Wait(time.Second))
		tap.Drain(BatchSize, func(p Packet) {
			p.Data = append([]byte(nil), p.Data...)
			got = append(got, p)
		})
		if len(got) != 1 || len(onWire) != 1 {
			t.Fatalf("v6 %v: %d on the tap, %d on the ring", v6, len(got), len(onWire))
		}
		if src := source(onWire[0].Data); src != there {
			t.Errorf("the ring shows %v", src)
		}
		if src := source(got[0].Data); src != asked {
			t.Errorf("the tap shows %v, want %v", src, asked)
		}
		want := append([]byte(nil), onWire[0].Data...)
		offset, size := 12, 4
		if v6 {
			offset, size = 8, 16
			copy(want[1:4], got[0].Data[1:4]) // the flow label is lost
		}
		copy(want[offset:offset+size], got[0].Data[offset:])
		if !v6 {
			copy(want[10:12], got[0].Data[10:12]) // checksums cover the address
			copy(want[36:38], got[0].Data[36:38])
		} else {
			copy(want[56:58], got[0].Data[56:58])
		}
		if string(want) != string(got[0].Data) {
			t.Errorf("ring %x\ntap  %x", onWire[0].Data, got[0].Data)
		}
		if got[0].Interface != onWire[0].Interface || got[0].Time < start || got[0].Time > time.Now().UnixNano() {
			t.Errorf("interface %d, time %d", got[0].Interface, got[0].Time)
		}
	}
}

func source(packet []byte) netip.Addr {
	if packet[0]>>4 == 4 {
		return netip.AddrFrom4([4]byte(packet[12:]))
	}
	return netip.AddrFrom16([16]byte(packet[8:]))
}

func TestLabTapWantsAFilter(t *testing.T) {
	namespace(t)
	if _, err := OpenTap(false, TapTCP, nil); err == nil {
		t.Error("opened without a filter")
	}
}

func TestFromNetworkHeader(t *testing.T) {
	in := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 6, Size: 1},
		bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.LoadMemShift{Off: 0},
		bpf.LoadConstant{Dst: bpf.RegA, Val: 6},
		bpf.LoadExtension{Num: bpf.ExtLen},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 6, SkipTrue: 1},
		bpf.RetConstant{Val: 1},
		bpf.RetConstant{Val: 0},
	}
	raw, err := bpf.Assemble(in)
	check(t, err)
	moved := fromNetworkHeader(raw)
	for i, want := range []uint32{0xfff00006, 0xfff00002, 0xfff00000} {
		if moved[i].K != want {
			t.Errorf("instruction %d: %#x", i, moved[i].K)
		}
		moved[i].K = raw[i].K
	}
	for i := range raw {
		if moved[i] != raw[i] {
			t.Errorf("instruction %d became %v", i, moved[i])
		}
	}
}
