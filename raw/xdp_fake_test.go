//go:build linux && !android

package raw

import (
	"encoding/binary"
	"math/rand/v2"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fakeXDP stands for the kernel's side of an AF_XDP socket
// (__xsk_generic_xmit in net/xdp/xsk.c), with a driver that fails by chance.
type fakeXDP struct {
	s       *XDPSender
	rnd     *rand.Rand
	read    uint32 // position in tx
	lag     bool   // the consumer is told only after something was sent, as in some kernels
	returns bool   // what is skipped is given back like what was sent, as in others
	late    []uint64
	sent    []uint32 // what the frames hold
	dropped []uint32
}

func newFakeXDP(rnd *rand.Rand, frames int) *fakeXDP {
	s := &XDPSender{places: make([]byte, BatchSize*FrameSize), memory: make([]byte, frames*FrameSize)}
	for i := range frames {
		s.free = append(s.free, uint64(i*FrameSize))
	}
	s.tx = memoryRing[unix.XDPDesc](BatchSize)
	s.done = memoryRing[uint64](uint32(2 * frames))
	k := &fakeXDP{s: s, rnd: rnd, lag: rnd.IntN(2) == 0, returns: rnd.IntN(2) == 0}
	s.kick = k.send
	return k
}

func memoryRing[E any](n uint32) sharedRing[E] {
	entries := make([]E, n)
	return sharedRing[E]{producer: new(uint32), consumer: new(uint32), entries: unsafe.Pointer(&entries[0]), mask: n - 1}
}

// send is one system call.
func (k *fakeXDP) send() (errno syscall.Errno) {
	sent := false
	defer func() {
		if !k.lag || sent || errno == 0 {
			*k.s.tx.consumer = k.read
		}
	}()
	for ; k.read != *k.s.tx.producer; k.read++ {
		d := *k.s.tx.at(k.read)
		if d.Addr >= uint64(len(k.s.memory)) {
			if k.returns {
				k.complete(d.Addr)
			}
			if k.lag {
				continue
			}
			k.read++ // one a call
			return 0
		}
		what := binary.BigEndian.Uint32(k.s.memory[d.Addr+etherHeader:])
		switch k.rnd.IntN(60) {
		case 0:
			return unix.EAGAIN // the driver is busy
		case 1:
			k.dropped = append(k.dropped, what)
			k.late = append(k.late, d.Addr)
			k.read++
			return unix.EBUSY
		case 2:
			return unix.ENETDOWN
		}
		k.sent = append(k.sent, what)
		k.late = append(k.late, d.Addr)
		sent = true
	}
	return 0
}

// complete gives frames back.
func (k *fakeXDP) complete(frames ...uint64) {
	for _, addr := range frames {
		*k.s.done.at(*k.s.done.producer) = addr
		*k.s.done.producer++
	}
}

// Whatever the driver does, what Send says was sent was sent, in order and
// once, and nothing else was; and no frame is lost.
func TestXDPSendIsExact(t *testing.T) {
	const frames = 256 // a power of two, and few enough to run out
	for seed := range uint64(300) {
		k := newFakeXDP(rand.New(rand.NewPCG(seed, 1)), frames)
		var want []uint32
		var hdr [14]byte
		count := uint32(0)
		for range 60 {
			done := k.rnd.IntN(len(k.late) + 1)
			k.complete(k.late[:done]...)
			k.late = k.late[done:]
			n := 1 + k.rnd.IntN(BatchSize)
			for i := range n {
				count++
				binary.BigEndian.PutUint32(k.s.Frame(i)[Headroom:], count)
				k.s.SetLink(i, 54, &hdr)
			}
			for from := 0; from < n; {
				sent, err := k.s.Send(from, n)
				for i := range sent {
					want = append(want, count-uint32(n)+1+uint32(from+i))
				}
				if from += sent; err != nil {
					from++ // is not tried again
				} else if from < n {
					t.Fatalf("seed %d: sent %d of %d without an error", seed, from, n)
				}
			}
		}
		if len(k.sent) != len(want) {
			t.Fatalf("seed %d: Send says %d were sent, the driver has %d", seed, len(want), len(k.sent))
		}
		for i := range want {
			if k.sent[i] != want[i] {
				t.Fatalf("seed %d: packet %d is %d, Send says %d", seed, i, k.sent[i], want[i])
			}
		}
		k.s.done.take(k.s.recycle)
		if n := len(k.s.free) + len(k.late); n != frames {
			t.Fatalf("seed %d: %d frames of %d are left", seed, n, frames)
		}
	}
}
