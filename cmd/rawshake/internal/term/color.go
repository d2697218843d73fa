// Package term knows what the terminal wants to see.
package term

import (
	"io"
	"os"
	"runtime"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
)

// Modes are the values of --color.
var Modes = []string{"auto", "always", "never"}

// Color decides about colour on w: what mode says, and for "auto" whether w is a terminal that has not asked for none, by
// NO_COLOR (https://no-color.org), TERM=dumb or no TERM at all. CLICOLOR_FORCE makes "auto" colour pipes too.
func Color(mode string, w io.Writer, getenv func(string) string) (bool, error) {
	switch mode {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "auto":
		return wanted(getenv) && (forced(getenv) || IsTerminal(w) && capable(getenv)), nil
	}
	return false, exit.Usagef("--color %q: want auto, always or never", mode)
}

func wanted(getenv func(string) string) bool {
	return getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}

// capable reports whether the terminal has a type. Windows has none to tell, and colours.
func capable(getenv func(string) string) bool {
	return getenv("TERM") != "" || runtime.GOOS == "windows"
}

func forced(getenv func(string) string) bool {
	force := getenv("CLICOLOR_FORCE")
	return force != "" && force != "0"
}

// Same reports whether two writers are one file: a terminal, or what a shell's 2>&1 has joined.
func Same(a, b io.Writer) bool {
	f, ok := a.(*os.File)
	g, also := b.(*os.File)
	if !ok || !also {
		return false
	}
	one, err := f.Stat()
	other, err2 := g.Stat()
	return err == nil && err2 == nil && os.SameFile(one, other)
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || f.Name() == os.DevNull {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
