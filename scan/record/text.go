package record

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/rawshake/rawshake/match"
)

// Text writes records for people, a line each, in columns. Its zero value is ready: no colour, and the target column is
// as wide as an IPv4 address with a port. The column widens with the longest target seen. Not safe for concurrent use.
type Text struct {
	Color bool // states are coloured with ANSI sequences
	width int
}

const (
	minTargetWidth = len("255.255.255.255:65535")
	maxTargetWidth = 60 // a longer target is written whole, only its own line is out of column
	stateWidth     = len("unreachable")
	reasonWidth    = len("syn-ack")
	rttWidth       = len("1000.000 ms")
)

var stateColors = [match.NumStates]string{
	match.Open: "\x1b[32m", match.Closed: "\x1b[31m", match.Unreachable: "\x1b[35m", match.Filtered: "\x1b[33m",
	match.Unsent: "\x1b[36m",
}

// AppendRecord appends the record as one line with a line feed:
//
//	192.0.2.1:443          open         syn-ack    0.413 ms  ttl 57  win 64240  mss 1460
func (t *Text) AppendRecord(dst []byte, r *Record) []byte {
	start := len(dst)
	dst = appendTargetText(dst, r)
	width := utf8.RuneCount(dst[start:])
	t.width = max(t.width, minTargetWidth, min(width, maxTargetWidth))
	dst = append(pad(dst, t.width-width), "  "...)
	dst = t.appendState(dst, r.State)
	reason := r.Reason.String()
	dst = append(append(dst, "  "...), reason...)
	dst = appendRTTColumn(dst, r.RTT, reasonWidth-len(reason))
	return append(appendEvidence(dst, r), '\n')
}

func (t *Text) appendState(dst []byte, s match.State) []byte {
	word := s.String()
	if !t.Color || s >= match.NumStates {
		return pad(append(dst, word...), stateWidth-len(word))
	}
	dst = append(append(append(dst, stateColors[s]...), word...), "\x1b[0m"...)
	return pad(dst, stateWidth-len(word))
}

// appendTargetText appends what was asked for and, when that is a name, the address that it meant.
func appendTargetText(dst []byte, r *Record) []byte {
	if r.Name == "" {
		return r.Target.AppendTo(dst)
	}
	dst = appendPrintable(dst, r.Name)
	if !r.Target.IsValid() {
		return dst
	}
	mark := len(dst)
	dst = append(r.Target.AppendTo(append(dst, " ("...)), ')')
	if string(dst[mark+2:len(dst)-1]) == r.Name {
		return dst[:mark]
	}
	return dst
}

// appendRTTColumn appends the round-trip time, flush right, after a reason that is short of its column by missing.
func appendRTTColumn(dst []byte, rtt time.Duration, missing int) []byte {
	if rtt <= 0 {
		return dst
	}
	var buf [24]byte
	ms := append(appendMillis(buf[:0], rtt), " ms"...)
	return append(pad(append(dst, "  "...), missing+rttWidth-len(ms)), ms...)
}

// appendMillis appends d in milliseconds with three decimals: "0.413".
func appendMillis(dst []byte, d time.Duration) []byte {
	return strconv.AppendFloat(dst, float64(d)/1e6, 'f', 3, 64)
}

// appendEvidence appends what else is worth a glance, two spaces before each.
func appendEvidence(dst []byte, r *Record) []byte {
	set := r.present()
	if r.Method != "connect" {
		set &^= 1 << FieldMethod
	}
	if r.Attempt <= 0 {
		set &^= 1 << FieldAttempt
	}
	for _, e := range evidence {
		if set.has(e.field) {
			start := len(dst) + len(e.word)
			dst = e.field.append(append(dst, e.word...), r)
			if e.field.Kind() == KindText {
				dst = printableTail(dst, start)
			}
		}
	}
	return dst
}

