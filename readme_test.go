package rawshake_test

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rawshake/rawshake"
)

// TestReadme holds that the Go blocks of README.md are the bodies of examples, and that every such example is there.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	got := goBlocks(string(text))
	var want []string
	for _, path := range []string{"example_readme_test.go", filepath.Join("scan", "example_readme_test.go")} {
		want = append(want, exampleBodies(t, path)...)
	}
	for _, block := range got {
		if !slices.Contains(want, block) {
			t.Errorf("README.md has a block that is no example:\n%s", block)
		}
	}
	for _, body := range want {
		if !slices.Contains(got, body) {
			t.Errorf("README.md lacks the example\n%s", body)
		}
	}
}

// goBlocks returns what stands between the fences of Go blocks.
func goBlocks(text string) (blocks []string) {
	for part := range strings.SplitSeq(text, "```go\n") {
		block, _, _ := strings.Cut(part, "```")
		blocks = append(blocks, block)
	}
	return blocks[1:]
}

// exampleBodies returns the bodies of the Example functions of a file, without their indentation.
func exampleBodies(t *testing.T, path string) (bodies []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, path, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(f.Name.Name, "Example") {
			continue
		}
		body := text[files.Position(f.Body.Lbrace).Offset+len("{\n") : files.Position(f.Body.Rbrace).Offset]
		bodies = append(bodies, strings.TrimPrefix(string(bytes.ReplaceAll(body, []byte("\n\t"), []byte("\n"))), "\t"))
	}
	return bodies
}

// TestReadmeRuns runs the examples of the root, where that is permitted.
func TestReadmeRuns(t *testing.T) {
	p, err := rawshake.New(rawshake.Config{})
	if errors.Is(err, os.ErrPermission) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	p.Close()
	for _, example := range []struct {
		run  func()
		want string
	}{
		{Example_probe, "127.0.0.1:9 is closed by rst\n"},
		{Example_probeAll, "1000 ports of 127.0.0.9 answer\n"},
	} {
		if got := printed(t, example.run); got != example.want {
			t.Errorf("it prints %q, want %q", got, example.want)
		}
	}
}

// printed returns what a function writes to standard output, which has to fit into a pipe.
func printed(t *testing.T, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func(stdout *os.File) { os.Stdout = stdout }(os.Stdout)
	os.Stdout = w
	f()
	w.Close()
	text, _ := io.ReadAll(r)
	return string(text)
}

// TestLinks holds that the links between the documents lead somewhere.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	paths := []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md"}
	for _, pattern := range []string{"docs/*.md", "docs/decisions/*.md"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, more...)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}
