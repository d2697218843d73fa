package record

import (
	"bytes"
	"encoding/json"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/rawshake/rawshake/match"
)

// jsonKey is a key with the punctuation around it, up to the first byte of the value. It has a fixed size, so that
// copying it is two moves and no call: a record has many keys and each call counts.
type jsonKey struct {
	text [16]byte
	n    int
}

var jsonKeys = func() (keys [NumFields]jsonKey) {
	for f := range NumFields {
		text := `,"` + f.String() + `":`
		if f.Kind() != KindNumber {
			text += `"`
		}
		keys[f].n = copy(keys[f].text[:], text)
	}
	return keys
}()

// AppendJSON appends the record as one JSON object of type "result", without a newline.
func (r *Record) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"v":1,"type":"result"`...)
	for set := r.present(); set != 0; set &= set - 1 {
		f := Field(bits.TrailingZeros32(uint32(set)))
		if f == FieldTarget && r.Name == "" && r.Target.Addr().Is4() {
			dst = appendJSONTarget(dst, r.Target)
			set &^= 1<<FieldAddr | 1<<FieldPort
			continue
		}
		dst = appendJSONField(dst, f, r)
	}
	return append(dst, '}')
}

// appendJSONTarget appends target, addr and port of an IPv4 target that has no name: the former is the latter two, which need not be
// written again but copied.
func appendJSONTarget(dst []byte, t netip.AddrPort) []byte {
	dst = append(dst, `,"target":"`...)
	start := len(dst)
	dst = t.AppendTo(dst)
	text := dst[start:]
	colon := bytes.LastIndexByte(text, ':')
	dst = append(append(dst, `","addr":"`...), text[:colon]...)
	return append(append(dst, `","port":`...), text[colon+1:]...)
}

// appendJSONField appends key and value of a field that is present.
func appendJSONField(dst []byte, f Field, r *Record) []byte {
	key := &jsonKeys[f]
	start := len(dst)
	dst = slices.Grow(dst, len(key.text))[:start+len(key.text)]
	*(*[16]byte)(dst[start:]) = key.text
	start += key.n
	dst = f.append(dst[:start], r)
	switch f.Kind() {
	case KindNumber:
		return dst
	case KindText, KindAddress: // an address too: a zone is the name of an interface, and that may hold a quote
		dst = escapeTail(dst, start)
	}
	return append(dst, '"')
}

// AppendJSON appends the summary as one JSON object of type "summary", without a newline.
func (s *Summary) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"v":1,"type":"summary"`...)
	if !s.Time.IsZero() {
		dst = append(dst, `,"ts":"`...)
		dst = append(appendTime(dst, s.Time), '"')
	}
	dst = append(dst, `,"target":"`...)
	start := len(dst)
	dst = append(escapeTail(append(dst, s.Target...), start), '"')
	if s.Addr.IsValid() {
		start = len(dst) + len(`,"addr":"`)
		dst = s.Addr.Addr().AppendTo(append(dst, `,"addr":"`...))
		dst = appendUint(escapeTail(dst, start), `","port":`, uint64(s.Addr.Port()))
	}
	dst = appendUint(dst, `,"sent":`, s.Sent)
	dst = appendUint(dst, `,"received":`, s.Received)
	if s.Pending > 0 {
		dst = appendUint(dst, `,"pending":`, s.Pending)
	}
	if s.decided() {
		dst = appendFloat(dst, `,"loss":`, s.Loss())
	}
	dst = appendUint(dst, `,"open":`, s.Verdicts[match.Open])
	dst = appendUint(dst, `,"closed":`, s.Verdicts[match.Closed])
	dst = appendUint(dst, `,"unreachable":`, s.Verdicts[match.Unreachable])
	dst = appendUint(dst, `,"filtered":`, s.Verdicts[match.Filtered])
	dst = appendUint(dst, `,"unsent":`, s.Verdicts[match.Unsent])
	if s.Max > 0 {
		dst = appendDuration(dst, `,"rtt_us":{"min":`, s.Min)
		dst = appendDuration(dst, `,"avg":`, s.Avg)
		dst = appendDuration(dst, `,"max":`, s.Max)
		dst = appendDuration(dst, `,"mdev":`, s.Mdev)
		dst = append(appendDuration(dst, `,"p95":`, s.P95), '}')
	}
	return append(dst, '}')
}