var evidence = [...]struct {
	field Field
	word  string
}{
	{FieldTTL, "  ttl "}, {FieldWindow, "  win "}, {FieldMSS, "  mss "}, {FieldAttempt, "  attempt "}, {FieldMTU, "  mtu "},
	{FieldResponder, "  from "}, {FieldMethod, "  by "}, {FieldError, "  error: "}, {FieldSuspect, "  suspect: "},
	{FieldLabel, "  label: "},
}

// printableTail is appendPrintable for text that already stands at dst[start:].
func printableTail(dst []byte, start int) []byte {
	end := len(dst)
	for rest := dst[start:end:end]; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		dst, rest = appendPrintableRune(dst, r), rest[n:]
	}
	n := copy(dst[start:], dst[end:])
	return dst[:start+n]
}

// appendPrintable appends text with a question mark for each control character, so that a name or label can neither
// break the line nor speak to the terminal.
func appendPrintable(dst []byte, text string) []byte {
	start := len(dst)
	return printableTail(append(dst, text...), start)
}

func appendPrintableRune(dst []byte, r rune) []byte {
	if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == '\u2028' || r == '\u2029' {
		r = '?'
	}
	return utf8.AppendRune(dst, r)
}

func pad(dst []byte, n int) []byte {
	for ; n > 0; n-- {
		dst = append(dst, ' ')
	}
	return dst
}

// AppendText appends the summary on one line with a line feed, with ping's figures.
func (s *Summary) AppendText(dst []byte) []byte {
	dst = appendPrintable(dst, s.Target)
	dst = appendUint(dst, " : sent ", s.Sent)
	dst = appendUint(dst, ", answered ", s.Received)
	dst = strconv.AppendFloat(append(dst, ", loss "...), s.Loss()*100, 'f', 1, 64)
	dst = append(dst, "%"...)
	if s.Max == 0 {
		return append(dst, '\n')
	}
	dst = appendMillis(append(dst, ", min/avg/max/mdev = "...), s.Min)
	dst = appendMillis(append(dst, '/'), s.Avg)
	dst = appendMillis(append(dst, '/'), s.Max)
	dst = appendMillis(append(dst, '/'), s.Mdev)
	return append(dst, " ms\n"...)
}

// AppendText appends the outcome of the run for people: three lines with line feeds, each behind "# " so that a text
// output stays easy to cut with grep.
func (r *Run) AppendText(dst []byte) []byte {
	dst = append(dst, "# "...)
	if !r.Complete {
		dst = append(dst, "INCOMPLETE: "...)
	}
	dst = appendUint(dst, "", r.Done())
	dst = appendUint(dst, " of ", r.Targets)
	dst = appendUint(dst, " targets: ", r.Open)
	dst = appendUint(dst, " open, ", r.Closed)
	dst = appendUint(dst, " closed, ", r.Unreachable)
	dst = appendUint(dst, " unreachable, ", r.Filtered)
	dst = appendUint(dst, " filtered, ", r.Unsent)
	dst = appendUint(dst, " unsent\n# ", r.ProbesSent)
	dst = appendFloat(dst, " SYNs in ", roundMillis(r.SendTime))
	dst = appendFloat(dst, " s, ", r.Rate())
	dst = appendUint(dst, " a second; ", r.RSTSent)
	dst = appendUint(dst, " RSTs; seed ", r.Seed)
	dst = appendPrintable(append(dst, ", shard "...), r.Shard)
	dst = appendUint(dst, "\n# ", r.Duplicates)
	dst = appendUint(dst, " duplicate answers, ", r.Ignored)
	dst = appendUint(dst, " ignored packets, ", r.RingDrops)
	dst = appendUint(dst, " dropped by our ring, ", r.SendErrors)
	return append(dst, " send errors\n"...)
}

// roundMillis returns seconds with three decimals at most; Duration.Seconds rounds twice and may add a digit at the end.
func roundMillis(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)/time.Millisecond) / 1e3
}
