package durable

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func text(s string) func(*bufio.Writer) error {
	return func(w *bufio.Writer) error {
		_, err := w.WriteString(s)
		return err
	}
}

// TestReplace: the content is another, and all else stays: the links that lead there, the mode, and nothing beside it.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path, link, far := filepath.Join(dir, "x"), filepath.Join(dir, "link"), filepath.Join(dir, "other", "far")
	if err := errors.Join(
		os.WriteFile(path, []byte("old"), 0o600), os.Chmod(path, 0o640), os.Mkdir(filepath.Dir(far), 0o700),
		os.Symlink("x", link), os.Symlink(link, far),
	); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link, far} {
		if err := Replace(name, text("new by "+name), nil); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil || string(content) != "new by "+name {
			t.Errorf("%q %v", content, err)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode() != 0o640 {
			t.Errorf("mode %v %v", info.Mode(), err)
		}
	}
	for _, name := range []string{link, far} {
		if info, err := os.Lstat(name); err != nil || info.Mode().Type() != os.ModeSymlink {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	if all, _ := filepath.Glob(filepath.Join(dir, "*")); len(all) != 3 {
		t.Errorf("%q", all)
	}
}

// TestReplaceFails: the old content stays, and nothing is left beside it.
func TestReplaceFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	if err := Replace(path, text("new"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	full := errors.New("full")
	for _, err := range []error{
		Replace(path, func(*bufio.Writer) error { return full }, nil),
		Replace(path, text("new"), func(name string) error {
			if content, err := os.ReadFile(name); string(content) != "new" {
				t.Errorf("%q %v", content, err)
			}
			return full
		}),
	} {
		if !errors.Is(err, full) {
			t.Errorf("error %v", err)
		}
		if content, err := os.ReadFile(path); string(content) != "old" {
			t.Errorf("%q %v", content, err)
		}
	}
	if all, _ := filepath.Glob(filepath.Join(dir, "*")); len(all) != 1 {
		t.Errorf("%q are left", all)
	}
}
