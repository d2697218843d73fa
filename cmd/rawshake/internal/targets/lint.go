package targets

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/scan/target"
)

// Lint writes everything that is wrong or remarkable about the targets, a line each. The error is only a code: that of broken
// input, or of a name that does not resolve.
func (in Input) Lint(ctx context.Context, w io.Writer) error {
	l := linter{w: w}
	spec := in.spec()
	spec.OnError = func(e *target.Error) error { return l.broken(e) }
	for _, step := range in.steps(spec) {
		if err := step(); err != nil {
			l.broken(err)
		}
	}
	set, err := in.compile(ctx, spec)
	switch {
	case ctx.Err() != nil:
		return exit.Ended(ctx)
	case exit.Of(err) == exit.Unresolved:
		l.say(err)
		l.code = max(l.code, exit.Unresolved)
	case err != nil:
		l.broken(err)
	default:
		l.remark(set)
	}
	l.sum(set)
	if l.failed != nil {
		return exit.With(exit.System, l.failed)
	}
	return exit.Quietly(l.code)
}

// linter writes findings and remembers the worst.
type linter struct {
	w      io.Writer
	count  int
	code   exit.Code // Usage outranks Unresolved, which outranks OK
	failed error     // of writing
}

func (l *linter) say(what any) {
	l.count++
	if _, err := fmt.Fprintln(l.w, what); err != nil && l.failed == nil {
		l.failed = err
	}
}

// broken writes an error of input. It returns only that of writing, so that reading goes on.
func (l *linter) broken(err error) error {
	if err != nil && !errors.Is(err, l.failed) {
		l.say(err)
		l.code = exit.Usage
	}
	return l.failed
}

// remark writes what was left out.
func (l *linter) remark(s *Set) {
	for _, line := range s.Remarks() {
		l.say(line)
	}
	if len(s.Unresolved()) > 0 {
		l.code = max(l.code, exit.Unresolved)
	}
}

// sum writes what is there, if that can be told.
func (l *linter) sum(s *Set) {
	summary := "nothing is wrong"
	if l.count > 0 {
		summary = Amount(uint64(l.count), "remark")
	}
	if s == nil {
		l.say(summary + ": the targets cannot be counted")
		return
	}
	l.say(fmt.Sprintf("%s: %s at %s", summary, Amount(s.Size(), "target"), Amount(s.Addresses(), "address")))
}
