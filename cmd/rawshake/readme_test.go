package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/record"
)

// TestDocumentedCommands holds that the command understands every command line of README.md and docs.
func TestDocumentedCommands(t *testing.T) {
	root := filepath.Join("..", "..")
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range append(paths, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			args, ok := commandLine(line)
			if !ok {
				continue
			}
			n++
			if err := understand(args); err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(path), strings.TrimSpace(line), err)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d command lines found", n)
	}
}

// TestScanningIsDocumented: docs/scanning.md has every word that a scan may write.
func TestScanningIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "scanning.md"))
	if err != nil {
		t.Fatal(err)
	}
	words := record.FieldNames()
	for s := range match.NumStates {
		words = append(words, s.String())
	}
	for r := match.NoReason + 1; r < match.NumReasons; r++ {
		if r != match.Canceled && r != match.ConnectFailed { // a scan has no callers that go, and does not connect
			words = append(words, r.String())
		}
	}
	key := regexp.MustCompile(`"([a-z_]+)":`)
	for _, m := range key.FindAllStringSubmatch(string((&record.Run{Reasons: record.Reasons{"unsent": nil}}).AppendJSON(nil)), -1) {
		words = append(words, m[1])
	}
	for _, word := range words {
		if !regexp.MustCompile("[`\"]" + word + "[`\"]").Match(text) {
			t.Errorf("%s is missing", word)
		}
	}
	if len(words) < 60 {
		t.Errorf("only %d words", len(words))
	}
}

// commandLine returns the arguments of a line such as "$ sudo rawshake check -q 192.0.2.1:80 && echo up   # a remark".
func commandLine(line string) (args []string, ok bool) {
	line, ok = strings.CutPrefix(strings.TrimSpace(line), "$ ")
	for _, end := range []string{" # ", " | ", " && ", " || ", " > "} {
		line, _, _ = strings.Cut(line, end)
	}
	words := strings.Fields(line)
	if ok && len(words) > 0 && words[0] == "sudo" {
		words = words[1:]
	}
	if !ok || len(words) == 0 || filepath.Base(words[0]) != "rawshake" {
		return nil, false
	}
	return words[1:], true
}

// understand finds the command, sets its flags and counts its arguments.
func understand(args []string) error {
	cmd, rest, err := newRoot().Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}
