//go:build linux && !android

package raw

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sharedRing is a ring of entries between an AF_XDP socket and the kernel: one
// side produces, the other consumes, and both positions grow for ever
// (net/xdp/xsk_queue.h).
type sharedRing[E any] struct {
	memory             unsafe.Pointer
	size               uintptr
	producer, consumer *uint32
	entries            unsafe.Pointer
	mask               uint32
}

// open maps the ring of n entries, a power of two, that lies at an offset of
// the socket.
func (r *sharedRing[E]) open(fd int, offset int64, at unix.XDPRingOffset, n uint32) error {
	var e E
	size := uintptr(at.Desc) + uintptr(n)*unsafe.Sizeof(e)
	memory, err := unix.MmapPtr(fd, offset, nil, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return named("mmap", err)
	}
	r.memory, r.size, r.mask = memory, size, n-1
	r.producer = (*uint32)(unsafe.Add(memory, at.Producer))
	r.consumer = (*uint32)(unsafe.Add(memory, at.Consumer))
	r.entries = unsafe.Add(memory, at.Desc)
	return nil
}

func (r *sharedRing[E]) close() {
	if r.memory != nil {
		unix.MunmapPtr(r.memory, r.size)
	}
}

// at returns the entry at a position.
func (r *sharedRing[E]) at(position uint32) *E {
	var e E
	return (*E)(unsafe.Add(r.entries, uintptr(position&r.mask)*unsafe.Sizeof(e)))
}

func (r *sharedRing[E]) produced() uint32 { return atomic.LoadUint32(r.producer) }

func (r *sharedRing[E]) consumed() uint32 { return atomic.LoadUint32(r.consumer) }

// produce shows the entries before a position to the kernel.
func (r *sharedRing[E]) produce(position uint32) { atomic.StoreUint32(r.producer, position) }

// take calls fn for the entries that the kernel has produced, and gives them
// back to it.
func (r *sharedRing[E]) take(fn func(E)) {
	at, end := r.consumed(), r.produced()
	for ; at != end; at++ {
		fn(*r.at(at))
	}
	atomic.StoreUint32(r.consumer, end)
}

// xdpOffsets tells where the parts of the rings of an AF_XDP socket lie.
func xdpOffsets(fd int) (at unix.XDPMmapOffsets, err error) {
	size := uint32(unsafe.Sizeof(at))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&at)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		err = named("XDP_MMAP_OFFSETS", errno)
	}
	return at, err
}
