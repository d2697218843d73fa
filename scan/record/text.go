package record

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/rawshake/rawshake/match"
)

// Text writes records for people, a line each, in columns. Its zero value is ready. Not safe for concurrent use.
type Text struct {
	Color bool // states are coloured with ANSI sequences
	Width int  // of the target column: at least that of an IPv4 address with a port; it widens with the longest target seen
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
	dst = appendTargetText(dst, r.Name, r.Target)
	width := utf8.RuneCount(dst[start:])
	t.Width = max(t.Width, minTargetWidth, min(width, maxTargetWidth))
	dst = append(pad(dst, t.Width-width), "  "...)
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
func appendTargetText(dst []byte, name string, target netip.AddrPort) []byte {
	if name == "" {
		return target.AppendTo(dst)
	}
	dst = appendPrintable(dst, name)
	if !target.IsValid() {
		return dst
	}
	mark := len(dst)
	dst = append(target.AppendTo(append(dst, " ("...)), ')')
	if string(dst[mark+2:len(dst)-1]) == name {
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
	dst = appendSYNs(dst, r)
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

// appendSYNs appends how many SYNs there were, where it was not the one and only that was answered. Of connect(2) nobody knows how
// often it asked in vain.
func appendSYNs(dst []byte, r *Record) []byte {
	silent := r.State == match.Filtered && r.Method != "connect"
	if r.State == match.Unsent || r.Attempt <= 0 && !silent {
		return dst
	}
	return appendAmount(dst, "  after ", uint64(max(r.Attempt, 0))+1, "SYN")
}

var evidence = [...]struct {
	field Field
	word  string
}{
	{FieldTTL, "  ttl "}, {FieldWindow, "  win "}, {FieldMSS, "  mss "}, {FieldMTU, "  mtu "},
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
	dst = appendTargetText(dst, s.Target, s.Addr)
	dst = appendUint(dst, " : sent ", s.Sent)
	dst = appendUint(dst, ", answered ", s.Received)
	if s.Pending > 0 {
		dst = appendUint(dst, ", pending ", s.Pending)
	}
	if s.decided() {
		dst = strconv.AppendFloat(append(dst, ", loss "...), s.Loss()*100, 'f', 1, 64)
		dst = append(dst, '%')
	}
	dst = s.appendVerdicts(dst)
	if s.Max == 0 {
		return append(dst, '\n')
	}
	dst = appendMillis(append(dst, ", min/avg/max/mdev = "...), s.Min)
	dst = appendMillis(append(dst, '/'), s.Avg)
	dst = appendMillis(append(dst, '/'), s.Max)
	dst = appendMillis(append(dst, '/'), s.Mdev)
	return append(dst, " ms\n"...)
}

// appendVerdicts appends how many there are of each state: " (2 open, 1 closed)".
func (s *Summary) appendVerdicts(dst []byte) []byte {
	before := " ("
	for _, state := range [...]match.State{match.Open, match.Closed, match.Unreachable, match.Filtered, match.Unsent} {
		if n := s.Verdicts[state]; n > 0 {
			dst = append(append(appendUint(dst, before, n), ' '), state.String()...)
			before = ", "
		}
	}
	if before == " (" {
		return dst
	}
	return append(dst, ')')
}

// AppendText appends the outcome of the run for people: some lines with line feeds, each behind "# " so that a text output stays easy to
// cut with grep.
func (r *Run) AppendText(dst []byte) []byte {
	dst = append(dst, "# "...)
	if !r.Complete {
		dst = append(dst, "INCOMPLETE: "...)
	}
	dst = appendUint(dst, "", r.Done())
	dst = appendAmount(dst, " of ", r.Targets, "target")
	dst = appendUint(dst, ": ", r.Open)
	dst = appendUint(dst, " open, ", r.Closed)
	dst = appendUint(dst, " closed, ", r.Unreachable)
	dst = appendUint(dst, " unreachable, ", r.Filtered)
	dst = appendUint(dst, " filtered, ", r.Unsent)
	dst = append(dst, " unsent\n"...)
	dst = r.Reasons.appendText(dst, match.Unreachable)
	dst = r.Reasons.appendText(dst, match.Unsent)
	dst = r.appendSent(append(dst, "# "...))
	dst = appendUint(dst, "; seed ", r.Seed)
	dst = append(appendPrintable(append(dst, ", shard "...), r.Shard), '\n')
	return r.appendTrouble(dst)
}

// appendText appends a line that says why targets are in a state, the most frequent reason first; none if there are no such targets.
func (r Reasons) appendText(dst []byte, s match.State) []byte {
	reasons := r[s.String()]
	words := slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(reasons[b], reasons[a]), cmp.Compare(a, b))
	})
	var sum uint64
	for _, n := range reasons {
		sum += n
	}
	for i, word := range words {
		if i == 0 {
			dst = append(append(appendUint(dst, "# ", sum), ' '), s.String()...)
			dst = append(dst, ':')
		} else {
			dst = append(dst, ',')
		}
		dst = appendPrintable(append(appendUint(dst, " ", reasons[word]), ' '), word)
	}
	if len(words) > 0 {
		dst = append(dst, '\n')
	}
	return dst
}

// shortest is the time below which a rate says nothing: it would be that of a burst.
const shortest = 10 * time.Millisecond

// appendSent appends what was sent.
func (r *Run) appendSent(dst []byte) []byte {
	dst = appendAmount(dst, "", r.ProbesSent, "SYN")
	if r.SendTime >= shortest && r.ProbesSent > 1 {
		dst = appendFloat(dst, " in ", roundMillis(r.SendTime))
		dst = append(appendFloat(dst, " s, ", r.Rate()), " a second"...)
	}
	return appendAmount(dst, "; ", r.RSTSent, "RST")
}

// appendTrouble appends a line with what should not be, if there is any.
func (r *Run) appendTrouble(dst []byte) []byte {
	before := "# "
	for _, c := range []struct {
		n     uint64
		noun  string
		after string
	}{
		{r.Duplicates, "duplicate answer", ""}, {r.Ignored, "ignored packet", ""}, {r.RingDrops, "packet", " dropped by our ring"},
		{r.SendErrors, "send error", ""},
	} {
		if c.n > 0 {
			dst = append(appendAmount(dst, before, c.n, c.noun), c.after...)
			before = ", "
		}
	}
	if before == ", " {
		dst = append(dst, '\n')
	}
	return dst
}

// appendAmount appends a number of things: "1 target", "2 targets".
func appendAmount(dst []byte, before string, n uint64, noun string) []byte {
	dst = append(append(appendUint(dst, before, n), ' '), noun...)
	if n == 1 {
		return dst
	}
	return append(dst, 's')
}

// roundMillis returns seconds with three decimals at most; Duration.Seconds rounds twice and may add a digit at the end.
func roundMillis(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)/time.Millisecond) / 1e3
}
