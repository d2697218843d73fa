package output

import (
	"reflect"
	"strings"
	"testing"

	"github.com/rawshake/rawshake/scan/record"
)

func TestParseSpecs(t *testing.T) {
	all := record.AllFields()
	for _, test := range []struct {
		values, fields string
		want           []Spec
		err            string
	}{
		{"", "", nil, ""},
		{"result.jsonl", "", []Spec{{Path: "result.jsonl", Format: JSONL}}, ""},
		{"a/b.NDJSON c.json d.txt e.xml f.gnmap", "", []Spec{
			{Path: "a/b.NDJSON", Format: JSONL}, {Path: "c.json", Format: JSONL}, {Path: "d.txt", Format: Text},
			{Path: "e.xml", Format: XML}, {Path: "f.gnmap", Format: Grepable}}, ""},
		{"r.csv", "", []Spec{{Path: "r.csv", Format: CSV, Fields: all}}, ""},
		{"r.csv.zst x.jsonl.zst", "addr,port", []Spec{
			{Path: "r.csv.zst", Format: CSV, Compress: true, Fields: []record.Field{record.FieldAddr, record.FieldPort}},
			{Path: "x.jsonl.zst", Format: JSONL, Compress: true}}, ""},
		{"-", "", []Spec{{Path: "-", Format: Text}}, ""},
		{"jsonl:-", "", []Spec{{Path: "-", Format: JSONL}}, ""},
		{"xml:result grepable:/dev/fd/3 text:a.jsonl", "", []Spec{
			{Path: "result", Format: XML}, {Path: "/dev/fd/3", Format: Grepable}, {Path: "a.jsonl", Format: Text}}, ""},
		{"a:b.csv", "", []Spec{{Path: "a:b.csv", Format: CSV, Fields: all}}, ""}, // no format: a colon may stand in a name
		{"json:x gnmap:y txt:z.json ndjson:-", "", []Spec{{Path: "x", Format: JSONL}, {Path: "y", Format: Grepable}, {Path: "z.json"},
			{Path: "-", Format: JSONL}}, ""},
		{"yaml:x", "", nil, `-o yaml:x: there is no format "yaml", and the name does not tell one; write one of text:, jsonl:, csv:, xml:, grepable: before it, as in jsonl:x,`},
		{"yaml:", "", nil, "-o yaml:: the name does not tell the format; "},
		{"json:", "", nil, `-o "json:": a file name is missing`},
		{"X", "", nil, "-oX is nmap's or masscan's: write -o xml:FILE"},
		{"A", "", nil, "-oA is nmap's or masscan's: write -o text:FILE -o xml:FILE -o grepable:FILE"},
		{"result", "", nil, "-o result: the name does not tell the format; write one of text:, jsonl:, csv:, xml:, grepable: before it, as in jsonl:result,"},
		{"result.dat", "", nil, "-o result.dat: the name does not tell the format"},
		{".zst", "", nil, "-o .zst: the name does not tell the format"},
		{"jsonl:", "", nil, `-o "jsonl:": a file name is missing; - is standard output`},
		{"a.csv csv:a.csv", "", nil, "-o csv:a.csv: a.csv is named twice"},
		{"- jsonl:-", "", nil, "-o jsonl:-: - is named twice"},
		{"a.csv", "addr,prt", nil, `--fields: no field "prt"`},
		{"a.jsonl", "addr", nil, "--fields chooses the columns of CSV, and no output is CSV: add -o csv:- or -o FILE.csv"},
	} {
		got, err := ParseSpecs(strings.Fields(test.values), test.fields)
		if test.err == "" && (err != nil || !reflect.DeepEqual(got, test.want)) {
			t.Errorf("%q: %+v %v, want %+v", test.values, got, err, test.want)
		}
		if test.err != "" && (err == nil || !strings.HasPrefix(err.Error(), test.err)) {
			t.Errorf("%q: error %v, want %q", test.values, err, test.err)
		}
	}
}
