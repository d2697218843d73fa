package check

import (
	"fmt"
	"io"

	"github.com/rawshake/rawshake/scan/record"
)

// output writes records to stdout and figures where they belong: data on stdout, all else on stderr.
type output struct {
	stdout, stderr io.Writer
	json           bool // JSON lines, else text
	quiet          bool // no records
	numbered       bool // text lines begin with the number of the probe
	text           record.Text
	buf            []byte
}

// record writes one verdict.
func (o *output) record(r *record.Record, seq int) error {
	if o.quiet {
		return nil
	}
	o.buf = o.buf[:0]
	switch {
	case o.json:
		o.buf = append(r.AppendJSON(o.buf), '\n')
	case o.numbered:
		o.buf = fmt.Appendf(o.buf, "[%d]  ", seq)
		fallthrough
	default:
		o.buf = o.text.AppendRecord(o.buf, r)
	}
	_, err := o.stdout.Write(o.buf)
	return err
}

// summaries writes the figures of every endpoint: they are data for a program, and a remark for people.
func (o *output) summaries(all []record.Summary) error {
	for i := range all {
		w := o.stderr
		o.buf = o.buf[:0]
		if o.json {
			w, o.buf = o.stdout, append(all[i].AppendJSON(o.buf), '\n')
		} else {
			o.buf = all[i].AppendText(o.buf)
		}
		if _, err := w.Write(o.buf); err != nil {
			return err
		}
	}
	return nil
}

// note tells people something.
func (o *output) note(format string, args ...any) {
	fmt.Fprintf(o.stderr, format+"\n", args...)
}
