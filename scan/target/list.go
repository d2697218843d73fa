package target

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"net/netip"
	"slices"
)

// List is endpoints in no order and in little memory: 8 bytes each for IPv4, 24 for IPv6. The zero value is empty. It is not safe
// for concurrent use.
//
// Its text, for a checkpoint, is base64 of three groups, each with its number first (all numbers are uvarints): IPv4, sorted, as
// differences of address*65536+port; IPv6, sorted, as differences of the upper half, the lower half and the port, of which one
// that changes makes those behind it start from zero; and addresses with a zone, as text with its length. A million targets of a /8
// take about 4 MB.
type List struct {
	four  []uint64 // address<<16 | port
	six   []key6
	zoned []netip.AddrPort
	hint  int
}

// Grow has the list expect n endpoints, so that it allocates once.
func (l *List) Grow(n int) { l.hint = n }

// Add adds an endpoint.
func (l *List) Add(t netip.AddrPort) {
	switch a := t.Addr(); {
	case a.Is4():
		b := a.As4()
		l.four = append(reserved(l.four, l.hint), uint64(binary.BigEndian.Uint32(b[:]))<<16|uint64(t.Port()))
	case a.Zone() != "" || !a.IsValid():
		l.zoned = append(l.zoned, t)
	default:
		l.six = append(reserved(l.six, l.hint), key6Of(t))
	}
}

// reserved makes room in a slice that is still empty.
func reserved[T any](s []T, n int) []T {
	if s == nil && n > 0 {
		return make([]T, 0, n)
	}
	return s
}

// Len returns how many endpoints there are.
func (l *List) Len() int { return len(l.four) + len(l.six) + len(l.zoned) }

// All yields the endpoints.
func (l *List) All() iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		for _, k := range l.four {
			if !yield(endpoint4(k)) {
				return
			}
		}
		for _, k := range l.six {
			if !yield(k.endpoint()) {
				return
			}
		}
		for _, t := range l.zoned {
			if !yield(t) {
				return
			}
		}
	}
}

func endpoint4(k uint64) netip.AddrPort {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(k>>16))
	return netip.AddrPortFrom(netip.AddrFrom4(b), uint16(k))
}

// key6 is an IPv6 endpoint: upper half, lower half, port.
type key6 [3]uint64

func key6Of(t netip.AddrPort) key6 {
	b := t.Addr().As16()
	return key6{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), uint64(t.Port())}
}

func (k key6) endpoint() netip.AddrPort {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k[0])
	binary.BigEndian.PutUint64(b[8:], k[1])
	return netip.AddrPortFrom(netip.AddrFrom16(b), uint16(k[2]))
}

// MarshalText returns what WriteText writes.
func (l *List) MarshalText() ([]byte, error) {
	var b bytes.Buffer
	err := l.WriteText(&b)
	return b.Bytes(), err
}

// WriteText packs the list, which it sorts, without a copy of it.
func (l *List) WriteText(w io.Writer) error {
	text := base64.NewEncoder(base64.StdEncoding, w)
	p := packer{bufio.NewWriter(text)}
	p.four(l.four)
	p.six(l.six)
	p.number(uint64(len(l.zoned)))
	for _, t := range l.zoned {
		if !t.Addr().IsValid() {
			return errors.New("a target has no address")
		}
		p.number(uint64(len(t.String())))
		p.WriteString(t.String())
	}
	if err := p.Flush(); err != nil { // which has kept the first error
		return err
	}
	return text.Close()
}

// packer writes a packed list.
type packer struct{ *bufio.Writer }

func (p packer) number(n uint64) { p.Write(binary.AppendUvarint(p.AvailableBuffer(), n)) }

func (p packer) four(keys []uint64) {
	slices.Sort(keys)
	p.number(uint64(len(keys)))
	var last uint64
	for _, k := range keys {
		p.number(k - last)
		last = k
	}
}

func (p packer) six(keys []key6) {
	slices.SortFunc(keys, func(a, b key6) int { return slices.Compare(a[:], b[:]) })
	p.number(uint64(len(keys)))
	var last key6
	for _, k := range keys {
		for i := range k {
			p.number(k[i] - last[i])
			if k[i] != last[i] {
				clear(last[i+1:])
			}
		}
		last = k
	}
}

// UnmarshalText reads what MarshalText wrote. It takes memory in proportion to the text, whatever the text says.
func (l *List) UnmarshalText(text []byte) error {
	packed, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return err
	}
	u := unpacker{rest: packed}
	read := List{four: u.four(), six: u.six(), zoned: u.zoned()}
	if u.bad || len(u.rest) > 0 {
		return errors.New("the list of targets is damaged")
	}
	*l = read
	return nil
}

// unpacker reads a packed list. After the first fault everything reads as zero.
type unpacker struct {
	rest []byte
	bad  bool
}

func (u *unpacker) fail() {
	u.bad, u.rest = true, nil
}

func (u *unpacker) number() uint64 {
	n, size := binary.Uvarint(u.rest)
	if size <= 0 {
		u.fail()
		return 0
	}
	u.rest = u.rest[size:]
	return n
}

// count reads how many items follow, each at least size bytes long.
func (u *unpacker) count(size int) int {
	n := u.number()
	if n > uint64(len(u.rest)/size) {
		u.fail()
		return 0
	}
	return int(n)
}

func (u *unpacker) four() []uint64 {
	n := u.count(1)
	if n == 0 {
		return nil
	}
	keys := make([]uint64, n)
	var key uint64
	for i := range keys {
		if key += u.number(); key >= 1<<48 {
			u.fail()
		}
		keys[i] = key
	}
	return keys
}

func (u *unpacker) six() []key6 {
	n := u.count(3)
	if n == 0 {
		return nil
	}
	keys := make([]key6, n)
	var key key6
	for i := range keys {
		for j := range key {
			difference := u.number()
			key[j] += difference
			if difference > 0 {
				clear(key[j+1:])
			}
		}
		if key[2] > 0xffff {
			u.fail()
		}
		keys[i] = key
	}
	return keys
}

func (u *unpacker) zoned() (all []netip.AddrPort) {
	for range u.count(1) {
		text := make([]byte, u.count(1))
		u.rest = u.rest[copy(text, u.rest):]
		t, err := netip.ParseAddrPort(string(text))
		if err != nil {
			u.fail()
			return nil
		}
		all = append(all, t)
	}
	return all
}
