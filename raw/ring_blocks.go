//go:build linux && !android

package raw

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// blockRing is a ring of TPACKET_V3: the kernel fills a block with packets of
// any size and hands it over as a whole, and so do we.
type blockRing struct {
	memory unsafe.Pointer
	n      int
	at     int

	// Where Drain stopped inside the block.
	left uint32
	next unsafe.Pointer
}

// blockDesc is struct tpacket_block_desc of linux/if_packet.h.
type blockDesc struct {
	version, toPrivate uint32
	header             unix.TpacketHdrV1
}

func (b *blockRing) drain(max int, fn func(Packet)) int {
	taken := 0
	for taken < max && b.enter() {
		for ; taken < max && b.left > 0; taken++ {
			b.one(fn)
		}
		if b.left == 0 {
			b.leave()
		}
	}
	return taken
}

func (b *blockRing) block() *blockDesc {
	return (*blockDesc)(unsafe.Add(b.memory, b.at*blockSize))
}

// enter reports whether there is a block to read.
func (b *blockRing) enter() bool {
	if b.left > 0 {
		return true
	}
	block := b.block()
	if atomic.LoadUint32(&block.header.Block_status)&unix.TP_STATUS_USER == 0 {
		return false
	}
	b.left = block.header.Num_pkts
	b.next = unsafe.Add(unsafe.Pointer(block), uintptr(block.header.Offset_to_first_pkt))
	return true
}

// leave gives the block back to the kernel.
func (b *blockRing) leave() {
	atomic.StoreUint32(&b.block().header.Block_status, unix.TP_STATUS_KERNEL)
	if b.at++; b.at == b.n {
		b.at = 0
	}
}

func (b *blockRing) one(fn func(Packet)) {
	h := (*unix.Tpacket3Hdr)(b.next)
	deliver(fn, found{
		link:   (*unix.RawSockaddrLinklayer)(unsafe.Add(b.next, alignTpacket(unsafe.Sizeof(*h)))),
		data:   unsafe.Slice((*byte)(unsafe.Add(b.next, uintptr(h.Net))), h.Snaplen),
		status: h.Status, sec: h.Sec, nsec: h.Nsec,
	})
	b.next = unsafe.Add(b.next, uintptr(h.Next_offset))
	b.left--
}
