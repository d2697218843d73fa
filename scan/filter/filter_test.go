package filter

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/record"
)

var (
	at   = time.Date(2026, 11, 20, 15, 16, 50, 123456789, time.UTC)
	open = record.Record{
		Time: at, Target: netip.MustParseAddrPort("10.1.2.3:443"), State: match.Open, Reason: match.SYNACK, RTT: 412700,
		TTL: 57, Window: 0, MSS: 1460, Options: "mss,sackok", Source: netip.MustParseAddrPort("10.0.0.1:40000"), Method: "raw",
		Suspect: "window 0", Label: `edge "a"`,
	}
	unreachable = record.Record{
		Time: at.Add(time.Second), Name: "www.example.net:80", Target: netip.MustParseAddrPort("[2001:db8::7]:80"),
		State: match.Unreachable, Reason: match.HostUnreachable, Attempt: 2, ICMPType: 1, ICMPCode: 3, TTL: 60,
		Responder: netip.MustParseAddr("2001:db8::1"), Method: "raw",
	}
	linkLocal = record.Record{Target: netip.MustParseAddrPort("[fe80::1%eth0]:22"), State: match.Filtered, Reason: match.Timeout, Method: "connect"}
	unsent    = record.Record{Name: "no.such:1"}
	records   = []*record.Record{&open, &unreachable, &linkLocal, &unsent}
)

