//go:build linux && !android

package raw

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

func proto(v6 bool) uint16 {
	if v6 {
		return unix.ETH_P_IPV6
	}
	return unix.ETH_P_IP
}

func openTestRing(t testing.TB, v6, blocks bool, frames int, filter []bpf.RawInstruction) *Ring {
	t.Helper()
	r, err := OpenRing(RingConfig{Proto: proto(v6), Filter: filter, Frames: frames, Blocks: blocks})
	check(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// collect drains until n packets came and a little longer, to see what is too
// many.
func collect(t testing.TB, r *Ring, n int) (got []Packet) {
	t.Helper()
	take := func(p Packet) {
		p.Data = append([]byte(nil), p.Data...)
		got = append(got, p)
	}
	for end := time.Now().Add(2 * time.Second); len(got) < n && time.Now().Before(end); time.Sleep(time.Millisecond) {
		r.Drain(BatchSize, take)
	}
	time.Sleep(20 * time.Millisecond)
	r.Drain(BatchSize, take)
	return got
}

func bothRings(t *testing.T, fn func(t *testing.T, v6, blocks bool)) {
	for _, v6 := range []bool{false, true} {
		for _, blocks := range []bool{false, true} {
			t.Run(fmt.Sprintf("v6=%v,blocks=%v", v6, blocks), func(t *testing.T) { fn(t, v6, blocks) })
		}
	}
}

// A packet shows once and unchanged, whether it comes over veth, over loopback
// or to an own address of another interface, and with the time and interface
// of its arrival.
func TestLabRingSeesEachPacketOnce(t *testing.T) {
	bothRings(t, func(t *testing.T, v6, blocks bool) {
		p := newPeer(t)
		r := openTestRing(t, v6, blocks, 0, tcpTo(t, v6, 7777))
		local, remote := here4, there4
		if v6 {
			local, remote = here6, there6
		}
		send := func(src, dst netip.Addr) []byte {
			s, err := OpenIP(v6, SocketConfig{})
			check(t, err)
			defer s.Close()
			seg := segment{src: src, dst: dst, sport: 80, dport: 7777, flags: "SA"}
			seg.put(t, s, 0)
			if n, err := s.Send(0, 1); n != 1 || err != nil {
				t.Fatalf("sent %d: %v", n, err)
			}
			return seg.bytes(t)
		}
		expect := func(what, iface string, sent []byte, since int64, verify bool) {
			t.Helper()
			got := collect(t, r, 1)
			if len(got) != 1 {
				t.Fatalf("%s: %d packets, want 1", what, len(got))
			}
			if string(got[0].Data) != string(sent) {
				t.Errorf("%s: got  %x\nsent %x", what, got[0].Data, sent)
			}
			if got[0].Interface != ifindex(t, iface) {
				t.Errorf("%s: came by interface %d, want %s", what, got[0].Interface, iface)
			}
			if now := time.Now().UnixNano(); got[0].Time < since || got[0].Time > now {
				t.Errorf("%s: time %d is not between %d and %d", what, got[0].Time, since, now)
			}
			if got[0].Verify != verify {
				t.Errorf("%s: verify %v", what, got[0].Verify)
			}
		}

		start := time.Now().UnixNano()
		expect("loopback", "lo", send(loopback(v6), loopback(v6)), start, true)
		start = time.Now().UnixNano()
		expect("own address", "lo", send(local, local), start, true)
		start = time.Now().UnixNano()
		var sent []byte
		p.do(func() { sent = send(remote, local) })
		expect("veth", "va", sent, start, true)
	})
}

// Replies of a local TCP stack carry a checksum that nobody finished; raw
// packets carry the sender's.
func TestLabRingKnowsUnfinishedChecksums(t *testing.T) {
	bothRings(t, func(t *testing.T, v6, blocks bool) {
		namespace(t)
		_, port := listen(t, loopback(v6))
		r := openTestRing(t, v6, blocks, 0, tcpTo(t, v6, 7777))
		s, err := OpenIP(v6, SocketConfig{})
		check(t, err)
		defer s.Close()
		segment{src: loopback(v6), dst: loopback(v6), sport: 7777, dport: port, flags: "S"}.put(t, s, 0)
		_, err = s.Send(0, 1)
		check(t, err)
		got := collect(t, r, 1)
		if len(got) != 1 || got[0].Verify {
			t.Errorf("%d SYN-ACKs, %+v", len(got), got)
		}
	})
}

// What does not fit is dropped, the rest is whole and in order, and nothing is
// unaccounted for, over several rounds through the ring.
func TestLabRingCountsDrops(t *testing.T) {
	bothRings(t, func(t *testing.T, v6, blocks bool) {
		namespace(t)
		r := openTestRing(t, v6, blocks, 256, tcpTo(t, v6, 7777))
		s, err := OpenIP(v6, SocketConfig{})
		check(t, err)
		defer s.Close()
		for i := range BatchSize {
			segment{src: loopback(v6), dst: loopback(v6), sport: uint16(i), dport: 7777, flags: "R"}.put(t, s, i)
		}
		const batches = 200
		sent, taken := 0, 0
		for range 3 {
			for range batches {
				n, err := s.Send(0, BatchSize)
				check(t, err)
				sent += n
			}
			time.Sleep(20 * time.Millisecond) // a block retires
			for {
				n := r.Drain(7, func(p Packet) {
					if len(p.Data) < 20 || p.Data[0]>>4 != s.version() {
						t.Fatalf("not a packet: %x", p.Data)
					}
				})
				if taken += n; n == 0 {
					break
				}
			}
		}
		drops, err := r.Drops()
		check(t, err)
		if drops == 0 || taken == 0 || taken+int(drops) != sent {
			t.Errorf("sent %d, taken %d, dropped %d", sent, taken, drops)
		}
		if again, _ := r.Drops(); again != drops {
			t.Errorf("the count went from %d to %d by itself", drops, again)
		}
	})
}

func (s *Sender) version() byte {
	if s.names[0].inet6.Family == unix.AF_INET6 {
		return 6
	}
	return 4
}

func TestLabRingFilterChanges(t *testing.T) {
	namespace(t)
	r := openTestRing(t, false, false, 0, tcpTo(t, false, 7777))
	check(t, r.SetFilter(tcpTo(t, false, 8888)))
	s, err := OpenIP(false, SocketConfig{})
	check(t, err)
	defer s.Close()
	segment{src: loopback(false), dst: loopback(false), sport: 1, dport: 7777, flags: "R"}.put(t, s, 0)
	segment{src: loopback(false), dst: loopback(false), sport: 1, dport: 8888, flags: "R"}.put(t, s, 1)
	_, err = s.Send(0, 2)
	check(t, err)
	if got := collect(t, r, 1); len(got) != 1 || got[0].Data[23] != 8888&0xff {
		t.Errorf("got %v", got)
	}
}

func TestLabRingWantsAFilter(t *testing.T) {
	namespace(t)
	if _, err := OpenRing(RingConfig{Proto: unix.ETH_P_IP}); err == nil {
		t.Error("opened without a filter")
	}
	r := openTestRing(t, false, false, 0, tcpTo(t, false, 1))
	if err := r.SetFilter(nil); err == nil {
		t.Error("took an empty filter")
	}
}

// descriptors returns how many this process has.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	check(t, err)
	return len(entries)
}

// Rings that open together are all open, or none is.
func TestLabRingsTogether(t *testing.T) {
	namespace(t)
	configs := []RingConfig{
		{Proto: unix.ETH_P_IP, Filter: tcpTo(t, false, 7777)},
		{Proto: unix.ETH_P_IPV6, Filter: tcpTo(t, true, 7777), Blocks: true},
		{Proto: unix.ETH_P_IP, Filter: tcpTo(t, false, 7778)},
	}
	before := descriptors(t)
	rings, err := OpenRings(configs...)
	check(t, err)
	for i, to := range []segment{{src: loopback(false), dst: loopback(false), dport: 7777}, {src: loopback(true), dst: loopback(true), dport: 7777}, {src: loopback(false), dst: loopback(false), dport: 7778}} {
		s, err := OpenIP(to.dst.Is6(), SocketConfig{})
		check(t, err)
		to.sport, to.flags = 1, "R"
		to.put(t, s, 0)
		_, err = s.Send(0, 1)
		check(t, err)
		s.Close()
		if got := collect(t, rings[i], 1); len(got) != 1 {
			t.Errorf("ring %d has %d packets", i, len(got))
		}
	}
	check(t, CloseRings(rings...))
	if rings, err = OpenRings(append(configs, RingConfig{Proto: unix.ETH_P_IP})...); err == nil || rings != nil {
		t.Errorf("opened %d rings, one of them without a filter", len(rings))
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// A frame keeps what it has room for.
func TestLabRingCutsLongPackets(t *testing.T) {
	namespace(t)
	filter := tcpTo(t, false, 7777)
	filter[4].K = 1 << 16
	r := openTestRing(t, false, false, 0, filter)
	s, err := OpenIP(false, SocketConfig{})
	check(t, err)
	defer s.Close()
	long := append(segment{src: loopback(false), dst: loopback(false), sport: 1, dport: 7777, flags: "R"}.bytes(t), make([]byte, 200)...)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
	check(t, err)
	defer unix.Close(fd)
	check(t, unix.Sendto(fd, long, 0, &unix.SockaddrInet4{Addr: loopback(false).As4()}))
	if got := collect(t, r, 1); len(got) != 1 || len(got[0].Data) != 176 {
		t.Errorf("got %d packets: %v", len(got), got)
	}
}
