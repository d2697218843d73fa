package output

import (
	"fmt"
	"os"
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

// File reports whether the records go to a file, one that is there or one to be made: not to a pipe, a device or standard output.
func (s Spec) File() bool {
	if s.Path == Stdout {
		return false
	}
	info, err := os.Stat(s.Path)
	if err != nil {
		return true
	}
	return info.Mode().IsRegular() && !isDescriptor(s.Path)
}

// isDescriptor reports whether path leads to an open file, as /dev/stdout does: what lies beside that name is another thing.
func isDescriptor(path string) bool {
	abs, err := filepath.Abs(path)
	if err != nil || !strings.HasPrefix(abs, "/dev/") && !strings.HasPrefix(abs, "/proc/") {
		return false
	}
	link, err := os.Lstat(abs)
	return err == nil && link.Mode()&os.ModeSymlink != 0
}

// ParseSpecs reads the values of -o and of --fields. A value is "file", "format:file", "-" or "format:-"; a format may be called
// by an extension, too. Without a format the extension tells it, and standard output is text; a further ".zst" compresses. fields is for every CSV
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
	if prefixed {
		if spec.Format, prefixed = parseFormat(word); prefixed {
			spec.Path = path
		}
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
		return spec, formatError(value, name)
	}
	spec.Format = format
	return spec, nil
}

// parseFormat reads the name of a format, or an extension that stands for it.
func parseFormat(word string) (Format, bool) {
	if i := slices.Index(formatNames[:], word); i >= 0 {
		return Format(i), true
	}
	f, ok := extensions["."+word]
	return f, ok
}

// foreign are what stands behind -o in nmap and masscan, and how it is written here.
var foreign = map[string]string{
	"N": "text:FILE", "X": "xml:FILE", "G": "grepable:FILE", "A": "text:FILE -o xml:FILE -o grepable:FILE", "S": "text:FILE", "J": "jsonl:FILE", "L": "text:FILE",
}

// formatError says how to name a format.
func formatError(value, name string) error {
	if here, ok := foreign[value]; ok {
		return fmt.Errorf("-o%s is nmap's or masscan's: write -o %s", value, here)
	}
	problem := "the name does not tell the format"
	if word, file, ok := strings.Cut(name, ":"); ok && file != "" {
		problem, name = fmt.Sprintf("there is no format %q, and the name does not tell one", word), file
	}
	return fmt.Errorf("-o %s: %s; write one of %s: before it, as in jsonl:%s, or let it end in .txt, .jsonl, .csv, .xml or .gnmap",
		value, problem, strings.Join(formatNames[:], ":, "), name)
}
