package doctor

import (
	"encoding/json"
	"testing"
)

func TestFinding(t *testing.T) {
	f := Finding{"guard", Warn, `says "x"`, "sudo mend it"}
	for color, want := range map[bool]string{
		false: "warn  guard       says \"x\"\n                  sudo mend it\n",
		true:  "\x1b[33mwarn\x1b[0m  guard       says \"x\"\n                  sudo mend it\n",
	} {
		if got := string(f.AppendText(nil, color)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f.Fix = ""
	if got, want := string(f.AppendText(nil, false)), "warn  guard       says \"x\"\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	want := `{"v":1,"type":"finding","check":"guard","level":"warn","text":"says \"x\""}` + "\n"
	if got := string(f.AppendJSON(nil)); got != want || !json.Valid([]byte(got)) {
		t.Errorf("%s, want %s", got, want)
	}
	for level, fails := range map[Level]bool{OK: false, Info: false, Warn: false, Fail: true} {
		if (Finding{Level: level}).Fails() != fails {
			t.Errorf("%v fails: %t", level, !fails)
		}
	}
}

func TestSplitFix(t *testing.T) {
	for _, test := range []struct{ fix, command, other string }{
		{"sudo setcap cap_net_raw+p /x (or run it with sudo; or else)", "sudo setcap cap_net_raw+p /x", "run it with sudo; or else"},
		{"docker run --cap-add NET_RAW", "docker run --cap-add NET_RAW", ""},
	} {
		if command, other := SplitFix(test.fix); command != test.command || other != test.other {
			t.Errorf("%q: %q, %q", test.fix, command, other)
		}
	}
}