// TestMatch lists which of open, unreachable, linkLocal (filtered) and unsent pass: "ouf-" style, one letter each.
func TestMatch(t *testing.T) {
	for expr, want := range map[string]string{
		"":                                     "oufx",
		"  \t":                                 "oufx",
		"state = open":                         "o",
		"state == open":                        "o",
		"state != open":                        "ufx",
		"state in (open, filtered)":            "of",
		"!(state in (open, filtered))":         "ux",
		"reason = host-unreachable":            "u",
		"reason != timeout":                    "oux",
		"port in (80,443)":                     "ou",
		"port in (1-79, 400-443)":              "of",
		"port in 80":                           "u",
		"port = 443 || port = 80":              "ou",
		"rtt_us < 1000":                        "o",
		"rtt_us < 412.7":                       "",
		"rtt_us <= 412.7":                      "o",
		"rtt_us = 412.7":                       "o",
		"rtt_us > 412.6999":                    "o",
		"rtt_us >= 412.7001":                   "",
		"rtt_us != 1":                          "oufx", // absent: != is the opposite of =
		"attempt >= 1":                         "u",
		"attempt = 0":                          "of", // an unsent probe has no attempt
		"window = 0":                           "o",
		"window":                               "o",
		"!window":                              "ufx",
		"suspect":                              "o",
		"suspect ~ window":                     "o",
		`label = "edge \"a\""`:                 "o",
		`label = 'edge "a"'`:                   "o",
		"label ~ ^edge":                        "o",
		"label ~ ^dge":                         "",
		"label ~ dge":                          "o",
		"options ~ sackok":                     "o",
		"target = 10.1.2.3:443":                "o",
		"target ~ ^www.":                       "u",
		"target ~ [fe80":                       "f",
		"target in (no.such:1, x:1)":           "x",
		"addr = 10.1.2.3":                      "o",
		"addr = ::ffff:10.1.2.3":               "o",
		"addr in 10.0.0.0/8":                   "o",
		"addr in (10.0.0.0/8, 2001:db8::/32)":  "ou",
		"addr in (2001:db8::7, 192.0.2.0/24)":  "u",
		"addr != 10.1.2.3":                     "ufx",
		"addr in fe80::/10":                    "f",
		"addr = fe80::1":                       "f",
		"addr = fe80::1%eth0":                  "f",
		"addr = fe80::1%eth1":                  "",
		"addr in 0.0.0.0/0":                    "o",
		"addr":                                 "ouf",
		"responder = 2001:db8::1":              "u",
		"src in 10.0.0.0/24":                   "o",
		"icmp_code = 3 && icmp_type = 1":       "u",
		"method = connect":                     "f",
		"ts > 2026-11-20T15:16:50.123456789Z":  "u",
		"ts >= 2026-11-20T15:16:50.123456789Z": "ou",
		"ts < 2026-11-20T16:16:50.5+01:00":     "o",
		"ts = 2026-11-20T15:16:50.123456789Z":  "o",
		"ts <= 2026-11-19":                     "",
		"ts != 2026-11-19":                     "oufx",
		"state = open || state = filtered && port = 443":  "o", // && binds tighter
		"state = filtered && port = 443 || state = open":  "o",
		"(state = open || state = filtered) && port = 22": "f",
		"!state = open": "ufx",
		"state = filtered and port = 443 or state = open": "o",
		"not (suspect or label) and not state = unsent":   "uf",
		"suspect and label": "o",
		"label ~ and or target ~ or and target ~ not or label": "o",
		"!!suspect": "o",
		"state = open && port in (80,443) && rtt_us < 1000": "o",
		"((((addr in 10.0.0.0/8))))&&!suspect||target~such": "x",
		"port in (\n80,\n443)\n":                            "ou",
	} {
		f, err := Compile(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		var got string
		for i, r := range records {
			if f.Match(r) {
				got += "oufx"[i : i+1]
			}
		}
		if got != want {
			t.Errorf("%s: matches %q, want %q", expr, got, want)
		}
	}
}

func TestZeroFilter(t *testing.T) {
	if (Filter{}).String() != "" || !(Filter{}).Match(&open) {
		t.Error("the zero filter does not match")
	}
}

func TestCompileErrors(t *testing.T) {
	for _, test := range []struct {
		expr   string
		column int
		msg    string
	}{
		{"prt = 80", 1, `no field "prt"; the fields are ts, target, addr, port, state,`},
		{"state = open && prt = 80", 17, `no field "prt"`},
		{"label = 東京 && prt = 1", 15, `no field "prt"`}, // columns are characters, not bytes
		{"state = opn", 9, `no state "opn"; it is one of unsent, open, closed, unreachable, filtered`},
		{"reason = refused", 10, `no reason "refused"; it is one of syn-ack, rst, timeout,`},
		{`reason = ""`, 10, `no reason ""`},
		{"method = tcp", 10, `no method "tcp"; it is one of raw, connect`},
		{"port = http", 8, `port is a number, "http" is none`},
		{"port = nan", 8, `port is a number`},
		{"port in (80, x)", 14, `port is a number, "x" is neither a number nor a range a-b`},
		{"port in 90-80", 9, `the range "90-80" runs backwards`},
		{"port ~ 80", 6, `port takes != = < <= > >= in, not "~"`},
		{"state < open", 7, `state takes != = in, not "<"`},
		{"label > a", 7, `label takes != = in ~, not ">"`},
		{"addr = host", 8, `addr is an address, "host" is neither an address nor a prefix`},
		{"addr = 10.0.0.0/8", 6, `"10.0.0.0/8" is a prefix: write addr in 10.0.0.0/8`},
		{"ts > yesterday", 6, `ts is a time, "yesterday" is none: write 2026-11-20T15:04:05Z`},
		{"ts in 2026-11-20", 4, `ts takes != = < <= > >=, not "in"`},
		{"state =", 8, "expected a value here, not the end"},
		{"state = = open", 9, `expected a value here, not "="`},
		{"state open", 7, `expected an operator here, not "open"`},
		{"state = open And port = 80", 14, "expected && or || here"},
		{"state = open and", 17, "expected a field here, not the end"},
		{"and = 80", 1, `no field "and"`},
		{"state = open &&", 16, "expected a field here, not the end"},
		{"state = open & port = 80", 14, "expected &&"},
		{"|", 1, "expected ||"},
		{"(state = open", 14, "expected ) here, not the end"},
		{"state = open)", 13, "expected && or || here"},
		{"()", 2, `expected a field here, not ")"`},
		{"port in (80 443)", 13, `expected , or ) here, not "443"`},
		{"port in ()", 10, `expected a value here, not ")"`},
		{`label = "x`, 9, "the quote is not closed"},
		{`"label" = x`, 1, `expected a field here, not "label"`},
		{"= 80", 1, `expected a field here, not "="`},
		{"state !open", 7, "expected && or || here"},
		{strings.Repeat("(", 101) + "port", 101, "nested deeper than 100"},
		{strings.Repeat("!", 1e6), 101, "nested deeper than 100"},
	} {
		_, err := Compile(test.expr)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.40s: error %v", test.expr, err)
			continue
		}
		if e.Column() != test.column || !strings.HasPrefix(e.Msg, test.msg) {
			t.Errorf("%.40s: column %d: %s\nwant column %d: %s", test.expr, e.Column(), e.Msg, test.column, test.msg)
		}
	}
}

