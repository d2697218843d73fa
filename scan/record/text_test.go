package record

import (
	"testing"
	"time"

	"github.com/rawshake/rawshake/match"
)

// TestText pins the columns that people see.
func TestText(t *testing.T) {
	const want = `192.0.2.1:1            closed       rst      1500.000 ms  ttl 64  win 0
192.0.2.1:81           filtered     timeout  attempt 2
www.example.net:443 (192.0.2.1:443)  open         syn-ack     0.413 ms  ttl 57  win 64240  mss 1460  attempt 1  label: edge
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

func TestSummaryText(t *testing.T) {
	s := Summary{Target: "www.example.net:443", Sent: 4, Received: 3, Min: 100 * time.Microsecond, Avg: 200 * time.Microsecond,
		Max: 1300 * time.Microsecond, Mdev: 81650}
	want := "www.example.net:443 : sent 4, answered 3, loss 25.0%, min/avg/max/mdev = 0.100/0.200/1.300/0.082 ms\n"
	if got := string(s.AppendText(nil)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := string((&Summary{Target: "x:1", Sent: 2}).AppendText(nil)); got != "x:1 : sent 2, answered 0, loss 100.0%\n" {
		t.Errorf("got %q", got)
	}
}

func TestRunText(t *testing.T) {
	r := Run{Targets: 10, ProbesSent: 1000, SendTime: 300 * time.Millisecond, Open: 1, Closed: 2, Unreachable: 3, Filtered: 2,
		Unsent: 1, Duplicates: 6, Ignored: 7, RingDrops: 8, SendErrors: 9, RSTSent: 11, Seed: 12, Shard: "2/3"}
	want := `# INCOMPLETE: 9 of 10 targets: 1 open, 2 closed, 3 unreachable, 2 filtered, 1 unsent
# 1000 SYNs in 0.3 s, 3330 a second; 11 RSTs; seed 12, shard 2/3
# 6 duplicate answers, 7 ignored packets, 8 dropped by our ring, 9 send errors
`
	if got := string(r.AppendText(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
