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
	numbered       bool // verdicts have the number of the probe
	text           record.Text
	buf            []byte
}

func newOutput(o Options) output {
	return output{
		stdout: o.Stdout, stderr: o.Stderr, json: o.JSON, quiet: o.Quiet, numbered: o.Count != 1,
		text: record.Text{Color: o.Color, Width: columnWidth(o.Hosts)},
	}
}

// record writes one verdict.
func (o *output) record(r *record.Record, seq int) error {
	if o.quiet {
		return nil
	}
	o.buf = o.buf[:0]
	switch {
	case o.json:
		o.buf = append(o.appendJSON(o.buf, r, seq), '\n')
	case o.numbered:
		o.buf = fmt.Appendf(o.buf, "[%d]  ", seq)
		fallthrough
	default:
		o.buf = o.text.AppendRecord(o.buf, r)
	}
	_, err := o.stdout.Write(o.buf)
	return err
}

// appendJSON appends the record with the number of the probe, which is not a field of records: a scan has no such thing.
func (o *output) appendJSON(dst []byte, r *record.Record, seq int) []byte {
	dst = r.AppendJSON(dst)
	if !o.numbered {
		return dst
	}
	return fmt.Appendf(dst[:len(dst)-1], `,"seq":%d}`, seq)
}

// summaries writes figures: they are data for a program, and a remark for people.
func (o *output) summaries(all []record.Summary) error {
	if !o.json {
		return o.figures(all)
	}
	for i := range all {
		o.buf = append(all[i].AppendJSON(o.buf[:0]), '\n')
		if _, err := o.stdout.Write(o.buf); err != nil {
			return err
		}
	}
	return nil
}

// figures writes figures for people.
func (o *output) figures(all []record.Summary) error {
	for i := range all {
		o.buf = all[i].AppendText(o.buf[:0])
		if _, err := o.stderr.Write(o.buf); err != nil {
			return err
		}
	}
	return nil
}

// note tells people something.
func (o *output) note(format string, args ...any) {
	fmt.Fprintf(o.stderr, format+"\n", args...)
}
