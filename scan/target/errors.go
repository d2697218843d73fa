package target

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoPorts is wrapped by the [Error] of a target without a port of its own when Spec.Ports is empty.
var ErrNoPorts = errors.New("no port is given")

// Error says what is wrong with the input, where, and how to mend it. Every mistake of the person who wrote the
// targets is an *Error; other errors of this package come from reading or resolving.
type Error struct {
	File    string // name of the file or stream; empty for an argument
	Line    int    // counted from 1; 0 where there is no line
	Text    string // the target or label as it was written; may be empty
	Problem string // what is wrong, and how to mend it
	Err     error  // a sentinel such as ErrNoPorts, or nil
}

// Error returns "file:line: text: problem" without the parts that are empty.
func (e *Error) Error() string {
	var b strings.Builder
	switch {
	case e.File != "" && e.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", e.File, e.Line)
	case e.File != "":
		fmt.Fprintf(&b, "%s: ", e.File)
	}
	if e.Text != "" {
		fmt.Fprintf(&b, "%q: ", e.Text)
	}
	return b.String() + e.Problem
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// place is where a target was written.
type place struct {
	file string
	line int
}

func (p place) err(text, problem string) *Error {
	return &Error{File: p.file, Line: p.line, Text: text, Problem: problem}
}

// Unresolved is a target whose name did not resolve.
type Unresolved struct {
	File  string // as in Error
	Line  int
	Name  string
	Err   error // from the resolver
	Ports Ports // its own, or those of the Spec; empty for a name to exclude
	Label string
}

// UnresolvedError lists the names that did not resolve, in the order in which they were written.
type UnresolvedError struct {
	Names []Unresolved
}

// Error names the first few.
func (e *UnresolvedError) Error() string {
	const most = 3
	var b strings.Builder
	for i, n := range e.Names[:min(most, len(e.Names))] {
		if i > 0 {
			b.WriteString("; ")
		}
		at := Error{File: n.File, Line: n.Line, Text: n.Name, Problem: fmt.Sprintf("does not resolve: %v", n.Err)}
		b.WriteString(at.Error())
	}
	if more := len(e.Names) - most; more > 0 {
		fmt.Fprintf(&b, "; and %d more names", more)
	}
	return b.String()
}

// Unwrap returns the resolver's errors.
func (e *UnresolvedError) Unwrap() []error {
	errs := make([]error, len(e.Names))
	for i, n := range e.Names {
		errs[i] = n.Err
	}
	return errs
}
