//go:build linux && !android

package lab

import (
	"bytes"
	"io"
)

// childOutput passes on what the second process prints, line by line, but for what the first prints too. The lines are
// marked, since tools would read the words of go test as results of the first process.
type childOutput struct {
	to   io.Writer
	skip func(line []byte) bool // more lines to leave out; may be nil
	rest []byte
}

func (o *childOutput) Write(b []byte) (int, error) {
	o.rest = append(o.rest, b...)
	for {
		end := bytes.IndexByte(o.rest, '\n')
		if end < 0 {
			return len(b), nil
		}
		o.line(o.rest[:end+1])
		o.rest = o.rest[end+1:]
	}
}

// flush passes on a last line without an end. It must not run beside Write.
func (o *childOutput) flush() {
	if len(o.rest) > 0 {
		o.line(append(o.rest, '\n'))
		o.rest = nil
	}
}

// boring are lines that the first process prints too.
var boring = [][]byte{[]byte("=== "), []byte("PASS\n"), []byte("--- PASS"), []byte("coverage: ")}

func (o *childOutput) line(line []byte) {
	if o.skip != nil && o.skip(line) {
		return
	}
	for _, b := range boring {
		if bytes.HasPrefix(bytes.TrimLeft(line, " "), b) {
			return
		}
	}
	o.to.Write(append([]byte("| "), line...))
}
