package target

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// Numbers are targets by their number in a [Space], in no order.
//
// Their text, for a checkpoint, is base64 of uvarints: how many there are, and then, sorted, how much each is above the one before. A
// million targets of a /8 take about 1.5 MB.
type Numbers []uint64

// MarshalText returns what WriteText writes.
func (n Numbers) MarshalText() ([]byte, error) {
	var b bytes.Buffer
	err := n.WriteText(&b)
	return b.Bytes(), err
}

// WriteText packs the numbers, which it sorts, without a copy of them.
func (n Numbers) WriteText(w io.Writer) error {
	slices.Sort(n)
	text := base64.NewEncoder(base64.StdEncoding, w)
	packed := bufio.NewWriter(text)
	uvarint := func(v uint64) { packed.Write(binary.AppendUvarint(packed.AvailableBuffer(), v)) }
	uvarint(uint64(len(n)))
	var last uint64
	for _, i := range n {
		uvarint(i - last)
		last = i
	}
	if err := packed.Flush(); err != nil { // which has kept the first error
		return err
	}
	return text.Close()
}

// UnmarshalText reads what MarshalText wrote. It takes memory in proportion to the text, whatever the text says.
func (n *Numbers) UnmarshalText(text []byte) error {
	packed, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return err
	}
	count, size := binary.Uvarint(packed)
	if size <= 0 || count > uint64(len(packed)-size) { // each takes a byte at least
		return errDamaged
	}
	packed = packed[size:]
	read := make(Numbers, count)
	var last uint64
	for i := range read {
		above, size := binary.Uvarint(packed)
		if size <= 0 || last+above < last {
			return errDamaged
		}
		last += above
		read[i], packed = last, packed[size:]
	}
	if len(packed) > 0 {
		return errDamaged
	}
	*n = read
	return nil
}

var errDamaged = errors.New("the list of targets is damaged")
