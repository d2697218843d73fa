package record

import (
	"strconv"
	"testing"
)

func TestInterner(t *testing.T) {
	var in Interner
	b := []byte("mss,sackok,ts,nop,ws")
	first := in.String(b)
	b[0] = 'x'
	if first != "mss,sackok,ts,nop,ws" || in.String(b) != "xss,sackok,ts,nop,ws" {
		t.Error("the string is not its own")
	}
	if n := testing.AllocsPerRun(100, func() { in.String(b) }); n != 0 {
		t.Errorf("%v allocations for a known text", n)
	}
	for i := range 3 * maxInterned {
		if want := strconv.Itoa(i); in.String([]byte(want)) != want {
			t.Fatalf("%s comes back wrong", want)
		}
	}
	if len(in.known) > maxInterned {
		t.Errorf("%d texts are kept, want at most %d", len(in.known), maxInterned)
	}
}
