package output

import (
	"github.com/rawshake/rawshake/scan/record"
)

// encoder writes one output's format. Each call appends whole lines to dst. An encoder belongs to one stream.
type encoder interface {
	header(dst []byte) []byte
	record(dst []byte, r *record.Record) []byte
	footer(dst []byte, run *record.Run) []byte
}

func newEncoder(spec Spec, meta Meta) encoder {
	switch spec.Format {
	case JSONL:
		return jsonl{}
	case CSV:
		if spec.Fields == nil {
			return csv{record.AllFields()}
		}
		return csv{spec.Fields}
	case XML:
		return &xml{meta: meta}
	case Grepable:
		return &grepable{meta: meta}
	}
	return &text{record.Text{Color: meta.Color && spec.Path == Stdout}}
}

type jsonl struct{}

func (jsonl) header(dst []byte) []byte { return dst }

func (jsonl) record(dst []byte, r *record.Record) []byte {
	return append(r.AppendJSON(dst), '\n')
}

func (jsonl) footer(dst []byte, run *record.Run) []byte {
	return append(run.AppendJSON(dst), '\n')
}

type csv struct{ fields []record.Field }

func (c csv) header(dst []byte) []byte { return record.AppendCSVHeader(dst, c.fields) }

func (c csv) record(dst []byte, r *record.Record) []byte { return r.AppendCSV(dst, c.fields) }

// footer writes nothing: every line of a CSV file but the first is a record.
func (c csv) footer(dst []byte, _ *record.Run) []byte { return dst }

type text struct{ columns record.Text }

func (t *text) header(dst []byte) []byte { return dst }

func (t *text) record(dst []byte, r *record.Record) []byte { return t.columns.AppendRecord(dst, r) }

func (t *text) footer(dst []byte, run *record.Run) []byte { return run.AppendText(dst) }
