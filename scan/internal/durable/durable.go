// Package durable makes files last through a crash: it replaces them at once or not at all, and keeps their names.
package durable

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
)

// Replace writes the file at path, which must be there, anew. Whoever opens it finds the old content or the new, after a crash
// too. Symbolic links stay links, and the file keeps its mode. inspect, if not nil, is called with the name of the new file before
// it takes the place of the old one.
func Replace(path string, write func(*bufio.Writer) error, inspect func(name string) error) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	// A name of its own: another program's file is not to be overwritten, and in /tmp a known name might be somebody's link.
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	err = fill(f, info.Mode().Perm(), write)
	if err == nil && inspect != nil {
		err = inspect(f.Name())
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return SyncName(path)
}

// fill writes a new file down to the disk and closes it.
func fill(f *os.File, mode os.FileMode, write func(*bufio.Writer) error) error {
	w := bufio.NewWriterSize(f, 1<<18) // keeps the first error for Flush
	err := errors.Join(write(w), w.Flush())
	if err == nil {
		err = errors.Join(f.Chmod(mode), f.Sync())
	}
	return errors.Join(err, f.Close())
}

// SyncName makes the name of a file durable, as Sync does for its bytes.
func SyncName(path string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
