package exit

import (
	"context"
	"errors"
)

// BySignal returns the signal that has ended a context, if one has.
func BySignal(ctx context.Context) (s Signal, ok bool) {
	return s, errors.As(context.Cause(ctx), &s)
}

// Ended returns the error of a command whose context has ended: the code of the signal, without a text.
func Ended(ctx context.Context) error {
	if s, ok := BySignal(ctx); ok {
		return Quietly(s.Code())
	}
	return With(System, context.Cause(ctx))
}
