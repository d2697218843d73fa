package output

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rawshake/rawshake/scan/record"
)

// Format is how records are written.
type Format uint8

// The formats.
const (
	Text     Format = iota // aligned columns for people
	JSONL                  // a JSON object a line
	CSV                    // RFC 4180 with a header line
	XML                    // nmap's -oX
	Grepable               // nmap's -oG

	numFormats
)

var formatNames = [numFormats]string{"text", "jsonl", "csv", "xml", "grepable"}

// String returns the word that selects the format: "text", "jsonl", "csv", "xml", "grepable".
func (f Format) String() string { return formatNames[f] }

// extensions say which format a file name asks for.
var extensions = map[string]Format{
	".txt": Text, ".text": Text, ".jsonl": JSONL, ".ndjson": JSONL, ".json": JSONL, ".csv": CSV, ".xml": XML,
	".gnmap": Grepable, ".grepable": Grepable,
}

// Stdout is the path that means standard output.
const Stdout = "-"

// Spec says where records go and how.
type Spec struct {
	Path     string // a file, or "-" for standard output
	Format   Format
	Compress bool           // zstd
	Fields   []record.Field // the columns of CSV; nil means all
}

// ParseSpecs reads the values of -o and of --fields. A value is "file", "format:file", "-" or "format:-". Without a
// format the extension tells it, and standard output is text; a further ".zst" compresses. fields is for every CSV
// output; if empty, all fields in the documented order.
func ParseSpecs(values []string, fields string) ([]Spec, error) {
	columns, err := record.ParseFields(fields)
	if err != nil {
		return nil, err
	}
	var specs []Spec
	for _, value := range values {
		spec, err := parseSpec(value)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(specs, func(s Spec) bool { return s.Path == spec.Path }) {
			return nil, fmt.Errorf("-o %s: %s is named twice", value, spec.Path)
		}
		if spec.Format == CSV {
			spec.Fields = columns
		}
		specs = append(specs, spec)
	}
	if fields != "" && !slices.ContainsFunc(specs, func(s Spec) bool { return s.Format == CSV }) {
		return nil, fmt.Errorf("--fields chooses the columns of CSV, and no output is CSV: add -o csv:- or -o FILE.csv")
	}
	return specs, nil
}

func parseSpec(value string) (Spec, error) {
	spec := Spec{Path: value}
	word, path, prefixed := strings.Cut(value, ":")
	if i := slices.Index(formatNames[:], word); prefixed && i >= 0 {
		spec.Path, spec.Format = path, Format(i)
	} else {
		prefixed = false
	}
	if spec.Path == "" {
		return spec, fmt.Errorf("-o %q: a file name is missing; - is standard output", value)
	}
	name, compressed := strings.CutSuffix(spec.Path, ".zst")
	spec.Compress = compressed
	if prefixed || spec.Path == Stdout {
		return spec, nil
	}
	format, ok := extensions[strings.ToLower(filepath.Ext(name))]
	if !ok {
		return spec, fmt.Errorf("-o %s: the name does not tell the format; write one of %s: before it, as in jsonl:%s, "+
			"or let it end in .txt, .jsonl, .csv, .xml or .gnmap", value, strings.Join(formatNames[:], ":, "), value)
	}
	spec.Format = format
	return spec, nil
}
