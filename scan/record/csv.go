package record

import (
	"unicode"
	"unicode/utf8"
)

// AppendCSVHeader appends the names of fields, with a line feed.
func AppendCSVHeader(dst []byte, fields []Field) []byte {
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, f.String()...)
	}
	return append(dst, '\n')
}

// AppendCSV appends the record as one CSV line with a line feed (RFC 4180, lines end in LF as Unix tools want them).
// An absent field is empty; where it is the only one it is "", because readers skip an empty line.
func (r *Record) AppendCSV(dst []byte, fields []Field) []byte {
	set := r.present()
	line := len(dst)
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		if !set.has(f) {
			continue
		}
		start := len(dst)
		dst = f.append(dst, r)
		if f.Kind() == KindText || f.Kind() == KindAddress { // an address may carry a zone: the name of an interface
			dst = quoteTail(dst, start)
		}
	}
	if len(dst) == line {
		dst = append(dst, `""`...)
	}
	return append(dst, '\n')
}

// quoteTail quotes dst[start:] in place when CSV asks for it.
func quoteTail(dst []byte, start int) []byte {
	if !needsQuotes(dst[start:]) {
		return dst
	}
	end := len(dst)
	dst = append(dst, '"')
	for _, c := range dst[start:end:end] {
		if c == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, c)
	}
	dst = append(dst, '"')
	n := copy(dst[start:], dst[end:])
	return dst[:start+n]
}

// needsQuotes holds for the separators, and for a leading space, which some readers trim.
func needsQuotes(value []byte) bool {
	for _, c := range value {
		if c == ',' || c == '"' || c == '\n' || c == '\r' {
			return true
		}
	}
	first, _ := utf8.DecodeRune(value)
	return unicode.IsSpace(first)
}
