package craft

import (
	"strings"
	"testing"
)

// wantOptions are the options of each style as bytes, with 01020304 for TSval.
var wantOptions = map[Style]string{
	MSSOnly:   "\x02\x04\x05\xb4",
	Linux:     "\x02\x04\x05\xb4\x04\x02\x08\x0a\x01\x02\x03\x04\x00\x00\x00\x00\x01\x03\x03\x07",
	Windows:   "\x02\x04\x05\xb4\x01\x03\x03\x08\x01\x01\x04\x02",
	BSD:       "\x02\x04\x05\xb4\x01\x03\x03\x06\x01\x01\x08\x0a\x01\x02\x03\x04\x00\x00\x00\x00\x04\x02\x00\x00",
	NoOptions: "",
}

func TestStyleBytes(t *testing.T) {
	for style := range numStyles {
		b := make([]byte, FrameSize)
		n := newSYN(t, Spec{Source: source4, Style: style}).Put(b, source4, 1, 2, 3, 0x01020304)
		if got := string(b[40:n]); got != wantOptions[style] {
			t.Errorf("%v: options % x, want % x", style, got, wantOptions[style])
		}
	}
}

func TestParseStyle(t *testing.T) {
	for style := range numStyles {
		if got, err := ParseStyle(style.String()); got != style || err != nil {
			t.Errorf("ParseStyle(%q) = %v, %v", style.String(), got, err)
		}
	}
	if _, err := ParseStyle("Linux"); err == nil || !strings.Contains(err.Error(), "mss, linux, windows, bsd, none") {
		t.Errorf("ParseStyle of a wrong word: %v", err)
	}
	if got := Style(9).String(); got != "style(9)" {
		t.Errorf("Style(9) is %q", got)
	}
}
