package target_test

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/rawshake/rawshake/scan/target"
)

func TestFiles(t *testing.T) {
	in := "\xef\xbb\xbf# targets\r\n" +
		"10.0.0.1\r\n" +
		"\n" +
		"  10.0.0.2:80   # the second\n" +
		"10.0.0.3\tlabel of three\n" +
		"10.0.0.4,label, of four#4 # a remark\n" +
		"10.0.0.5 , label of five\n" +
		"10.0.0.6\t#only a remark\n" +
		"10.0.0.7 443\n" +
		"[2001:db8::1]:22 zürich\n" +
		"fe80::1%eth0"
	s := target.Spec{Ports: mustPorts(t, "7")}
	if err := s.Read("in", iotest.OneByteReader(strings.NewReader(in))); err != nil {
		t.Fatal(err)
	}
	sp := compile(t, &s)
	want := "10.0.0.1:7 10.0.0.2:80 10.0.0.3:7 10.0.0.4:7 10.0.0.5:7 10.0.0.6:7 10.0.0.7:7 [2001:db8::1]:22 [fe80::1%eth0]:7"
	if got := list(t, sp); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for target, label := range map[string]string{
		"10.0.0.1:7": "", "10.0.0.2:80": "", "10.0.0.3:7": "label of three", "10.0.0.4:7": "label, of four#4",
		"10.0.0.5:7": "label of five", "10.0.0.6:7": "", "10.0.0.7:7": "443", "[2001:db8::1]:22": "zürich",
	} {
		if got := sp.Label(netip.MustParseAddrPort(target)); got != label {
			t.Errorf("%s has the label %q, want %q", target, got, label)
		}
	}
}

// TestEachLine: who wants the lines one by one gets those with a target, as a Spec reads them.
func TestEachLine(t *testing.T) {
	var lines []target.Line
	keep := func(l target.Line) error { lines = append(lines, l); return nil }
	if err := target.EachLine("f", strings.NewReader("# one\n\nWWW.example.net:80 front door\n10.0.0.1\n"), keep); err != nil {
		t.Fatal(err)
	}
	if want := []target.Line{{"f", 3, "WWW.example.net:80", "front door"}, {"f", 4, "10.0.0.1", ""}}; !slices.Equal(lines, want) {
		t.Errorf("got %v, want %v", lines, want)
	}
	var broken *target.Error
	if err := target.EachLine("f", strings.NewReader("\n10.0.0.1 10.0.0.2\n"), keep); !errors.As(err, &broken) || broken.Line != 2 {
		t.Errorf("error %v", err)
	}
	s := target.Spec{}
	if err := s.AddLine(lines[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Compile(t.Context()); !errors.As(err, &broken) || broken.File != "f" || broken.Line != 4 {
		t.Errorf("error %v", err)
	}
}

func TestBrokenLines(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"10.0.0.300", `f:2: "10.0.0.300": "10.0.0.300" is not an address: IPv4 field has value >255`},
		{"10.0.0.1,443", `f:2: "10.0.0.1": the label "443" looks like a port: write host:port, one a line`},
		{"10.0.0.1:80,443", `the label "443" looks like a port`},
		{"10.0.0.1,80-90", `the label "80-90" looks like a port`},
		{"10.0.0.1 10.0.0.2", `the label "10.0.0.2" looks like a second target: write one target a line`},
		{"10.0.0.1,10.0.0.2,10.0.0.3", `looks like a second target`},
		{"10.0.0.1 10.0.0.2:80 x", `looks like a second target`},
		{"10.0.0.1 10.0.0.0/8", `looks like a second target`},
		{"10.0.0.1 - 10.0.0.9", `f:2: "10.0.0.1": the label "- 10.0.0.9" looks like the rest of a range: write 10.0.0.1-10.0.0.9 without blanks`},
		{",label", `f:2: the target is empty`},
		{"10.0.0.1 a\x00b", "the label is not plain UTF-8 text"},
		{"10.0.0.1 \xff\xfe", "the label is not plain UTF-8 text"},
		{"10.0.0.1 " + strings.Repeat("x", 256), "the label has 256 bytes: the most is 255"},
		{strings.Repeat("x", 70000), "f:2: the line is longer than 65536 bytes"},
		{"\xff\xfe1\x000\x00", "neither an address nor a name"},
	} {
		var s target.Spec
		err := s.Read("f", strings.NewReader("127.0.0.1:1\n"+test.line+"\n127.0.0.1:2\n"))
		var broken *target.Error
		if !errors.As(err, &broken) || broken.File != "f" || broken.Line != 2 || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.40q: error %v, want: %s", test.line, err, test.want)
		}
	}
}

