package progress

import (
	"bytes"
	"context"
	"math"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/rawshake/rawshake/match"
)

func sample() View {
	v := View{Snapshot: Snapshot{Total: 10_000_000, Sent: 5_000_000, InFlight: 1_048_576}, Rate: 498_123, Left: 12 * time.Second}
	v.Verdicts = [match.NumStates]uint64{match.Open: 12_345, match.Closed: 4, match.Filtered: 4_217_651}
	return v
}

func TestBar(t *testing.T) {
	noted := sample()
	noted.RingDrops, noted.SendErrors, noted.Note = 1234, 5, "rate halved"
	unknown := View{Snapshot: Snapshot{Verdicts: [match.NumStates]uint64{match.Open: 7}}, Rate: 12, Left: -1}
	done := View{Snapshot: Snapshot{Total: 1_000_000_000_000, Verdicts: [match.NumStates]uint64{match.Open: 1_000_000_000_000}}}
	nearly := View{Snapshot: Snapshot{Total: 1_000_000_000, Verdicts: [match.NumStates]uint64{match.Open: 999_999_999}}, Left: -1}
	for _, test := range []struct {
		v     View
		width int
		want  string
	}{
		{sample(), 140, " 42.3%  [================>                       ]  4.23M/10.0M   498k/s  open 12.3k  closed     4  filtered 4.22M  drops 0  ETA    12s"},
		{sample(), 100, " 42.3%  [========>           ]  4.23M/10.0M   498k/s  open 12.3k  closed     4  drops 0  ETA    12s"},
		{sample(), 0, " 42.3%  [=====>        ]  4.23M/10.0M   498k/s  open 12.3k  drops 0  ETA    12s"}, // 80
		{sample(), 60, " 42.3%  [======>         ]   498k/s  open 12.3k  ETA    12s"},
		{sample(), 40, " 42.3%   498k/s  open 12.3k  ETA    12s"},
		{sample(), 30, " 42.3%   498k/s  open 12.3k"},
		{sample(), 16, " 42.3%   498k/s"},
		{sample(), 9, " 42.3%  "},
		{noted, 80, " 42.3%   498k/s  open 12.3k  drops 1.23k  send errors     5  rate halved"},
		{unknown, 80, "    7     12/s  open     7  drops 0"},
		{View{Left: -1}, 80, "    0      0/s  open     0  drops 0"},
		{done, 80, "100.0%  [==============]  1.00T/1.00T      0/s  open 1.00T  drops 0  ETA     0s"},
		{nearly, 80, " 99.9%  [=============>]  1.00G/1.00G      0/s  open 1.00G  drops 0  ETA      ?"},
	} {
		got := Bar(test.v, test.width, false)
		if got != test.want {
			t.Errorf("width %d:\ngot  %q\nwant %q", test.width, got, test.want)
		}
	}
}

// TestBarSteady: nothing moves while the numbers of a scan grow, once each has begun.
func TestBarSteady(t *testing.T) {
	const total = 5_000_000
	shape := regexp.MustCompile("[^][/]") // where brackets and strokes stand
	want := ""
	for done := uint64(2); done < total; done += 1 + done/7 {
		v := View{Snapshot: Snapshot{Total: total}, Rate: float64(done) / 10, Left: time.Duration(total-done) * 10 * time.Millisecond}
		v.Verdicts[match.Open], v.Verdicts[match.Closed] = done/2, done-done/2
		got := shape.ReplaceAllString(Bar(v, 100, false), " ")
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("%d done: %q", done, Bar(v, 100, false))
		}
	}
}

// TestBarWidth: no line reaches the last column, whatever the width and numbers, and colour takes no column.
func TestBarWidth(t *testing.T) {
	big := sample()
	big.Note, big.RingDrops, big.SendErrors, big.Left = "größer", math.MaxUint64, math.MaxUint64, math.MaxInt64
	big.Rate = math.MaxFloat64 / 1e290
	big.Total = math.MaxUint64
	escape := regexp.MustCompile("\x1b\\[[0-9]*m")
	for _, v := range []View{sample(), big, {}} {
		for width := 9; width < 300; width++ {
			plain := Bar(v, width, false)
			if n := utf8.RuneCountInString(plain); n >= width {
				t.Fatalf("width %d: %d columns: %q", width, n, plain)
			}
			if colored := Bar(v, width, true); escape.ReplaceAllString(colored, "") != plain {
				t.Fatalf("width %d: colour changes the text: %q", width, colored)
			}
		}
	}
	if got := Bar(sample(), 80, true); !strings.Contains(got, green+"open 12.3k"+reset) {
		t.Errorf("no colour: %q", got)
	}
}

