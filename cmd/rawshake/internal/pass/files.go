//go:build linux && !android

package pass

import (
	"os"
	"path/filepath"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
)

// named is a file that a flag names.
type named struct {
	flag, path string
	info       os.FileInfo // nil: it is not there
}

// distinctFiles fails where two things would be written to one file, or a file of targets would be overwritten.
func (o *Options) distinctFiles() error {
	reads := o.reads()
	var writes []named
	for _, w := range o.writes() {
		for _, r := range reads {
			if w.same(r) {
				return exit.Usagef("%s %s would overwrite what %s reads: give it a name of its own", w.flag, w.path, r.flag)
			}
		}
		for _, other := range writes {
			if w.same(other) {
				return exit.Usagef("%s %s: %s writes to the same file: give it a name of its own", w.flag, w.path, other.flag)
			}
		}
		writes = append(writes, w)
	}
	return nil
}

func (o *Options) reads() (all []named) {
	add := func(flag string, paths ...string) {
		for _, path := range paths {
			all = append(all, look(flag, path, o.Targets.Stdin))
		}
	}
	add("-f", o.Targets.Files...)
	add("--exclude-file", o.Targets.ExcludeFiles...)
	add("--scope", o.Targets.Scope)
	if o.Targets.ReadsStdin() {
		add("standard input", targets.Stdin)
	}
	return all
}

func (o *Options) writes() (all []named) {
	for _, s := range o.Outputs {
		all = append(all, look("-o", s.Path, o.Stdout))
	}
	return append(all, look("--checkpoint", o.Checkpoint, nil), look("--pcap", o.Pcap, nil))
}

// look finds the file of a flag; std is that of the name "-".
func look(flag, path string, std any) named {
	n := named{flag: flag, path: path}
	if file, ok := std.(*os.File); ok && path == "-" {
		n.info, _ = file.Stat()
	} else {
		n.info, _ = os.Stat(path)
	}
	return n
}

// same reports whether two names are those of one regular file. What is no file, as /dev/null, may be named as often as one likes.
func (n named) same(o named) bool {
	if n.info != nil && o.info != nil {
		return n.info.Mode().IsRegular() && os.SameFile(n.info, o.info)
	}
	return n.info == nil && o.info == nil && n.path != "" && place(n.path) == place(o.path)
}

// place is the one name of a file that is not there yet.
func place(path string) string {
	dir, base := filepath.Split(path)
	if real, err := filepath.EvalSymlinks(dir + "."); err == nil {
		dir = real
	}
	path = filepath.Join(dir, base)
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
