// Package exit holds the exit codes of the command and the errors that carry them.
package exit

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Code is an exit code. 0 to 4 mean what fping's do.
type Code int

// The exit codes.
const (
	OK          Code = 0   // every target is open
	NotOpen     Code = 1   // some target is not
	Unresolved  Code = 2   // a name did not resolve
	Usage       Code = 3   // the command line is wrong
	System      Code = 4   // no privilege, or a system failure
	Incomplete  Code = 5   // results are missing because of losses of our own
	HungUp      Code = 129 // SIGHUP
	Interrupted Code = 130 // SIGINT
	Terminated  Code = 143 // SIGTERM
)

// Error is an error with the code that the program ends with.
type Error struct {
	Code Code
	Err  error // what to tell the user; nil when the output has said it
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// With returns err with a code; nil stays nil.
func With(code Code, err error) error {
	if err == nil {
		return nil
	}
	return &Error{code, err}
}

// Usagef returns an error of the command line. It says what is wrong, where, and how to mend it.
func Usagef(format string, args ...any) error {
	return With(Usage, fmt.Errorf(format, args...))
}

// Quietly returns an error that only carries the code; nil for OK.
func Quietly(code Code) error {
	if code == OK {
		return nil
	}
	return &Error{Code: code}
}

// Of returns the code of what a command returned. An error without a code is of the command line: the framework found it.
func Of(err error) Code {
	var coded *Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &coded):
		return coded.Code
	}
	return Usage
}

// Signal is the cause of a context that a signal has ended.
type Signal struct{ os.Signal }

func (s Signal) Error() string { return "ended by signal: " + s.String() }

// Code returns what a program that this signal ended exits with: 128 and its number.
func (s Signal) Code() Code {
	if n, ok := s.Signal.(syscall.Signal); ok {
		return 128 + Code(n)
	}
	return Interrupted
}
