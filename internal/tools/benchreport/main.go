// Command benchreport makes DIR/benchmarks.md and the charts in DIR/benchmarks of DIR/benchmarks/results.txt, which holds the output of go
// test -bench, several rounds one after the other. Figures are medians of the rounds.
//
//	go run ./internal/tools/benchreport docs
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed report.md
var page string

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: benchreport DIR")
		os.Exit(3)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "benchreport:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	f, err := os.Open(filepath.Join(dir, "benchmarks", "results.txt"))
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := parse(f)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	var text strings.Builder
	if err := template.Must(template.New("report").Parse(page)).Execute(&text, r); err != nil {
		return err
	}
	err = os.WriteFile(filepath.Join(dir, "benchmarks.md"), []byte(text.String()), 0o644)
	for name, c := range r.charts() {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, "benchmarks", name+".svg"), []byte(c.svg()), 0o644))
	}
	return err
}
