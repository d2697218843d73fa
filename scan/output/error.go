package output

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
)

// Error says which output failed, why, and how much of it is whole.
type Error struct {
	Path  string
	Whole int64 // bytes of whole records in the file; negative when it is not a regular file or was never opened
	Err   error
}

// Error names the output and the cause, how to mend it where that is known, and how much of the file is whole.
func (e *Error) Error() string {
	path := e.Path
	if path == Stdout {
		path = "standard output"
	}
	text := fmt.Sprintf("output %s: %v%s", path, e.Err, hint(e.Path, e.Err))
	if e.Whole >= 0 {
		text += fmt.Sprintf("; the file holds %d bytes of whole records", e.Whole)
	}
	return text
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// outputError wraps err without the path that package os puts before it.
func outputError(path string, whole int64, err error) *Error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	return &Error{Path: path, Whole: whole, Err: err}
}

// hint says how to mend the common causes.
func hint(path string, err error) string {
	switch {
	case errors.Is(err, syscall.ENOENT):
		return fmt.Sprintf(": make the directory %s first", filepath.Dir(path))
	case errors.Is(err, syscall.EACCES):
		return ": choose a directory that this user may write to"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return ": free some space"
	case errors.Is(err, syscall.EPIPE):
		return ": the program that read it has gone"
	}
	return ""
}
