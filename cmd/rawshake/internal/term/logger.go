package term

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// Logger returns a logger for people: what is worth a warning is a line behind prefix, and its attributes stand behind it.
func Logger(w io.Writer, prefix string) *slog.Logger { return slog.New(plain{w: w, prefix: prefix}) }

// plain is a slog.Handler. Groups are not told apart.
type plain struct {
	w      io.Writer
	prefix string
	attrs  string
}

func (p plain) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

func (p plain) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		p.attrs += attribute(a)
		return true
	})
	_, err := fmt.Fprintf(p.w, "%s: %s%s\n", p.prefix, r.Message, p.attrs)
	return err
}

func (p plain) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		p.attrs += attribute(a)
	}
	return p
}

func (p plain) WithGroup(string) slog.Handler { return p }

// attribute words an attribute. That an error is the cause goes without saying.
func attribute(a slog.Attr) string {
	if _, ok := a.Value.Any().(error); ok {
		return fmt.Sprintf(": %v", a.Value)
	}
	return fmt.Sprintf(", %s %v", a.Key, a.Value)
}