func TestEveryBrokenLineIsReported(t *testing.T) {
	var lines []int
	s := target.Spec{OnError: func(e *target.Error) error {
		lines = append(lines, e.Line)
		return nil
	}}
	in := "10.0.0.1:80\nbroken:\n10.0.0.2:80\n10.0.0.999\n"
	if err := s.Read("in", strings.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	if got := list(t, compile(t, &s)); got != "10.0.0.1:80 10.0.0.2:80" || fmt.Sprint(lines) != "[2 4]" {
		t.Errorf("got %s, broken lines %v", got, lines)
	}
	enough := errors.New("enough")
	s = target.Spec{OnError: func(*target.Error) error { return enough }}
	if err := s.Read("in", strings.NewReader(in)); err != enough {
		t.Errorf("error %v", err)
	}
}

func TestReadErrorsNameTheLine(t *testing.T) {
	r := io.MultiReader(strings.NewReader("10.0.0.1:1\n10.0"), iotest.ErrReader(io.ErrUnexpectedEOF))
	var s target.Spec
	err := s.Read("in", r)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(err.Error(), "in:2: ") {
		t.Errorf("error %v", err)
	}
}

func TestExcludeFile(t *testing.T) {
	s := target.Spec{Ports: mustPorts(t, "7-8")}
	for _, text := range []string{"10.0.0.0/29", "fe80::1%a", "fe80::1%b", "fe80::2%b"} {
		if err := s.Add(text); err != nil {
			t.Fatal(err)
		}
	}
	out := "10.0.0.0/30 ours # do not touch\n10.0.0.4:8\n10.0.0.6-7,not ours\nfe80::1\n[fe80::2%b]:7\n"
	if err := s.ReadExclude("out", strings.NewReader(out)); err != nil {
		t.Fatal(err)
	}
	sp := compile(t, &s)
	if got, want := list(t, sp), "10.0.0.4:7 10.0.0.5:7 10.0.0.5:8 [fe80::2%b]:8"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if sp.Excluded() != 18 {
		t.Errorf("%d excluded, want 18", sp.Excluded())
	}
	if err := new(target.Spec).ReadExclude("out", strings.NewReader("10.0.0.1 10.0.0.2")); err == nil {
		t.Error("a second target on a line of exclusions is no error")
	}
}

func TestLabels(t *testing.T) {
	s := target.Spec{Ports: mustPorts(t, "80")}
	in := "10.0.0.0/8 corp\n10.1.0.0/16 site\n10.1.2.3 db\n10.1.2.3:22 ssh\n10.1.2.3:22 also\n10.1.2.4:22\n0.0.0.0/0 world\n2001:db8::/96 six\n"
	if err := s.Read("in", strings.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	if err := s.AddLabelled("10.9.9.9:9", "nine"); err != nil {
		t.Fatal(err)
	}
	if err := s.AddLabelled("10.9.9.9:9", "10.0.0.1"); err == nil {
		t.Error("an address is no error as a label")
	}
	sp := compile(t, &s)
	for target, label := range map[string]string{
		"11.0.0.1:80": "world", "10.200.0.1:80": "corp", "10.1.200.1:80": "site", "10.1.2.3:80": "db",
		"10.1.2.3:22": "also", "10.1.2.4:22": "", "10.1.2.4:80": "site", "10.9.9.9:9": "nine", "[2001:db8::7]:80": "six",
	} {
		if got := sp.Label(netip.MustParseAddrPort(target)); got != label {
			t.Errorf("%s has the label %q, want %q", target, got, label)
		}
	}
}

// More labels than are remembered for sharing are kept all the same.
func TestManyLabels(t *testing.T) {
	s := target.Spec{Ports: mustPorts(t, "80")}
	const n = 70000
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if err := s.AddLabelled(a.String(), fmt.Sprintf("n%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	sp := compile(t, &s)
	for _, i := range []uint64{0, 1, 65535, 65536, 65537, n - 1} {
		if got, want := sp.Label(sp.At(i)), fmt.Sprintf("n%d", i); got != want {
			t.Errorf("target %d has the label %q, want %q", i, got, want)
		}
	}
}