func TestErrorCaret(t *testing.T) {
	_, err := Compile("state = open\n&& prt = 80")
	want := "--filter: column 17: no field \"prt\"; the fields are ts, target, addr, port, state, reason, rtt_us, attempt, ttl, " +
		"window, mss, options, src, method, icmp_type, icmp_code, responder, mtu, error, suspect, label\n" +
		"    state = open && prt = 80\n" +
		"                    ^"
	if err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestNoAllocs(t *testing.T) {
	for _, expr := range []string{
		"state = open && port in (80,443) && rtt_us < 1000",
		"target ~ 443 || target in (a:1,b:2) || target != c:3",
		"addr in (10.0.0.0/9, fe80::/10, ::1) || src = 10.0.0.1 || responder",
		"!(suspect ~ ^window) || ts > 2026-11-20T15:16:50Z || method = raw",
	} {
		f, err := Compile(expr)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if n := testing.AllocsPerRun(100, func() { f.Match(r) }); n != 0 {
				t.Errorf("%s allocates %v times", expr, n)
			}
		}
	}
}

func TestFilterStates(t *testing.T) {
	const open, closed, filtered = 1 << match.Open, 1 << match.Closed, 1 << match.Filtered
	for expr, want := range map[string]States{
		"":                             All,
		"port = 80":                    All,
		"state":                        All,
		"state = open":                 open,
		"state != open":                All &^ open,
		"!(state != open)":             open,
		"state in (open, closed)":      open | closed,
		"state = open && port = 80":    open,
		"!(state = open && port = 80)": All,
		"state = open || port = 80":    All,
		"!(state = open || port = 80)": All &^ open,
		"state = open && state = closed || state = filtered": filtered,
	} {
		f, err := Compile(expr)
		if err != nil || f.States() != want {
			t.Errorf("%s: %v %v, want %v", expr, f.States(), err, want)
		}
	}
}

func TestStates(t *testing.T) {
	for list, want := range map[string]States{
		"open":            1 << match.Open,
		" open , closed ": 1<<match.Open | 1<<match.Closed,
		"all":             All,
		"open,closed,unreachable,filtered,unsent": All,
	} {
		got, err := ParseStates(list)
		if err != nil || got != want {
			t.Errorf("%q: %v %v, want %v", list, got, err, want)
		}
		if back, err := ParseStates(got.String()); err != nil || back != got {
			t.Errorf("%v reads back as %v %v", got, back, err)
		}
	}
	for _, list := range []string{"", "opn", "open,", "all,open"} {
		_, err := ParseStates(list)
		if err == nil || !strings.Contains(err.Error(), "the states are unsent, open, closed, unreachable, filtered, or all") {
			t.Errorf("%q: error %v", list, err)
		}
	}
	if States(0).Has(match.Open) || !All.Has(match.Unsent) {
		t.Error("Has")
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, expr := range []string{"state = open", "state = open && port in (80,443) && rtt_us < 1000", "addr in 10.0.0.0/8", "target ~ ^10.1"} {
		f, err := Compile(expr)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(expr, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.Match(&open)
			}
		})
	}
}
