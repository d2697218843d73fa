package term

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
)

func TestColor(t *testing.T) {
	for _, test := range []struct {
		mode string
		env  map[string]string
		want bool
	}{
		{"always", map[string]string{"NO_COLOR": "1"}, true},
		{"never", map[string]string{"CLICOLOR_FORCE": "1"}, false},
		{"auto", nil, false}, // a buffer is no terminal
		{"auto", map[string]string{"CLICOLOR_FORCE": "1"}, true},
		{"auto", map[string]string{"CLICOLOR_FORCE": "0"}, false},
		{"auto", map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, false},
		{"auto", map[string]string{"CLICOLOR_FORCE": "1", "TERM": "dumb"}, false},
	} {
		got, err := Color(test.mode, &bytes.Buffer{}, func(key string) string { return test.env[key] })
		if err != nil || got != test.want {
			t.Errorf("%s with %v: %v %v, want %v", test.mode, test.env, got, err, test.want)
		}
	}
	if _, err := Color("blue", os.Stdout, os.Getenv); exit.Of(err) != exit.Usage {
		t.Errorf("blue: %v", err)
	}
}

// TestColorOfTerminal: one without a type gets no colour.
func TestColorOfTerminal(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer terminal.Close()
	for term, want := range map[string]bool{"xterm": true, "": false, "dumb": false} {
		if got, _ := Color("auto", terminal, func(key string) string { return map[string]string{"TERM": term}[key] }); got != want {
			t.Errorf("TERM=%q: %v, want %v", term, got, want)
		}
	}
}

func TestSame(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	path := filepath.Join(t.TempDir(), "f")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	again, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if !Same(w, w) || !Same(f, again) {
		t.Error("one file is not the same")
	}
	if Same(w, f) || Same(&bytes.Buffer{}, f) || Same(f, nil) {
		t.Error("two are")
	}
}

func TestIsTerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if IsTerminal(null) {
		t.Error("the null device is a terminal")
	}
}
