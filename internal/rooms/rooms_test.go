package rooms

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/rawshake/rawshake"

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

// room returns the first words of an import path that name a room: "." is the root.
func room(path string) string {
	rest, ours := strings.CutPrefix(path, module)
	if !ours {
		return ""
	}
	rest = strings.TrimPrefix(rest, "/")
	first, more, _ := strings.Cut(rest, "/")
	switch first {
	case "":
		return "."
	case "internal":
		second, _, _ := strings.Cut(more, "/")
		return "internal/" + second
	}
	return first
}

// mayImport says which rooms and which modules a room may import; std is always allowed.
var mayImport = map[string][]string{
	"craft":            {"github.com/google/gopacket"},
	"match":            {"craft", "golang.org/x/net/bpf"},
	"raw":              {"golang.org/x/net", "golang.org/x/sys"},
	"internal/engine":  {"craft", "match", "raw", "golang.org/x/net", "golang.org/x/sys"},
	".":                {"craft", "match", "raw", "internal/engine", "internal/connect", "golang.org/x/sys"},
	"internal/connect": {"craft", "match", "golang.org/x/sys"},
	"scan": {".", "scan", "craft", "match", "raw", "internal/engine", "golang.org/x/sys",
		"github.com/klauspost/compress"},
	"cmd": {".", "scan", "cmd", "craft", "match", "raw", "internal/engine", "golang.org/x/sys", "golang.org/x/net",
		"github.com/google/gopacket", "github.com/spf13"},
	"internal/wiretest": {"craft", "internal/engine", "github.com/google/gopacket"},
	"internal/lab": {"internal/lab", "craft", "golang.org/x/sys", "golang.org/x/net", "github.com/google/gopacket", "github.com/vishvananda",
		"github.com/cilium/ebpf"},
	"internal/loopback": {"golang.org/x/sys"},
	"internal/rooms":    {},
	"internal/tools":    {},
}

// light are the only modules that an importer of the library pays for.
var light = []string{module, "github.com/google/gopacket", "golang.org/x/net", "golang.org/x/sys"}

func TestRooms(t *testing.T) {
	for _, p := range list(t, "./...") {
		r := room(p.ImportPath)
		allowed, known := mayImport[r]
		if !known {
			t.Errorf("%s is in no room: add it to docs/ARCHITECTURE.md and here", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			if !isStd(imp) && !permits(allowed, imp) {
				t.Errorf("%s must not import %s", p.ImportPath, imp)
			}
		}
	}
}

func TestLibraryIsLight(t *testing.T) {
	for _, p := range list(t, module) {
		for _, dep := range p.Deps {
			if !isStd(dep) && !hasPrefix(light, dep) {
				t.Errorf("the library depends on %s", dep)
			}
			if r := room(dep); r == "cmd" || r == "scan" || r == "internal/lab" || r == "internal/loopback" || r == "internal/wiretest" {
				t.Errorf("the library depends on %s", dep)
			}
		}
	}
}

// permits reports whether one of the allowed rooms or modules is that of an import.
func permits(allowed []string, imp string) bool {
	if r := room(imp); r != "" {
		for _, a := range allowed {
			if a == r {
				return true
			}
		}
		return false
	}
	return hasPrefix(allowed, imp)
}

func hasPrefix(modules []string, imp string) bool {
	for _, m := range modules {
		if imp == m || strings.HasPrefix(imp, m+"/") {
			return true
		}
	}
	return false
}

// isStd reports whether an import path is of the standard library: those have no dot in their first word.
func isStd(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// list runs go list for Linux.
func list(t *testing.T, pattern string) (all []pkg) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Standard,Imports,Deps", pattern)
	cmd.Dir = "../.."
	cmd.Env = append(cmd.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
