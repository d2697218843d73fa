package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
