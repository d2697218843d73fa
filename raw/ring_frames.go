//go:build linux && !android

package raw

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// frames is a ring of TPACKET_V2: each frame has a status word of its own,
// which says whose it is.
type frames struct {
	memory unsafe.Pointer
	n      int
	at     int
}

func (f *frames) drain(max int, fn func(Packet)) int {
	taken := 0
	for ; taken < max; taken++ {
		frame := unsafe.Add(f.memory, f.at*frameSize)
		h := (*unix.Tpacket2Hdr)(frame)
		// The kernel writes the status last: what it covers is visible to
		// whoever sees it with an atomic load (on arm64 a plain one is not
		// enough).
		status := atomic.LoadUint32(&h.Status)
		if status&unix.TP_STATUS_USER == 0 {
			break
		}
		deliver(fn, found{
			link:   (*unix.RawSockaddrLinklayer)(unsafe.Add(frame, alignTpacket(unsafe.Sizeof(*h)))),
			data:   unsafe.Slice((*byte)(unsafe.Add(frame, uintptr(h.Net))), h.Snaplen),
			status: status, sec: h.Sec, nsec: h.Nsec,
		})
		atomic.StoreUint32(&h.Status, unix.TP_STATUS_KERNEL)
		if f.at++; f.at == f.n {
			f.at = 0
		}
	}
	return taken
}

// found is a packet as a ring holds it.
type found struct {
	link      *unix.RawSockaddrLinklayer
	data      []byte
	status    uint32
	sec, nsec uint32
}

// deliver passes on packets that came in and are for this host. The checksum
// is settled when the hardware or the kernel has verified it (CSUM_VALID), or
// when the packet has not left the machine yet and nobody has computed it
// (CSUMNOTREADY).
func deliver(fn func(Packet), p found) {
	switch p.link.Pkttype {
	case unix.PACKET_OUTGOING, unix.PACKET_OTHERHOST:
		return
	}
	fn(Packet{
		Data:      p.data,
		Time:      int64(p.sec)*1e9 + int64(p.nsec),
		Interface: int(p.link.Ifindex),
		Verify:    p.status&(unix.TP_STATUS_CSUM_VALID|unix.TP_STATUS_CSUMNOTREADY) == 0,
	})
}

// alignTpacket is TPACKET_ALIGN of linux/if_packet.h.
func alignTpacket(n uintptr) uintptr {
	return (n + unix.TPACKET_ALIGNMENT - 1) &^ (unix.TPACKET_ALIGNMENT - 1)
}
