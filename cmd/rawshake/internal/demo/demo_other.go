//go:build !linux || android

package demo

import (
	"context"
	"errors"
	"io"
	"runtime"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
)

// Options say how the demo looks.
type Options struct {
	Stdout io.Writer
	Color  bool
}

// Run says that there is nothing to show here.
func Run(context.Context, Options) error {
	return exit.With(exit.System, errors.New("the demo shows raw packets, which rawshake has on Linux only; this is "+runtime.GOOS))
}