// AppendJSON appends the outcome as one JSON object of type "run", without a newline.
func (r *Run) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"v":1,"type":"run"`...)
	if !r.Time.IsZero() {
		dst = append(dst, `,"ts":"`...)
		dst = append(appendTime(dst, r.Time), '"')
	}
	dst = appendUint(dst, `,"targets":`, r.Targets)
	dst = appendUint(dst, `,"probes_sent":`, r.ProbesSent)
	dst = appendFloat(dst, `,"send_seconds":`, float64(r.SendTime)/1e9)
	dst = appendFloat(dst, `,"rate_pps":`, r.Rate())
	dst = appendUint(dst, `,"open":`, r.Open)
	dst = appendUint(dst, `,"closed":`, r.Closed)
	dst = appendUint(dst, `,"unreachable":`, r.Unreachable)
	dst = appendUint(dst, `,"filtered":`, r.Filtered)
	dst = appendUint(dst, `,"unsent":`, r.Unsent)
	dst = appendUint(dst, `,"duplicates":`, r.Duplicates)
	dst = appendUint(dst, `,"ignored":`, r.Ignored)
	dst = appendUint(dst, `,"ring_drops":`, r.RingDrops)
	dst = appendUint(dst, `,"send_errors":`, r.SendErrors)
	dst = appendUint(dst, `,"rst_sent":`, r.RSTSent)
	dst = appendUint(dst, `,"seed":`, r.Seed)
	dst = append(dst, `,"shard":"`...)
	start := len(dst)
	dst = append(escapeTail(append(dst, r.Shard...), start), '"')
	if len(r.Reasons) > 0 {
		reasons, _ := json.Marshal(r.Reasons) // words and numbers are never refused
		dst = append(append(dst, `,"reasons":`...), reasons...)
	}
	dst = append(dst, `,"complete":`...)
	return append(strconv.AppendBool(dst, r.Complete), '}')
}

func appendUint(dst []byte, key string, n uint64) []byte {
	return strconv.AppendUint(append(dst, key...), n, 10)
}

func appendFloat(dst []byte, key string, x float64) []byte {
	return strconv.AppendFloat(append(dst, key...), x, 'f', -1, 64)
}

func appendDuration(dst []byte, key string, d time.Duration) []byte {
	return appendFloat(dst, key, float64(d)/1e3)
}

// escapeTail escapes dst[start:] in place for a JSON string. Nearly always there is nothing to do.
func escapeTail(dst []byte, start int) []byte {
	if !needsEscape(dst[start:]) {
		return dst
	}
	end := len(dst)
	dst = appendEscaped(dst, dst[start:end:end]) // behind the raw text first: escaping makes it longer
	n := copy(dst[start:], dst[end:])
	return dst[:start+n]
}

// needsEscape reports whether text differs from its JSON form; everything that is not ASCII gets a closer look.
func needsEscape(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return true
		}
	}
	return false
}

const hexDigits = "0123456789abcdef"

// appendEscaped appends text as the inside of a JSON string, byte for byte as encoding/json writes it without HTML
// escaping: invalid UTF-8 becomes U+FFFD, and U+2028 and U+2029 are escaped because JavaScript takes them for line ends.
func appendEscaped(dst, text []byte) []byte {
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf {
			dst = appendEscapedASCII(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			dst = append(dst, `\ufffd`...)
		case r == '\u2028' || r == '\u2029':
			dst = append(dst, `\u202`...)
			dst = append(dst, hexDigits[r&15])
		default:
			dst = append(dst, text[i:i+n]...)
		}
		i += n
	}
	return dst
}

func appendEscapedASCII(dst []byte, c byte) []byte {
	switch {
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c >= ' ':
		return append(dst, c)
	case c == '\b':
		return append(dst, `\b`...)
	case c == '\f':
		return append(dst, `\f`...)
	case c == '\n':
		return append(dst, `\n`...)
	case c == '\r':
		return append(dst, `\r`...)
	case c == '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
