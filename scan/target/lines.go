package target

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxLine  = 1 << 16
	maxLabel = 255
)

// eachLine calls fn with every line of r and its number, until fn fails. The line is valid during the call only.
func eachLine(name string, r io.Reader, fn func(at place, line []byte) error) error {
	b := bufio.NewReaderSize(r, maxLine)
	for at := (place{name, 1}); ; at.line++ {
		line, err := b.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return at.err("", fmt.Sprintf("the line is longer than %d bytes: a file of targets has one target a line", maxLine))
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("%s:%d: %w", name, at.line, err)
		}
		if at.line == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		if ferr := fn(at, line); ferr != nil || err == io.EOF {
			return ferr
		}
	}
}

// Line is a target of a stream, or one that was written elsewhere.
type Line struct {
	File   string // name of the stream; empty for an argument
	Number int    // of the line, from 1; 0 where there is none
	Target string
	Label  string
}

// EachLine calls fn with every line of a stream that has a target, until fn fails; see the package documentation for what a line may
// be. The targets are not looked at yet. The error is an *Error, or what fn or the reader returned.
func EachLine(name string, r io.Reader, fn func(Line) error) error {
	return eachLine(name, r, func(at place, line []byte) error {
		target, label, comma := columns(line)
		if problem := checkLabel(label, comma); problem != "" {
			return at.err(target, problem)
		}
		if target == "" && label == "" {
			return nil
		}
		return fn(Line{at.file, at.line, target, label})
	})
}

// columns cuts a line into its target and its label; target is empty if the line has none. comma tells a label
// after a comma from one after a blank.
func columns(line []byte) (target, label string, comma bool) {
	line = bytes.TrimSpace(uncomment(line))
	end := bytes.IndexAny(line, " \t,")
	if end < 0 {
		return string(line), "", false
	}
	rest := bytes.TrimSpace(line[end:])
	rest, comma = bytes.CutPrefix(rest, []byte(","))
	return string(line[:end]), string(bytes.TrimSpace(rest)), comma
}

// uncomment cuts the comment off: a # at the start or after a blank, so that a label may hold one.
func uncomment(line []byte) []byte {
	for i, c := range line {
		if c == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}

// checkLabel refuses what would break the records, and what was probably meant as part of the target.
func checkLabel(label string, comma bool) (problem string) {
	if label == "" {
		return ""
	}
	if len(label) > maxLabel {
		return fmt.Sprintf("the label has %d bytes: the most is %d", len(label), maxLabel)
	}
	if !utf8.ValidString(label) || strings.ContainsFunc(label, unicode.IsControl) {
		return "the label is not plain UTF-8 text"
	}
	first := label
	if i := strings.IndexAny(label, " \t,"); i >= 0 {
		first = label[:i]
	}
	if first == "-" {
		return fmt.Sprintf("the label %q looks like the rest of a range: write 10.0.0.1-10.0.0.9 without blanks", label)
	}
	if looksLikeTarget(first) {
		return fmt.Sprintf("the label %q looks like a second target: write one target a line", label)
	}
	if comma && looksLikePorts(first) {
		return fmt.Sprintf("the label %q looks like a port: write host:port, one a line", label)
	}
	return ""
}

// looksLikeTarget reports whether text is an address, a prefix or a range, with ports or without.
func looksLikeTarget(text string) bool {
	if !strings.ContainsAny(text, ".:") {
		return false
	}
	d, problem := parse(text)
	return problem == "" && d.lo.IsValid()
}

func looksLikePorts(text string) bool {
	_, err := ParsePorts(text)
	return err == nil
}
