package craft

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// Kinds of TCP options (IANA) that are read.
const (
	kindEnd        = 0
	kindNop        = 1
	kindMSS        = 2
	kindScale      = 3
	kindSACKOK     = 4
	kindTimestamps = 8
)

// Options is what the TCP options of a SYN or SYN-ACK say. The zero value is that of a segment without options.
type Options struct {
	MSS                              uint16 // 0: none announced
	WindowScale                      uint8  // the shift as on the wire; more than 14 means 14 (RFC 7323 §2.3)
	HasWindowScale, SACK, Timestamps bool
	TSval, TSecr                     uint32
}

// ParseOptions reads raw options up to the end of the list or the first malformed one. A known option of the wrong
// length is skipped; of several of a kind the last counts, as in Linux (tcp_parse_options). It does not allocate.
func ParseOptions(raw []byte) Options {
	var o Options
	for kind, data := range OptionKinds(raw) {
		o.set(kind, data)
	}
	return o
}

func (o *Options) set(kind uint8, data []byte) {
	switch {
	case kind == kindMSS && len(data) == 2:
		o.MSS = binary.BigEndian.Uint16(data)
	case kind == kindScale && len(data) == 1:
		o.WindowScale, o.HasWindowScale = data[0], true
	case kind == kindSACKOK && len(data) == 0:
		o.SACK = true
	case kind == kindTimestamps && len(data) == 8:
		o.Timestamps = true
		o.TSval, o.TSecr = binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])
	}
}

// OptionKinds yields each option in raw as its kind and its data, which aliases raw and is empty for those of one
// byte. It ends after the end of the list (kind 0, which is yielded) and before malformed input.
func OptionKinds(raw []byte) iter.Seq2[uint8, []byte] {
	return func(yield func(uint8, []byte) bool) {
		for len(raw) > 0 {
			n := optionLength(raw)
			if n == 0 || !yield(raw[0], raw[min(n, 2):n]) || raw[0] == kindEnd {
				return
			}
			raw = raw[n:]
		}
	}
}

// optionLength returns the length of the option at the beginning of raw, or 0 if it is malformed: its length byte is
// missing, below 2, or reaches beyond the end (RFC 9293 §3.2).
func optionLength(raw []byte) int {
	if raw[0] == kindEnd || raw[0] == kindNop {
		return 1
	}
	if len(raw) < 2 || raw[1] < 2 || int(raw[1]) > len(raw) {
		return 0
	}
	return int(raw[1])
}

// timestampsAt returns the offset of TSval in raw, or -1.
func timestampsAt(raw []byte) int {
	for at := 0; at < len(raw); {
		n := optionLength(raw[at:])
		switch {
		case n == 0:
			return -1
		case raw[at] == kindTimestamps:
			return at + 2
		}
		at += n
	}
	return -1
}

// FormatOptions names the options in the order of the wire, without their values: "mss,sackok,ts,nop,ws". The end of
// the list is "eol", an option without a name "?" and its number, and malformed input ends it with "malformed".
func FormatOptions(raw []byte) string { return string(AppendOptions(nil, raw)) }

// AppendOptions appends to b what [FormatOptions] returns.
func AppendOptions(b, raw []byte) []byte { return appendOptions(b, raw, false) }

func appendOptions(b, raw []byte, values bool) []byte {
	for first := true; len(raw) > 0; first = false {
		if !first {
			b = append(b, ',')
		}
		n := optionLength(raw)
		if n == 0 {
			return append(b, "malformed"...)
		}
		b = appendKind(b, raw[0])
		if values {
			b = appendValue(b, raw[0], raw[min(n, 2):n])
		}
		if raw[0] == kindEnd {
			return b
		}
		raw = raw[n:]
	}
	return b
}

func appendKind(b []byte, kind uint8) []byte {
	if name := kindName(kind); name != "" {
		return append(b, name...)
	}
	return fmt.Appendf(b, "?%d", kind)
}

// appendValue writes numbers where the meaning of the data is known, and the bytes elsewhere.
func appendValue(b []byte, kind uint8, data []byte) []byte {
	switch {
	case len(data) == 0:
		return b
	case kind == kindMSS && len(data) == 2:
		return fmt.Appendf(b, " %d", binary.BigEndian.Uint16(data))
	case kind == kindScale && len(data) == 1:
		return fmt.Appendf(b, " %d", data[0])
	case kind == kindTimestamps && len(data) == 8:
		return fmt.Appendf(b, " %d %d", binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:]))
	}
	return fmt.Appendf(b, " %x", data)
}

// kindName returns the name of an option, or "".
func kindName(kind uint8) string {
	switch kind {
	case kindEnd:
		return "eol"
	case kindNop:
		return "nop"
	case kindMSS:
		return "mss"
	case kindScale:
		return "ws"
	case kindSACKOK:
		return "sackok"
	case 5:
		return "sack"
	case kindTimestamps:
		return "ts"
	case 19:
		return "md5"
	case 28:
		return "uto"
	case 29:
		return "ao"
	case 30:
		return "mptcp"
	case 34:
		return "tfo"
	}
	return ""
}