func TestLine(t *testing.T) {
	v := sample()
	want := "42.3%, 4230000 of 10000000 targets done, 1048576 in flight, 498123 SYNs/s; open 12345, closed 4, unreachable 0, " +
		"filtered 4217651, unsent 0; ring drops 0, send errors 0; time left 12s"
	if got := Line(v); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	v.Note = "rate halved"
	if got := Line(v); got != want+"; rate halved" {
		t.Error(got)
	}
	if got := Line(View{Left: -1}); !strings.HasPrefix(got, "0 targets done, ") || !strings.HasSuffix(got, "time left ?") {
		t.Error(got)
	}
}

func TestShort(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 7: "7", 999: "999", 999.6: "1.00k", 1000: "1.00k", 1234: "1.23k", 9994: "9.99k", 9995: "10.0k", 12345: "12.3k",
		99940: "99.9k", 99950: "100k", 123456: "123k", 999499: "999k", 999500: "1.00M", 1e9: "1.00G", 1e12: "1.00T", 18e18: "18.0E",
	} {
		if got := short(x); got != want {
			t.Errorf("%v: %s, want %s", x, got, want)
		}
	}
}

func TestLeft(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-1: "?", -time.Second: "?", 0: "0s", 400 * time.Millisecond: "0s", 59 * time.Second: "59s", 59600 * time.Millisecond: "1m00s",
		185 * time.Second: "3m05s", time.Hour - 1: "1h00m", 2*time.Hour + 3*time.Minute: "2h03m", 76 * time.Hour: "3d04h", math.MaxInt64: "years",
	} {
		if got := left(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// TestMeter: the rate of a steady scan is exact from the second view on, follows a change within seconds, and the time
// left is what it will take.
func TestMeter(t *testing.T) {
	var m Meter
	now := time.Unix(0, 0)
	s := Snapshot{Total: 1000, Sent: 500}
	s.Verdicts[match.Open] = 100 // of a session before
	if v := m.View(s, now); v.Rate != 0 || v.Left >= 0 {
		t.Errorf("the first view: %+v", v)
	}
	step := func(sent, done uint64) View {
		now = now.Add(250 * time.Millisecond)
		s.Sent += sent
		s.Verdicts[match.Filtered] += done
		return m.View(s, now)
	}
	for range 10 {
		v := step(25, 5)
		if math.Abs(v.Rate-100) > 1e-6 {
			t.Errorf("rate %v, want 100", v.Rate)
		}
		want := time.Duration(float64(1000-s.Done()) / 20 * 1e9)
		if (v.Left - want).Abs() > time.Millisecond {
			t.Errorf("left %v, want %v", v.Left, want)
		}
	}
	if v := m.View(s, now); math.Abs(v.Rate-100) > 1e-6 { // twice at the same moment
		t.Errorf("rate %v at the same moment", v.Rate)
	}
	var v View
	for range 4 * 10 {
		v = step(250, 0)
	}
	if v.Rate < 980 || v.Rate > 1000 {
		t.Errorf("rate %v ten seconds after a change to 1000", v.Rate)
	}
	s.Verdicts[match.Open] = s.Total
	if v = step(0, 0); v.Left != 0 {
		t.Errorf("left %v at the end", v.Left)
	}
}

// TestMeterWaits: the time left is right from the beginning, when no silent target has its verdict yet, and does not end before the
// timeout of the last.
func TestMeterWaits(t *testing.T) {
	const timeout, perStep, steps = 3 * time.Second, 100, 40
	var m Meter
	start := time.Unix(0, 0)
	snapshot := func(i int) (s Snapshot) { // 400 a second for 10 s, none of which answers
		s = Snapshot{Total: perStep * steps, Timeout: timeout}
		asked := uint64(perStep * min(i, steps))
		s.Verdicts[match.Filtered] = uint64(perStep * max(0, i-12))
		s.InFlight = asked - s.Verdicts[match.Filtered]
		return s
	}
	m.View(snapshot(0), start)
	for i := 1; i < steps+12; i++ {
		now := start.Add(time.Duration(i) * timeout / 12)
		if got, want := m.View(snapshot(i), now).Left, 13*time.Second-now.Sub(start); (got - want).Abs() > 10*time.Millisecond {
			t.Errorf("after %v: %v left, want %v", now.Sub(start), got, want)
		}
	}
	if got := m.View(snapshot(steps+12), start.Add(13*time.Second)).Left; got != 0 {
		t.Errorf("%v left at the end", got)
	}
}

func TestMeterHopeless(t *testing.T) {
	var m Meter
	m.View(Snapshot{Total: math.MaxUint64}, time.Unix(0, 0))
	s := Snapshot{Total: math.MaxUint64}
	s.Verdicts[match.Open] = 1
	if v := m.View(s, time.Unix(1, 0)); v.Left != -1 {
		t.Errorf("left %v", v.Left)
	}
}

func TestMode(t *testing.T) {
	for _, m := range []Mode{Auto, ModeBar, ModeLog, ModeOff} {
		if got, err := ParseMode(m.String()); err != nil || got != m {
			t.Errorf("%v reads back as %v %v", m, got, err)
		}
	}
	if _, err := ParseMode("fancy"); err == nil || !strings.Contains(err.Error(), "it is one of auto, bar, log, off") {
		t.Errorf("error %v", err)
	}
	for _, test := range []struct {
		mode     Mode
		terminal bool
		term     string
		want     Mode
	}{
		{Auto, true, "xterm", ModeBar}, {Auto, false, "xterm", ModeLog}, {Auto, true, "dumb", ModeLog}, {Auto, true, "", ModeLog},
		{ModeBar, false, "xterm", ModeBar}, {ModeBar, true, "dumb", ModeLog}, {ModeBar, true, "", ModeLog}, {ModeOff, true, "xterm", ModeOff},
		{ModeLog, true, "xterm", ModeLog}, {ModeOff, true, "dumb", ModeOff},
	} {
		getenv := func(string) string { return test.term }
		if got := test.mode.Resolve(test.terminal, getenv); got != test.want {
			t.Errorf("%v on terminal %v %q: %v, want %v", test.mode, test.terminal, test.term, got, test.want)
		}
	}
}

// screen is a terminal of one line that remembers what was drawn, safe to look at while a Reporter runs.
type screen struct {
	mu     sync.Mutex
	writes []string
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = append(s.writes, string(p))
	return len(p), nil
}

// text returns what a terminal would show: an erased line is gone.
func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines bytes.Buffer
	line := ""
	for _, w := range s.writes {
		for w != "" {
			if rest, ok := strings.CutPrefix(w, eraseLine); ok {
				line, w = "", rest
				continue
			}
			if w[0] == '\n' {
				lines.WriteString(line + "\n")
				line, w = "", w[1:]
				continue
			}
			line, w = line+w[:1], w[1:]
		}
	}
	return lines.String() + line
}

// TestReporterBar: at most four bars a second, log lines stay, and the bar is gone at the end.
func TestReporterBar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out screen
		begin := time.Now()
		r := NewReporter(Config{Out: &out, Mode: ModeBar, Width: func() int { return 60 }, Snapshot: func() Snapshot {
			return Snapshot{Total: 100, Sent: uint64(time.Since(begin) / time.Millisecond)}
		}})
		ctx, cancel := context.WithCancel(t.Context())
		go r.Run(ctx)
		time.Sleep(3*time.Second + time.Millisecond)
		synctest.Wait()
		if n := len(out.writes); n != 12 {
			t.Errorf("%d redraws in 3 s, want 12", n)
		}
		if got := out.text(); !strings.HasPrefix(got, "  0.0%  [") || !strings.Contains(got, "1.00k/s") || strings.Contains(got, "\n") {
			t.Errorf("the screen shows %q", got)
		}
		r.Write([]byte("a log line\n"))
		if got := out.text(); got != "a log line\n" {
			t.Errorf("the screen shows %q", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := out.text(); !strings.HasPrefix(got, "a log line\n  0.0%  [") {
			t.Errorf("the screen shows %q", got)
		}
		var results screen
		if _, err := r.Above(&results).Write([]byte("a result\n")); err != nil || results.text() != "a result\n" || out.text() != "a log line\n" {
			t.Errorf("%v: the result is %q, the screen shows %q", err, results.text(), out.text())
		}
		r.Now()
		cancel()
		synctest.Wait()
		if got := out.text(); !strings.HasPrefix(got, "a log line\nprogress: 0.0%, 0 of 100 targets done,") || !strings.HasSuffix(got, "\n") {
			t.Errorf("at the end the screen shows %q", got)
		}
	})
}

// TestReporterLog: a line every ten seconds without any control sequence, and one when asked.
func TestReporterLog(t *testing.T) {
	for mode, want := range map[Mode]int{ModeLog: 3, Auto: 3, ModeOff: 0} {
		synctest.Test(t, func(t *testing.T) {
			var out screen
			begin := time.Now()
			r := NewReporter(Config{Out: &out, Mode: mode, Snapshot: func() Snapshot {
				return Snapshot{Total: 100, Sent: uint64(time.Since(begin) / time.Second)}
			}})
			ctx, cancel := context.WithCancel(t.Context())
			go r.Run(ctx)
			time.Sleep(35 * time.Second)
			synctest.Wait()
			if n := len(out.writes); n != want {
				t.Errorf("%v: %d lines in 35 s, want %d", mode, n, want)
			}
			r.Now()
			cancel()
			synctest.Wait()
			got := out.text()
			if strings.Contains(got, "\x1b") || strings.Contains(got, "\r") || strings.Count(got, "\n") != want+1 {
				t.Errorf("%v: %q", mode, got)
			}
			if !strings.Contains(got, " 1 SYNs/s;") {
				t.Errorf("%v: no rate in %q", mode, got)
			}
		})
	}
}
