//go:build linux && !android

package lab_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/google/gopacket/layers"
	"github.com/rawshake/rawshake/internal/lab"
)

// prefixes are those of a peer that answers for many.
var prefixes = map[string][]netip.Prefix{"peer": {netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00:5::/32")}}

func TestLabResponder(t *testing.T) {
	lab.Test(t, lab.Topology{Prefixes: prefixes}, func(t *testing.T, n *lab.Net) {
		both(t, func(t *testing.T, v6 bool) {
			for _, c := range []struct {
				name      string
				responder lab.Responder
			}{
				{"open", lab.Responder{}},
				{"closed", lab.Responder{Fate: lab.Closed}},
				{"silent", lab.Responder{Fate: lab.Silent}},
				{"mixed", lab.Responder{Mixed: true}},
				{"copies", lab.Responder{Mixed: true, Copies: 2}},
			} {
				t.Run(c.name, func(t *testing.T) { testResponder(t, n, c.responder, v6) })
			}
		})
	})
}

// testResponder asks 300 targets with SYNs of all lengths and holds every answer, its checksums and the counters.
func testResponder(t *testing.T, n *lab.Net, r lab.Responder, v6 bool) {
	peer := n.Host("peer")
	peer.Listen(t, 7) // the kernel must not see any of it
	responding := peer.Respond(t, r)
	wire := peer.Capture(t)
	// The prober's kernel must not reset what it did not send.
	n.Prober().Nft(t, `chain in { type filter hook input priority 0; tcp flags syn,rst drop; tcp flags ack drop; }`)
	send := sender(t, v6)
	want := lab.Counters{}
	for i := range 300 {
		syn := synTo(n, v6, i)
		send(syn)
		want.SYN++
		switch fate(r, syn.Dst) {
		case lab.Open:
			want.SYNACKSent += 1 + uint64(r.Copies)
		case lab.Closed:
			want.RSTSent += 1 + uint64(r.Copies)
		}
	}
	answers := int(want.SYNACKSent + want.RSTSent)
	packets := wire.Wait(t, 3*time.Second, func(p []lab.Packet) bool { return len(p) >= 300+answers })
	if len(packets) != 300+answers {
		t.Errorf("%d packets, not %d", len(packets), 300+answers)
	}
	for i := range 300 {
		checkAnswers(t, r, synTo(n, v6, i), packets)
	}
	rst, data := synTo(n, v6, 0), synTo(n, v6, 0)
	rst.Flags, data.Flags, data.Payload = "R.", "P.", []byte("data")
	send(rst)
	send(data)
	want.RST, want.Other = 1, 1
	got := responding.Counters(t)
	for end := time.Now().Add(time.Second); got != want && time.Now().Before(end); got = responding.Counters(t) {
	}
	if got != want {
		t.Errorf("counted %+v, not %+v", got, want)
	}
}

func fate(r lab.Responder, target netip.AddrPort) lab.Fate {
	if r.Mixed {
		return lab.MixedFate(target)
	}
	return r.Fate
}

// synTo is the i-th SYN: each to another target, with options of another length.
func synTo(n *lab.Net, v6 bool, i int) lab.Segment {
	addr := netip.AddrFrom4([4]byte{10, 200, byte(i), byte(i / 7)})
	if v6 {
		addr = netip.AddrFrom16([16]byte{0xfd, 0, 0, 5, 7: byte(i), 15: byte(i / 7)})
	}
	s := lab.Segment{
		Src: netip.AddrPortFrom(n.Prober().Addr(v6), uint16(40000+i)), Dst: netip.AddrPortFrom(addr, uint16(1+i*31)),
		Seq: uint32(i) * 0x12345679, Flags: "S", Window: 1024,
	}
	for range i % 41 {
		s.Options = append(s.Options, layers.TCPOption{OptionType: layers.TCPOptionKindNop})
	}
	return s
}

func checkAnswers(t *testing.T, r lab.Responder, syn lab.Segment, all []lab.Packet) {
	t.Helper()
	packets := lab.Concerning(syn.Dst, all)
	if len(packets) == 0 || packets[0].Flags() != "S" || packets[0].CheckSums() != nil {
		t.Fatalf("%s: no SYN: %v", syn.Dst, packets)
	}
	flags, mss := map[lab.Fate]string{lab.Open: "S.", lab.Closed: "R."}[fate(r, syn.Dst)], 1460
	if syn.Dst.Addr().Is6() {
		mss = 1440
	}
	if flags == "" != (len(packets) == 1) {
		t.Errorf("%s: %v", syn.Dst, packets)
	}
	for _, p := range packets[1:] {
		if p.Src != syn.Dst || p.Dst != syn.Src || p.Flags() != flags || p.TCP.Ack != syn.Seq+1 || p.TTL != 64 {
			t.Errorf("wrong answer %s to ISN %d", p, syn.Seq)
		}
		if err := p.CheckSums(); err != nil {
			t.Error(err)
		}
		options := fmt.Sprint(p.TCP.Options)
		switch {
		case flags == "S." && (p.TCP.Window != 64240 || options != fmt.Sprintf("[TCPOption(MSS:%d 0x%04x)]", mss, mss)):
			t.Errorf("SYN-ACK with options %s: %s", options, p)
		case flags == "R." && (p.TCP.Window != 0 || p.TCP.Seq != 0 || len(p.TCP.Options) > 0):
			t.Errorf("RST with options %s: %s", options, p)
		}
	}
}

// TestLabLoss compares every single loss with what was foretold.
func TestLabLoss(t *testing.T) {
	const targets, attempts = 1000, 4
	lab.Test(t, lab.Topology{Prefixes: prefixes}, func(t *testing.T, n *lab.Net) {
		both(t, func(t *testing.T, v6 bool) {
			loss := lab.Loss{In: 30, Out: 20, Seed: 42}
			peer := n.Host("peer")
			peer.Respond(t, lab.Responder{})
			peer.Lose(t, loss)
			// Losses out of the peer happen before a capture there: what arrives at the prober counts.
			wire := n.Prober().Capture(t)
			n.Prober().Nft(t, `chain in { type filter hook input priority 0; tcp flags syn drop; tcp flags ack drop; }`)
			send := sender(t, v6)
			foretold := map[netip.AddrPort]int{}
			for i := range targets {
				syn := synTo(n, v6, 0)
				addr := syn.Dst.Addr().AsSlice()
				addr[len(addr)-2], addr[len(addr)-1] = byte(i>>8), byte(i)
				to, _ := netip.AddrFromSlice(addr)
				syn.Dst = netip.AddrPortFrom(to, 80)
				foretold[syn.Dst] = loss.Answered(syn.Dst, attempts)
				for attempt := range attempts {
					syn.Src = netip.AddrPortFrom(syn.Src.Addr(), uint16(40000+attempt))
					send(syn)
				}
			}
			time.Sleep(200 * time.Millisecond)
			answered := map[netip.AddrPort]int{}
			total := 0
			for _, p := range wire.Packets(t) {
				if p.Out {
					continue
				}
				total++
				attempt := int(p.Dst.Port()) - 40000
				if first, ok := answered[p.Src]; !ok || attempt < first {
					answered[p.Src] = attempt
				}
			}
			for target, attempt := range foretold {
				first, ok := answered[target]
				if !ok {
					first = -1
				}
				if first != attempt {
					t.Errorf("%s: attempt %d answered, %d foretold", target, first, attempt)
				}
			}
			// 0.7 x 0.8 of 4000, give or take five standard deviations.
			if total < 2240-160 || total > 2240+160 {
				t.Errorf("%d of %d SYNs were answered, 2240 expected", total, targets*attempts)
			}
		})
	})
}

// sender sends whole packets through a raw socket of the body, with CAP_NET_RAW alone.
func sender(t *testing.T, v6 bool) func(lab.Segment) {
	domain := unix.AF_INET
	if v6 {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return func(s lab.Segment) {
		t.Helper()
		var to unix.Sockaddr
		if v6 {
			to = &unix.SockaddrInet6{Addr: s.Dst.Addr().As16()}
		} else {
			to = &unix.SockaddrInet4{Addr: s.Dst.Addr().As4()}
		}
		if err := unix.Sendto(fd, s.Bytes(), 0, to); err != nil {
			t.Fatal(err)
		}
	}
}
