package record

import "time"

// appendTime appends t in UTC as RFC 3339 with exactly nine digits of a second, so that lines sort as text and columns
// align: "2026-11-20T15:16:50.123456789Z". It is written by hand because time.AppendFormat costs a third of a record.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = append(append2(append2(dst, year/100), year%100), '-')
	dst = append(append2(dst, int(month)), '-')
	dst = append(append2(dst, day), 'T')
	dst = append(append2(dst, hour), ':')
	dst = append(append2(dst, minute), ':')
	dst = append(append2(dst, second), '.')
	nanos := t.Nanosecond()
	dst = append2(append2(dst, nanos/1e7), nanos/1e5%100)
	dst = append2(append2(dst, nanos/1e3%100), nanos/10%100)
	return append(dst, byte('0'+nanos%10), 'Z')
}

// append2 appends the two last decimal digits of n.
func append2(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/10%10), byte('0'+n%10))
}
