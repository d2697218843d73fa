package checkpoint

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rawshake/rawshake/scan/internal/durable"
)

// ErrTaken says that a checkpoint belongs to another scan, which is under way or can go on.
var ErrTaken = errors.New("it belongs to another scan")

// ErrInUse is the ErrTaken of a scan that is under way.
var ErrInUse = fmt.Errorf("%w, which is using it now", ErrTaken)

// File is a checkpoint that this program alone uses, until Close or Remove: a lock keeps others out.
type File struct {
	path   string   // as it was given, for errors
	target string   // the file itself, without symbolic links
	lock   *os.File // what is at target now, locked
}

// Create takes the checkpoint at path for a new scan. errors.Is(err, ErrTaken) holds for one that another scan uses or can go
// on from; what is no checkpoint is not overwritten either.
func Create(path string) (*File, error) {
	f, err := hold(path, os.O_CREATE)
	if err != nil {
		return nil, fail(path, err)
	}
	if err := f.free(); err != nil {
		f.lock.Close()
		return nil, fail(path, err)
	}
	return f, nil
}

// Open takes the checkpoint at path, and reads it, for the scan to go on.
func Open(path string) (*File, *Checkpoint, error) {
	f, err := hold(path, 0)
	if err != nil {
		return nil, nil, fail(path, err)
	}
	c, err := load(f.target)
	if err != nil {
		f.lock.Close()
		return nil, nil, fail(path, err)
	}
	return f, c, nil
}

// hold locks the file at path, and makes it by os.O_CREATE.
func hold(path string, flag int) (*File, error) {
	for range 10 { // a Save or a Remove by the one who had it may just have put another file there, or none
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			return nil, errors.New("it is no file, and would be replaced by one") // think of root and /dev/null
		}
		held, err := lock(path, flag)
		if err != nil {
			return nil, err
		}
		f := &File{path: path, lock: held}
		if f.target, err = realPath(path); err == nil && f.finds(held) {
			return f, nil
		}
		held.Close()
	}
	return nil, ErrInUse
}

// realPath is a file's absolute name without symbolic links, which go first: what ".." is behind one only the link tells.
func realPath(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path) // $PWD may name a link
}

// finds reports whether file is the one that others find.
func (f *File) finds(file *os.File) bool {
	info, err := file.Stat()
	found, errFound := os.Stat(f.target)
	return err == nil && errFound == nil && os.SameFile(info, found)
}

// free fails when something would be lost by a Save.
func (f *File) free() error {
	if f.empty() {
		return nil
	}
	c, err := load(f.target)
	switch {
	case err != nil:
		return fmt.Errorf("something else is there, and is not overwritten: %w", err)
	case len(c.Lanes) > 0: // else it is from before the first target
		return fmt.Errorf("%w, which was interrupted after %d of %d targets and can go on", ErrTaken, c.Run.Done(), c.Run.Targets)
	}
	return nil
}

func (f *File) empty() bool {
	info, err := f.lock.Stat()
	return err == nil && info.Size() == 0
}

// Path is the name as it was given.
func (f *File) Path() string { return f.path }

// Dir is the directory that the file is in, absolute and without symbolic links.
func (f *File) Dir() string { return filepath.Dir(f.target) }

// Save writes c, at once or not at all, and returns when it is on the disk. The error is an *[Error]; what was saved before is
// still there then. Save one before the first packet, so that a place that cannot be written is noticed in time.
func (f *File) Save(c *Checkpoint) error {
	var next *os.File
	err := durable.Replace(f.target, func(w *bufio.Writer) error { return write(w, c) }, func(name string) (err error) {
		next, err = lock(name, 0) // before anybody can find it
		return err
	})
	if next != nil {
		if f.finds(next) {
			f.lock, next = next, f.lock
		}
		next.Close()
	}
	if err != nil {
		return fail(f.path, err)
	}
	return nil
}

// Remove takes the checkpoint of a complete scan away, and lets go of it.
func (f *File) Remove() error {
	defer f.lock.Close()
	if err := os.Remove(f.target); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fail(f.path, err)
	}
	return nil
}

// Close lets go of the checkpoint, for a scan that goes on later. One that was never saved goes away.
func (f *File) Close() error {
	if f.empty() {
		return f.Remove()
	}
	return f.lock.Close()
}
