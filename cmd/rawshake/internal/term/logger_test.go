package term

import (
	"bytes"
	"io"
	"testing"
)

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	l := Logger(&b, "rawshake check").With("lane", 1)
	l.Info("nothing")
	l.Warn("no raw sockets", "cause", io.EOF)
	l.WithGroup("g").Error("worse", "tries", 2)
	want := "rawshake check: no raw sockets, lane 1: EOF\nrawshake check: worse, lane 1, tries 2\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", &b, want)
	}
}
