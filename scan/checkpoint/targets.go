package checkpoint

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
)

// Targets are targets in no order. In the file they are packed: a million IPv4 targets in a /8 take about 4 MB, where
// their text would take 20.
//
// The packed form is base64 of three groups, each with its number first (all numbers are uvarints): IPv4, sorted, as
// differences of address*65536+port; IPv6, sorted, as differences of the upper half, the lower half and the port, of
// which one that changes makes those behind it start from zero; and addresses with a zone, as text with its length.
type Targets []netip.AddrPort

// MarshalText packs the targets; the order is lost.
func (t Targets) MarshalText() ([]byte, error) {
	v4 := make([]uint64, 0, len(t))
	var v6 []key6
	var zoned []string
	for _, a := range t {
		switch addr := a.Addr(); {
		case !addr.IsValid():
			return nil, errors.New("a pending target has no address")
		case addr.Is4():
			v4 = append(v4, uint64(binary.BigEndian.Uint32(addr.AsSlice()))<<16|uint64(a.Port()))
		case addr.Zone() != "":
			zoned = append(zoned, a.String())
		default:
			v6 = append(v6, key6Of(a))
		}
	}
	packed := packZoned(pack6(pack4(nil, v4), v6), zoned)
	return base64.StdEncoding.AppendEncode(nil, packed), nil
}

func pack4(dst []byte, keys []uint64) []byte {
	slices.Sort(keys)
	dst = binary.AppendUvarint(dst, uint64(len(keys)))
	var last uint64
	for _, k := range keys {
		dst = binary.AppendUvarint(dst, k-last)
		last = k
	}
	return dst
}

// key6 is an IPv6 target: upper half, lower half, port.
type key6 [3]uint64

func key6Of(a netip.AddrPort) key6 {
	b := a.Addr().As16()
	return key6{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), uint64(a.Port())}
}

func (k key6) target() netip.AddrPort {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k[0])
	binary.BigEndian.PutUint64(b[8:], k[1])
	return netip.AddrPortFrom(netip.AddrFrom16(b), uint16(k[2]))
}

func pack6(dst []byte, keys []key6) []byte {
	slices.SortFunc(keys, func(a, b key6) int { return slices.Compare(a[:], b[:]) })
	dst = binary.AppendUvarint(dst, uint64(len(keys)))
	var last key6
	for _, k := range keys {
		for i := range k {
			dst = binary.AppendUvarint(dst, k[i]-last[i])
			if k[i] != last[i] {
				clear(last[i+1:])
			}
		}
		last = k
	}
	return dst
}

func packZoned(dst []byte, targets []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(targets)))
	for _, s := range targets {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

// UnmarshalText reads what MarshalText wrote. It takes memory in proportion to the text, whatever the text says.
func (t *Targets) UnmarshalText(text []byte) error {
	packed, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return err
	}
	u := unpacker{rest: packed}
	targets := u.zoned(u.v6(u.v4(nil)))
	if u.bad || len(u.rest) > 0 {
		return errors.New("the pending targets are damaged")
	}
	*t = targets
	return nil
}

// unpacker reads packed targets. After the first fault everything reads as zero.
type unpacker struct {
	rest []byte
	bad  bool
}

func (u *unpacker) number() uint64 {
	n, size := binary.Uvarint(u.rest)
	if size <= 0 {
		u.bad, u.rest = true, nil
		return 0
	}
	u.rest = u.rest[size:]
	return n
}

// count reads how many items follow, each at least size bytes long.
func (u *unpacker) count(size int) int {
	n := u.number()
	if n > uint64(len(u.rest)/size) {
		u.bad, u.rest = true, nil
		return 0
	}
	return int(n)
}

func (u *unpacker) v4(to Targets) Targets {
	n := u.count(1)
	to = slices.Grow(to, n)
	var key uint64
	for range n {
		key += u.number()
		if key >= 1<<48 {
			u.bad = true
			return to
		}
		addr := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(key>>16))))
		to = append(to, netip.AddrPortFrom(addr, uint16(key)))
	}
	return to
}

func (u *unpacker) v6(to Targets) Targets {
	n := u.count(3)
	to = slices.Grow(to, n)
	var key key6
	for range n {
		for i := range key {
			difference := u.number()
			key[i] += difference
			if difference > 0 {
				clear(key[i+1:])
			}
		}
		if key[2] > 0xffff {
			u.bad = true
			return to
		}
		to = append(to, key.target())
	}
	return to
}

func (u *unpacker) zoned(to Targets) Targets {
	for range u.count(1) {
		text := make([]byte, u.count(1))
		u.rest = u.rest[copy(text, u.rest):]
		a, err := netip.ParseAddrPort(string(text))
		if err != nil {
			u.bad = true
			return to
		}
		to = append(to, a)
	}
	return to
}
