package exit

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
)

func TestOf(t *testing.T) {
	for _, test := range []struct {
		err  error
		want Code
	}{
		{nil, OK},
		{Quietly(OK), OK},
		{Quietly(NotOpen), NotOpen},
		{With(System, nil), OK},
		{With(System, io.EOF), System},
		{fmt.Errorf("wrapped: %w", With(Incomplete, io.EOF)), Incomplete},
		{errors.Join(With(Usage, io.EOF), nil), Usage},
		{io.EOF, Usage}, // the framework's
		{Usagef("bad %q", "x"), Usage},
		{Quietly(Signal{syscall.SIGINT}.Code()), Interrupted},
		{Quietly(Signal{syscall.SIGHUP}.Code()), HungUp},
		{Quietly(Signal{syscall.SIGTERM}.Code()), Terminated},
	} {
		if got := Of(test.err); got != test.want {
			t.Errorf("%v: %d, want %d", test.err, got, test.want)
		}
	}
	if err := With(System, io.EOF); !errors.Is(err, io.EOF) || err.Error() != "EOF" {
		t.Errorf("%v", err)
	}
}
