package record

import (
	"strings"
	"testing"
	"time"

	"github.com/rawshake/rawshake/match"
)

// TestText pins the columns that people see.
func TestText(t *testing.T) {
	const want = `192.0.2.1:1            closed       rst      1500.000 ms  ttl 64  win 0
192.0.2.1:81           filtered     timeout  after 3 SYNs
www.example.net:443 (192.0.2.1:443)  open         syn-ack     0.413 ms  after 2 SYNs  ttl 57  win 64240  mss 1460  label: edge
[2001:db8::1]:80                     open         syn-ack     0.001 ms  ttl 255  win 0  suspect: window 0, no options
198.51.100.7:22                      unreachable  fragmentation-needed  0.001 ms  ttl 250  mtu 576  from 203.0.113.1  error: message too long
192.0.2.1:0                          unsent       gateway-down
no.such:1                            unsent       canceled
a"\?????? ?<&>                       unsent       stopped  label: grüße ??[31m�
`
	records := []Record{samples[2].r, samples[4].r, samples[0].r, samples[1].r, samples[3].r, samples[5].r,
		{Name: "no.such:1", Reason: match.Canceled}, {Name: "a\"\\\b\f\n\r\t\x00 \x7f<&>", Reason: match.Stopped, Label: "grüße \u2028\x1b[31m\xff"}}
	var text Text
	var got []byte
	for _, r := range records {
		got = text.AppendRecord(got, &r)
	}
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTextColor(t *testing.T) {
	text := Text{Color: true}
	got := string(text.AppendRecord(nil, &Record{Target: addrPort("192.0.2.1:1"), State: match.Open, Reason: match.SYNACK}))
	want := "192.0.2.1:1            \x1b[32mopen\x1b[0m         syn-ack\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTextSYNs: how often was asked in vain is told of silence, too.
func TestTextSYNs(t *testing.T) {
	target := addrPort("192.0.2.1:1")
	for _, test := range []struct {
		r    Record
		want string
	}{
		{Record{Target: target, State: match.Filtered}, "after 1 SYN\n"},
		{Record{Target: target, State: match.Filtered, Attempt: 3}, "after 4 SYNs\n"},
		{Record{Target: target, State: match.Filtered, Method: "connect"}, "by connect\n"},
		{Record{Target: target, State: match.Open, Reason: match.SYNACK}, "open         syn-ack\n"},
		{Record{Target: target, State: match.Unsent, Reason: match.LossOfOurs, Attempt: 2}, "own-loss\n"},
	} {
		got := string(new(Text).AppendRecord(nil, &test.r))
		if !strings.HasSuffix(got, test.want) || strings.Count(got, "SYN") != strings.Count(test.want, "SYN") {
			t.Errorf("%+v: %q, want %q at the end", test.r, got, test.want)
		}
	}
}

// TestTextWidth: who knows the longest target beforehand has straight columns from the first line on.
func TestTextWidth(t *testing.T) {
	text := Text{Width: 30}
	short := string(text.AppendRecord(nil, &Record{Target: addrPort("192.0.2.1:1"), State: match.Open}))
	long := string(text.AppendRecord(nil, &Record{Target: addrPort("[2001:db8:1:2:3:4:5:6]:65535"), State: match.Open}))
	if i, j := strings.Index(short, "open"), strings.Index(long, "open"); i != 32 || j != 32 {
		t.Errorf("states begin at %d and %d", i, j)
	}
}

func TestSummaryText(t *testing.T) {
	s := Summary{Target: "www.example.net:443", Sent: 4, Received: 3, Min: 100 * time.Microsecond, Avg: 200 * time.Microsecond,
		Max: 1300 * time.Microsecond, Mdev: 81650}
	want := "www.example.net:443 : sent 4, answered 3, loss 25.0%, min/avg/max/mdev = 0.100/0.200/1.300/0.082 ms\n"
	if got := string(s.AppendText(nil)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, test := range []struct {
		s    Summary
		want string
	}{
		{Summary{Target: "x:1", Sent: 2}, "x:1 : sent 2, answered 0, loss 100.0%\n"},
		{Summary{Target: "x:1", Addr: addrPort("192.0.2.1:1"), Sent: 9, Pending: 9}, "x:1 (192.0.2.1:1) : sent 9, answered 0, pending 9\n"},
		{Summary{Target: "192.0.2.1:1", Addr: addrPort("192.0.2.1:1"), Sent: 4, Received: 2, Pending: 1,
			Verdicts: [match.NumStates]uint64{match.Open: 1, match.Closed: 1, match.Filtered: 1, match.Unsent: 5}},
			"192.0.2.1:1 : sent 4, answered 2, pending 1, loss 33.3% (1 open, 1 closed, 1 filtered, 5 unsent)\n"},
		{Summary{Target: "x:1", Verdicts: [match.NumStates]uint64{match.Unsent: 3}}, "x:1 : sent 0, answered 0 (3 unsent)\n"},
	} {
		if got := string(test.s.AppendText(nil)); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestRunText(t *testing.T) {
	r := Run{Targets: 10, ProbesSent: 1000, SendTime: 300 * time.Millisecond, Open: 1, Closed: 2, Unreachable: 3, Filtered: 2,
		Unsent: 1, Duplicates: 6, Ignored: 7, RingDrops: 8, SendErrors: 9, RSTSent: 11, Seed: 12, Shard: "2/3"}
	r.Reasons.Add(match.Unsent, "link-down", 1)
	r.Reasons.Add(match.Unreachable, "host-unreachable", 1)
	r.Reasons.Add(match.Unreachable, "no-route", 2)
	r.Reasons.Add(match.Unreachable, "no-neighbour", 0)
	want := `# INCOMPLETE: 9 of 10 targets: 1 open, 2 closed, 3 unreachable, 2 filtered, 1 unsent
# 3 unreachable: 2 no-route, 1 host-unreachable
# 1 unsent: 1 link-down
# 1000 SYNs in 0.3 s, 3330 a second; 11 RSTs; seed 12, shard 2/3
# 6 duplicate answers, 7 ignored packets, 8 packets dropped by our ring, 9 send errors
`
	if got := string(r.AppendText(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestRunTextSmall: no rate of nothing, no line of zeros, one of one thing.
func TestRunTextSmall(t *testing.T) {
	for _, test := range []struct {
		r    Run
		want string
	}{
		{Run{Shard: "1/1", Complete: true}, "# 0 of 0 targets: 0 open, 0 closed, 0 unreachable, 0 filtered, 0 unsent\n# 0 SYNs; 0 RSTs; seed 0, shard 1/1\n"},
		{Run{Targets: 1, Open: 1, ProbesSent: 1, RSTSent: 1, Ignored: 1, Shard: "1/1", Complete: true},
			"# 1 of 1 target: 1 open, 0 closed, 0 unreachable, 0 filtered, 0 unsent\n# 1 SYN; 1 RST; seed 0, shard 1/1\n# 1 ignored packet\n"},
		{Run{Targets: 3, Open: 3, ProbesSent: 3, SendTime: 291 * time.Microsecond, RSTSent: 3, RingDrops: 1, SendErrors: 1, Shard: "1/1", Complete: true},
			"# 3 of 3 targets: 3 open, 0 closed, 0 unreachable, 0 filtered, 0 unsent\n# 3 SYNs; 3 RSTs; seed 0, shard 1/1\n" +
				"# 1 packet dropped by our ring, 1 send error\n"},
	} {
		if got := string(test.r.AppendText(nil)); got != test.want {
			t.Errorf("got\n%s\nwant\n%s", got, test.want)
		}
	}
}
