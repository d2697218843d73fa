package craft

import (
	"bytes"
	"testing"
)

func TestOptions(t *testing.T) {
	for _, v := range []struct {
		name, raw string
		format    string
		want      Options
	}{
		{"none", "", "", Options{}},
		{"linux", "\x02\x04\x05\xb4\x04\x02\x08\x0a\x01\x02\x03\x04\x05\x06\x07\x08\x01\x03\x03\x07", "mss,sackok,ts,nop,ws",
			Options{MSS: 1460, WindowScale: 7, HasWindowScale: true, SACK: true, Timestamps: true, TSval: 0x01020304, TSecr: 0x05060708}},
		{"window scale of zero", "\x03\x03\x00\x00", "ws,eol", Options{HasWindowScale: true}},
		{"nothing counts after the end", "\x00\x02\x04\x05", "eol", Options{}},
		{"unknown kinds", "\xfd\x04\xaa\xbb\x13\x02", "?253,md5", Options{}},
		{"names", "\x05\x02\x1c\x02\x1d\x02\x1e\x02\x22\x02", "sack,uto,ao,mptcp,tfo", Options{}},
		{"the last of a kind counts", "\x02\x04\x00\x01\x02\x04\x00\x02", "mss,mss", Options{MSS: 2}},
		{"wrong lengths of known kinds", "\x02\x03\x05\x03\x02\x04\x03\x00\x08\x02\x03\x04\x07\x07", "mss,ws,sackok,ts,ws", Options{}},
		{"length byte missing", "\x01\x02", "nop,malformed", Options{}},
		{"length 0", "\x02\x00\x05\xb4", "malformed", Options{}},
		{"length 1", "\x01\x02\x01\x05", "nop,malformed", Options{}},
		{"length beyond the end", "\x04\x02\x02\x05\x05\xb4", "sackok,malformed", Options{SACK: true}},
	} {
		t.Run(v.name, func(t *testing.T) {
			raw := []byte(v.raw)
			if got := FormatOptions(raw); got != v.format {
				t.Errorf("format %q, want %q", got, v.format)
			}
			if got := ParseOptions(raw); got != v.want {
				t.Errorf("parsed %+v, want %+v", got, v.want)
			}
			if !bytes.Equal(raw, []byte(v.raw)) {
				t.Errorf("the input was changed to % x", raw)
			}
		})
	}
}

func TestAppendOptionsAppends(t *testing.T) {
	if got := string(AppendOptions([]byte("options="), []byte{1, 4, 2})); got != "options=nop,sackok" {
		t.Errorf("got %q", got)
	}
}

func TestOptionKindsStopsWhenAsked(t *testing.T) {
	n := 0
	for range OptionKinds([]byte{1, 1, 1}) {
		n++
		if n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d options before the break took effect", n)
	}
}
