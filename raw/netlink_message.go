//go:build linux && !android

package raw

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// message is one netlink message that the kernel sent.
type message struct {
	kind, flags uint16
	seq         uint32
	body        []byte
}

// messages walks through what one read returned. It stops at a length that
// does not fit.
func messages(b []byte) iter.Seq[message] {
	return func(yield func(message) bool) {
		for len(b) >= unix.NLMSG_HDRLEN {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.NLMSG_HDRLEN || size > len(b) {
				return
			}
			m := message{
				kind:  binary.NativeEndian.Uint16(b[4:]),
				flags: binary.NativeEndian.Uint16(b[6:]),
				seq:   binary.NativeEndian.Uint32(b[8:]),
				body:  b[unix.NLMSG_HDRLEN:size],
			}
			if !yield(m) {
				return
			}
			b = b[min(align4(size), len(b)):]
		}
	}
}

// header returns a copy of the fixed header that begins a message of its
// kind, and the attributes after it. A message that is too short has a zero
// header and no attributes.
func header[T any](m message) (h T, attrs attributes) {
	size := int(unsafe.Sizeof(h))
	if len(m.body) < size {
		return h, nil
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&h)), size), m.body)
	return h, attributes(m.body[min(align4(size), len(m.body)):])
}

// attributeKind masks the flags off an attribute's kind (NLA_TYPE_MASK).
const attributeKind = 1<<14 - 1

// attributes is a run of type-length-value attributes.
type attributes []byte

// all walks through the attributes and stops at a length that does not fit.
func (a attributes) all() iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for b := []byte(a); len(b) >= unix.SizeofRtAttr; {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofRtAttr || size > len(b) {
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) & attributeKind
			if !yield(kind, b[unix.SizeofRtAttr:size]) {
				return
			}
			b = b[min(align4(size), len(b)):]
		}
	}
}

func (a attributes) find(kind uint16) []byte {
	for k, v := range a.all() {
		if k == kind {
			return v
		}
	}
	return nil
}

// uint32 returns 0 for an attribute that is absent.
func (a attributes) uint32(kind uint16) uint32 {
	if v := a.find(kind); len(v) >= 4 {
		return binary.NativeEndian.Uint32(v)
	}
	return 0
}

// addr returns the zero Addr for an attribute that is absent.
func (a attributes) addr(kind uint16) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.find(kind))
	return addr
}

// text returns a string attribute without its final zero.
func (a attributes) text(kind uint16) string {
	return unix.ByteSliceToString(a.find(kind))
}
