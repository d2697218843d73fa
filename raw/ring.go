//go:build linux && !android

package raw

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// RingConfig says what a Ring receives.
type RingConfig struct {
	// Proto is unix.ETH_P_IP or unix.ETH_P_IPV6.
	Proto uint16
	// Filter is a classic BPF program in which offset 0 is the first byte of
	// the IP header. It returns the number of bytes to keep, 0 to drop.
	Filter []bpf.RawInstruction
	// Frames is the number of packets the ring holds. If zero, 16384. It is
	// rounded up; with Blocks it is a floor, as small packets take less room.
	Frames int
	// Blocks hands packets over in blocks (TPACKET_V3): cheaper for each
	// packet, but a packet is seen only when its block is full or 2 ms old.
	// Otherwise each is seen at once (TPACKET_V2). The time stamps are the
	// kernel's either way.
	Blocks bool
}

// Packet is one IP packet that arrived.
type Packet struct {
	// Data starts at the IP header and ends where the filter or the frame cut
	// it (frames hold 176 bytes). It is valid during the callback only.
	Data []byte
	// Time is when the kernel received it: nanoseconds of CLOCK_REALTIME.
	Time int64
	// Interface is the index of the interface that it came in by.
	Interface int
	// Verify asks for verification of the transport checksum: neither the
	// hardware nor the fact that the packet never left the machine vouches
	// for it. Without Verify the checksum may be unfinished.
	Verify bool
}

// Ring receives the IP packets of one family from all interfaces into memory
// shared with the kernel (Documentation/networking/packet_mmap.rst). A packet
// shows once, on loopback too: packets that leave are skipped, and so are
// those that the link delivered to us but that are for another host.
//
// Drain may be called by one goroutine at a time; the other methods by any.
type Ring struct {
	fd     int
	memory unsafe.Pointer
	size   uintptr
	layout layout
	blocks bool

	mu    sync.Mutex
	drops uint64
}

// layout is how packets lie in the ring's memory: frames or blocks.
type layout interface {
	drain(max int, fn func(Packet)) int
}

const (
	frameSize     = 256
	framesInBlock = 256 // 64 KiB: a multiple of every page size
	defaultFrames = 16384

	blockSize   = 64 << 10 // a multiple of every page size
	blockRetire = 2        // ms; so many blocks, twice as many ms may pass before a slow trickle has filled the ring
)

// OpenRing opens a ring. Nothing arrives before the filter is in place: the
// socket gets its protocol last, with bind.
func OpenRing(c RingConfig) (*Ring, error) {
	rings, err := OpenRings(c)
	if err != nil {
		return nil, err
	}
	return rings[0], nil
}

// OpenRings opens several rings, or none. The kernel makes each wait for an
// RCU grace period, 10 ms and more (packet_set_ring, net/packet/af_packet.c);
// together they wait for one. The sockets are made by the calling thread, and
// so belong to its network namespace.
func OpenRings(configs ...RingConfig) ([]*Ring, error) {
	rings := make([]*Ring, 0, len(configs))
	for _, c := range configs {
		fd, err := openSocket(unix.AF_PACKET, unix.SOCK_DGRAM, 0)
		if err != nil {
			CloseRings(rings...)
			return nil, fmt.Errorf("raw: receive ring: %w", err)
		}
		rings = append(rings, &Ring{fd: fd, blocks: c.Blocks})
	}
	if err := together(rings, func(i int, r *Ring) error { return r.setup(configs[i]) }); err != nil {
		CloseRings(rings...)
		return nil, fmt.Errorf("raw: receive ring: %w", err)
	}
	return rings, nil
}

// CloseRings closes several rings: each waits for two RCU grace periods, and
// together they wait for two.
func CloseRings(rings ...*Ring) error {
	return together(rings, func(_ int, r *Ring) error { return r.Close() })
}

// together does something to rings at the same time.
func together(rings []*Ring, do func(i int, r *Ring) error) error {
	errs := make([]error, len(rings))
	var all sync.WaitGroup
	for i, r := range rings {
		all.Go(func() { errs[i] = do(i, r) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (r *Ring) setup(c RingConfig) error {
	if c.Frames <= 0 {
		c.Frames = defaultFrames
	}
	ask := r.askFrames
	if c.Blocks {
		ask = r.askBlocks
	}
	// The order counts: the version decides what a ring request means, and
	// the first packet may come as soon as the socket is bound.
	if err := cmp.Or(attachFilter(r.fd, c.Filter), ask(c.Frames)); err != nil {
		return err
	}
	return named("bind", unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(c.Proto)}))
}

func (r *Ring) askFrames(n int) error {
	blocks := (n + framesInBlock - 1) / framesInBlock
	req := unix.TpacketReq{
		Block_size: framesInBlock * frameSize, Block_nr: uint32(blocks),
		Frame_size: frameSize, Frame_nr: uint32(blocks * framesInBlock),
	}
	err := cmp.Or(
		setInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2, "PACKET_VERSION 2"),
		named("PACKET_RX_RING", unix.SetsockoptTpacketReq(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req)),
		r.mmap(req.Block_size, req.Block_nr),
	)
	r.layout = &frames{memory: r.memory, n: int(req.Frame_nr)}
	return err
}

func (r *Ring) askBlocks(n int) error {
	blocks := max(4, (n*frameSize+blockSize-1)/blockSize)
	req := unix.TpacketReq3{
		Block_size: blockSize, Block_nr: uint32(blocks), Retire_blk_tov: blockRetire,
		Frame_size: frameSize, Frame_nr: uint32(blocks * blockSize / frameSize),
	}
	err := cmp.Or(
		setInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3, "PACKET_VERSION 3"),
		named("PACKET_RX_RING", unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req)),
		r.mmap(req.Block_size, req.Block_nr),
	)
	r.layout = &blockRing{memory: r.memory, n: blocks}
	return err
}

func (r *Ring) mmap(blockSize, blocks uint32) error {
	size := uintptr(blockSize) * uintptr(blocks)
	memory, err := unix.MmapPtr(r.fd, 0, nil, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err == nil {
		r.memory, r.size = memory, size
	}
	return named("mmap", err)
}

// Drain calls fn for the packets that have arrived, at most max of them, in
// order, and returns how many it took out of the ring. It never blocks.
func (r *Ring) Drain(max int, fn func(Packet)) int {
	return r.layout.drain(max, fn)
}

// Drops returns how many packets found the ring full since it was opened.
func (r *Ring) Drops() (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.takeDrops() // reading sets the kernel's count to 0
	if err != nil {
		return r.drops, fmt.Errorf("raw: PACKET_STATISTICS: %w", err)
	}
	r.drops += uint64(n)
	return r.drops, nil
}

func (r *Ring) takeDrops() (uint32, error) {
	if r.blocks {
		s, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err != nil {
			return 0, err
		}
		return s.Drops, nil
	}
	s, err := unix.GetsockoptTpacketStats(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, err
	}
	return s.Drops, nil
}

// SetFilter puts another filter in place of the one before, without a gap.
// Packets that the old one let in are still in the ring.
func (r *Ring) SetFilter(prog []bpf.RawInstruction) error {
	if err := attachFilter(r.fd, prog); err != nil {
		return fmt.Errorf("raw: receive ring: %w", err)
	}
	return nil
}

// FD returns the socket, for a Waiter.
func (r *Ring) FD() int { return r.fd }

// Close gives the ring's memory back. No other method may run or follow.
func (r *Ring) Close() error {
	if r.memory != nil {
		unix.MunmapPtr(r.memory, r.size)
	}
	return unix.Close(r.fd)
}
