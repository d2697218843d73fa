//go:build linux && !android

package raw

import (
	"cmp"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// XDPSender puts frames with their link header on one interface through an
// AF_XDP socket in copy mode, BatchSize with one system call: the kernel reads
// them from memory that it shares with us instead of from message headers, and
// does not dissect them (__xsk_generic_xmit, net/xdp/xsk.c). Otherwise it is
// like the Sender of [OpenPacket]: frames go straight to the driver, past
// routing, firewall, queueing discipline and packet taps. No XDP program is
// involved, and nothing is received.
//
// An XDPSender is not safe for concurrent use.
type XDPSender struct {
	fd     int
	places []byte            // BatchSize frames
	sizes  [BatchSize]uint32 // of places, link header included
	memory []byte            // xdpFrames frames, shared with the kernel
	free   []uint64          // offsets of those that are ours; the last used is the first
	tx     sharedRing[unix.XDPDesc]
	next   uint32 // position in tx that the kernel reads next; what is there already was taken back
	done   sharedRing[uint64]
	kick   func() syscall.Errno // has the kernel send what it was offered
}

const (
	xdpFrames = 4096 // may be on their way through a driver: some report sent packets late
	xdpChunk  = 2048 // the kernel's unit of memory; it holds several frames
	xdpNoAddr = ^uint64(0)

	xdpMaxTxSkbBudget = 9 // XDP_MAX_TX_SKB_BUDGET of linux/if_xdp.h, which x/sys lacks
)

// OpenXDP opens an AF_XDP socket on a transmit queue of an interface. A queue
// belongs to one such socket at a time: EBUSY says that it has one, EINVAL that
// there is no such queue, EAFNOSUPPORT that the kernel is built without AF_XDP,
// ENOBUFS that RLIMIT_MEMLOCK does not allow the half MiB that is shared, and
// ENOPROTOOPT that the kernel is older than 6.17: such a one does not say how
// many frames it took before an error. It needs CAP_NET_RAW.
func OpenXDP(ifindex, queue int, mark uint32) (*XDPSender, error) {
	fd, err := openSocket(unix.AF_XDP, unix.SOCK_RAW, 0)
	if err != nil {
		return nil, fmt.Errorf("raw: AF_XDP socket: %w", err)
	}
	s := &XDPSender{fd: fd, places: make([]byte, BatchSize*FrameSize), free: make([]uint64, 0, xdpFrames)}
	s.kick = s.sendto
	if err := s.setup(ifindex, queue, mark); err != nil {
		s.Close()
		return nil, fmt.Errorf("raw: AF_XDP socket on queue %d of interface %d: %w", queue, ifindex, err)
	}
	return s, nil
}

func (s *XDPSender) setup(ifindex, queue int, mark uint32) error {
	if err := cmp.Or(
		setMark(s.fd, mark),
		s.share(),
		setInt(s.fd, unix.SOL_XDP, unix.XDP_UMEM_FILL_RING, 1, "XDP_UMEM_FILL_RING"), // must be, though nothing is received
		setInt(s.fd, unix.SOL_XDP, unix.XDP_UMEM_COMPLETION_RING, xdpFrames, "XDP_UMEM_COMPLETION_RING"),
		setInt(s.fd, unix.SOL_XDP, unix.XDP_TX_RING, BatchSize, "XDP_TX_RING"),
		setInt(s.fd, unix.SOL_XDP, xdpMaxTxSkbBudget, BatchSize, "XDP_MAX_TX_SKB_BUDGET"),
	); err != nil {
		return err
	}
	if err := s.mapRings(); err != nil {
		return err
	}
	return named("bind", unix.Bind(s.fd, &unix.SockaddrXDP{Flags: unix.XDP_COPY, Ifindex: uint32(ifindex), QueueID: uint32(queue)}))
}

// share makes the frames and registers them with the kernel.
func (s *XDPSender) share() (err error) {
	s.memory, err = unix.Mmap(-1, 0, xdpFrames*FrameSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return named("mmap", err)
	}
	for i := range xdpFrames {
		s.free = append(s.free, uint64(i*FrameSize))
	}
	return registerUMEM(s.fd, s.memory)
}

func (s *XDPSender) mapRings() error {
	at, err := xdpOffsets(s.fd)
	if err != nil {
		return err
	}
	return cmp.Or(
		s.tx.open(s.fd, unix.XDP_PGOFF_TX_RING, at.Tx, BatchSize),
		s.done.open(s.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, at.Cr, xdpFrames),
	)
}

// Frame is [Sender.Frame].
func (s *XDPSender) Frame(i int) []byte {
	return s.places[i*FrameSize : (i+1)*FrameSize : (i+1)*FrameSize]
}

// SetLink is [Sender.SetLink].
func (s *XDPSender) SetLink(i, n int, hdr *[14]byte) {
	copy(s.Frame(i)[Headroom-etherHeader:], hdr[:])
	s.sizes[i] = uint32(etherHeader + n)
}

// Send is [Sender.Send]. EAGAIN means that all shared frames are on their way
// or that the driver's queue is full, ENOBUFS that the driver threw the frame
// away, as it does without a carrier, ENETDOWN that the interface is down,
// ENXIO that it is gone.
func (s *XDPSender) Send(from, to int) (sent int, err error) {
	s.done.take(s.recycle)
	n := min(to-from, len(s.free))
	s.offer(from, n)
	for sent < n {
		errno := s.kick()
		moved := s.advance(n - sent)
		sent += moved
		switch {
		case errno == unix.EBUSY: // it was taken, and counted unless it was alone
			if moved > 0 {
				sent--
			} else {
				s.next++
			}
			s.void(n - sent - 1)
			return sent, unix.ENOBUFS
		case moved == 0 && errno != unix.EINTR, errno != 0 && errno != unix.EINTR && errno != unix.EAGAIN:
			s.void(n - sent)
			return sent, cmp.Or(errno, unix.EAGAIN)
		}
	}
	if n < to-from {
		return sent, unix.EAGAIN
	}
	return sent, nil
}

// recycle takes a frame back that the kernel has done with. Some kernels give
// back what they skipped, too, which is ours already.
func (s *XDPSender) recycle(addr uint64) {
	if addr != xdpNoAddr {
		s.free = append(s.free, addr)
	}
}

// offer copies n places into shared frames and describes them to the kernel.
func (s *XDPSender) offer(from, n int) {
	for i := range n {
		addr := s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
		size := s.sizes[from+i]
		copy(s.memory[addr:addr+FrameSize], s.Frame(from + i)[Headroom-etherHeader:][:size])
		*s.tx.at(s.next + uint32(i)) = unix.XDPDesc{Addr: addr, Len: size}
	}
	if end := s.next + uint32(n); int32(end-s.tx.produced()) > 0 {
		s.tx.produce(end)
	}
}

// advance notes how many of n frames that wait the kernel has taken.
func (s *XDPSender) advance(n int) (taken int) {
	passed := int(int32(s.tx.consumed() - s.next)) // more than n if it met what was taken back
	if passed <= 0 {
		return 0
	}
	s.next += uint32(passed)
	return min(passed, n)
}

// void takes back the next n frames, which the kernel has not taken: a
// description that names no memory is skipped.
func (s *XDPSender) void(n int) {
	for i := range n {
		d := s.tx.at(s.next + uint32(i))
		s.free = append(s.free, d.Addr)
		d.Addr = xdpNoAddr
	}
}

// sendto skips the scheduler's bookkeeping like [Sender.sendmmsg].
func (s *XDPSender) sendto() syscall.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}

// Close closes the socket. What the driver has is still sent. Frames must not
// be used afterwards.
func (s *XDPSender) Close() error {
	err := unix.Close(s.fd)
	s.tx.close()
	s.done.close()
	if s.memory != nil {
		unix.Munmap(s.memory)
	}
	return err
}

// registerUMEM shares memory with the kernel. The structure is the first
// version of struct xdp_umem_reg, which every kernel takes.
func registerUMEM(fd int, memory []byte) error {
	reg := struct {
		addr, len       uint64
		chunk, headroom uint32
	}{uint64(uintptr(unsafe.Pointer(&memory[0]))), uint64(len(memory)), xdpChunk, 0}
	return named("XDP_UMEM_REG", unix.SetsockoptString(fd, unix.SOL_XDP, unix.XDP_UMEM_REG,
		unsafe.String((*byte)(unsafe.Pointer(&reg)), unsafe.Sizeof(reg))))
}
