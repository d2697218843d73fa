// Command report reads the output of go test -json and shows what a person needs: a line for each package, the output of tests
// that failed, and the tests that skipped with their reason. It exits with 1 if anything failed and, with -require, if
// anything skipped: a test that skips in continuous integration proves nothing. Seeds that a fuzz test passes over do not count.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of go test -json (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64

	ImportPath string // instead of Package, for the build of a test
}

// report collects the output of each test until its end is known.
type report struct {
	out     io.Writer
	output  map[string]string
	failed  bool
	skipped []string
}

func main() {
	require := flag.Bool("require", false, "fail if a test skips")
	flag.Parse()
	r := &report{out: os.Stdout, output: map[string]string{}}
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(2)
	}
	if r.summary(*require) {
		os.Exit(1)
	}
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(r.out, lines.Text()) // the toolchain's own words
			continue
		}
		r.add(e)
	}
	return lines.Err()
}

func (r *report) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		r.output[key] += e.Output
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "fail":
		r.failed = true
		fmt.Fprintf(r.out, "FAIL %s\n%s", key, r.output[key])
	case "skip":
		if e.Test != "" && !strings.HasPrefix(e.Test, "Fuzz") {
			r.skipped = append(r.skipped, key+"\n"+r.output[key])
		}
	case "pass":
		if e.Test == "" {
			fmt.Fprintf(r.out, "ok   %s %.1f s\n", e.Package, e.Elapsed)
		}
	}
	if e.Action == "fail" || e.Action == "skip" || e.Action == "pass" {
		delete(r.output, key)
	}
}

// summary says whether the run counts as failed.
func (r *report) summary(require bool) (failed bool) {
	for _, s := range r.skipped {
		fmt.Fprint(r.out, "SKIP ", s)
	}
	return r.failed || require && len(r.skipped) > 0
}
