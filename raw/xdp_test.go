//go:build linux && !android

package raw

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTestXDP opens a sender on va, or skips where the kernel has none.
func openTestXDP(t testing.TB) *XDPSender {
	t.Helper()
	s, err := OpenXDP(ifindex(t, "va"), 0, 0)
	if errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skip(err)
	}
	check(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// fillXDP fills a place with a segment that is told from others by its source
// port.
func fillXDP(t testing.TB, p *peer, s *XDPSender, i int, v6 bool, sport uint16) []byte {
	t.Helper()
	src, dst := here4, there4
	if v6 {
		src, dst = here6, there6
	}
	b := segment{src: src, dst: dst, sport: sport, dport: 7777, flags: "S"}.bytes(t)
	s.SetLink(i, copy(s.Frame(i)[Headroom:], b), linkHeader(t, p, v6))
	return b
}

// peerRing receives at vb what fillXDP makes.
func peerRing(t testing.TB, p *peer, v6 bool) (r *Ring) {
	t.Helper()
	p.do(func() { r = openTestRing(t, v6, false, 1<<15, tcpTo(t, v6, 7777)) })
	return r
}

// Frames arrive once, in order and as they were written, past the firewall and
// the packet taps; and their memory comes back: more are sent than there is
// room for.
func TestLabXDPSends(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		p := newPeer(t)
		nftOutput(t, "meta l4proto tcp drop")
		r := peerRing(t, p, v6)
		s := openTestXDP(t)
		const batches = 3 * xdpFrames / BatchSize
		want := make([][]byte, BatchSize)
		for batch := range batches {
			for i := range BatchSize {
				want[i] = fillXDP(t, p, s, i, v6, uint16(batch*BatchSize+i))
			}
			if n, err := s.Send(0, BatchSize); n != BatchSize || err != nil {
				t.Fatalf("v6 %v: sent %d of batch %d, %v", v6, n, batch, err)
			}
			var got [][]byte
			eventually(t, "arriving", func() error {
				if got = append(got, drain(r)...); len(got) < BatchSize {
					return fmt.Errorf("v6 %v: %d of batch %d arrived", v6, len(got), batch)
				}
				return nil
			})
			if !slices.EqualFunc(got, want, bytes.Equal) {
				t.Fatalf("v6 %v: batch %d arrived as\n%x, sent\n%x", v6, batch, got, want)
			}
		}
		time.Sleep(10 * time.Millisecond)
		if more := drain(r); len(more) != 0 {
			t.Errorf("v6 %v: more arrived: %x", v6, more)
		}
	}
}

// A run of places may begin anywhere.
func TestLabXDPSendsPart(t *testing.T) {
	p := newPeer(t)
	r := peerRing(t, p, false)
	s := openTestXDP(t)
	var want string
	for i := range 10 {
		b := fillXDP(t, p, s, i, false, uint16(i))
		if i >= 3 && i < 7 {
			want += string(b)
		}
	}
	if n, err := s.Send(3, 7); n != 4 || err != nil {
		t.Fatalf("sent %d, %v", n, err)
	}
	var got string
	for _, p := range collect(t, r, 5) {
		got += string(p.Data)
	}
	if got != want {
		t.Errorf("arrived: %x\nwant %x", got, want)
	}
}

// What keeps frames from leaving shows as an error of the frame. Those that
// did not leave never do, and none of the shared memory is lost.
func TestLabXDPFails(t *testing.T) {
	p := newPeer(t)
	s := openTestXDP(t)
	r := peerRing(t, p, false)
	sport := uint16(0)
	try := func() (int, error) {
		for i := range 10 {
			sport++
			fillXDP(t, p, s, i, false, sport)
		}
		return s.Send(0, 10)
	}
	expect := func(what string, want error) {
		t.Helper()
		sent := map[bool]int{true: 10}[want == nil]
		eventually(t, what, func() error {
			if n, err := try(); n != sent || !errors.Is(err, want) {
				return fmt.Errorf("sent %d, error %v, want %v", n, err, want)
			}
			return nil
		})
		drain(r)
		for range 2 * xdpFrames / 10 { // every frame has its turn
			if n, err := s.Send(0, 10); n != sent || !errors.Is(err, want) {
				t.Fatalf("%s: sent %d, then error %v", what, n, err)
			}
			for _, got := range drain(r) {
				if got := binary.BigEndian.Uint16(got[20:]); want != nil || got <= sport-10 {
					t.Fatalf("%s: source port %d arrived, now they are from %d", what, got, sport-9)
				}
			}
		}
	}
	expect("at first", nil)
	p.do(func() { down(t, "vb") })
	expect("no carrier", unix.ENOBUFS)
	p.do(func() { up(t, "vb") })
	expect("carrier", nil)
	down(t, "va")
	expect("down", unix.ENETDOWN)
	up(t, "va")
	expect("up", nil)
	run(t, "ip link del va")
	if n, err := s.Send(0, 10); n != 0 || !errors.Is(err, unix.ENXIO) {
		t.Errorf("gone: sent %d, error %v", n, err)
	}
}

// A queue has one socket, which says so; when it is closed another may have it.
func TestLabXDPQueue(t *testing.T) {
	newPeer(t)
	first := openTestXDP(t)
	va := ifindex(t, "va")
	if _, err := OpenXDP(va, 0, 0); !errors.Is(err, unix.EBUSY) {
		t.Errorf("a second socket on a queue: %v, want EBUSY", err)
	}
	if _, err := OpenXDP(va, 99, 0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("no such queue: %v, want EINVAL", err)
	}
	first.Close()
	eventually(t, "after Close", func() error { // the kernel lets go of it later
		s, err := OpenXDP(va, 0, 0)
		if err == nil {
			s.Close()
		}
		return err
	})
}

// eventually waits until try succeeds.
func eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// drain returns what has arrived.
func drain(r *Ring) (got [][]byte) {
	for r.Drain(BatchSize, func(p Packet) { got = append(got, append([]byte(nil), p.Data...)) }) > 0 {
	}
	return got
}

// While the interface and its peer go down and up again, no frame gets lost or is taken back twice.
func TestLabXDPFlaps(t *testing.T) {
	p := newPeer(t)
	s := openTestXDP(t)
	for i := range BatchSize {
		fillXDP(t, p, s, i, false, uint16(i))
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			n := 1 + i*7%BatchSize
			for from := 0; from < n; {
				sent, err := s.Send(from, n)
				if from += sent; err != nil {
					from++
				}
			}
		}
	}()
	for range 50 {
		down(t, "va")
		up(t, "va")
		time.Sleep(time.Millisecond)
		p.do(func() { down(t, "vb"); up(t, "vb") })
		time.Sleep(time.Millisecond)
	}
	close(stop)
	<-stopped
	seen := map[uint64]bool{}
	for _, addr := range s.free {
		if addr%FrameSize != 0 || addr >= xdpFrames*FrameSize || seen[addr] {
			t.Fatalf("%#x is free, twice: %v", addr, seen[addr])
		}
		seen[addr] = true
	}
}
