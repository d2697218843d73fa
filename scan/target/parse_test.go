package target_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/rawshake/rawshake/scan/target"
)

// list returns the targets of a small space as text.
func list(t *testing.T, sp *target.Space) string {
	t.Helper()
	if sp.Size() > 100 {
		t.Fatalf("%d targets are too many to list", sp.Size())
	}
	var b strings.Builder
	for i := range sp.Size() {
		fmt.Fprintf(&b, " %v", sp.At(i))
	}
	return strings.TrimPrefix(b.String(), " ")
}

func compile(t *testing.T, s *target.Spec) *target.Space {
	t.Helper()
	sp, err := s.Compile(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return sp
}

func TestWaysToWriteTargets(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"10.0.0.1", "10.0.0.1:7"},
		{"10.0.0.5/30", "10.0.0.4:7 10.0.0.5:7 10.0.0.6:7 10.0.0.7:7"},
		{"10.0.0.1/32", "10.0.0.1:7"},
		{"10.0.0.255-10.0.1.1", "10.0.0.255:7 10.0.1.0:7 10.0.1.1:7"},
		{"10.0.0.1-3", "10.0.0.1:7 10.0.0.2:7 10.0.0.3:7"},
		{"10.0.0.1-1", "10.0.0.1:7"},
		{"10.0.0.1:443", "10.0.0.1:443"},
		{"10.0.0.1:80,443", "10.0.0.1:80 10.0.0.1:443"},
		{"10.0.0.0/31:80", "10.0.0.0:80 10.0.0.1:80"},
		{"10.0.0.1-2:8000-8001", "10.0.0.1:8000 10.0.0.1:8001 10.0.0.2:8000 10.0.0.2:8001"},
		{"2001:db8::1", "[2001:db8::1]:7"},
		{"2001:DB8::1", "[2001:db8::1]:7"},
		{"[2001:db8::1]", "[2001:db8::1]:7"},
		{"[2001:db8::1]:443", "[2001:db8::1]:443"},
		{"2001:db8::ff/127", "[2001:db8::fe]:7 [2001:db8::ff]:7"},
		{"[2001:db8::/127]:443", "[2001:db8::]:443 [2001:db8::1]:443"},
		{"2001:db8::ffff-2001:db8::1:0", "[2001:db8::ffff]:7 [2001:db8::1:0]:7"},
		{"2001:db8::9-b", "[2001:db8::9]:7 [2001:db8::a]:7 [2001:db8::b]:7"},
		{"[2001:db8::9-a]:1-2", "[2001:db8::9]:1 [2001:db8::9]:2 [2001:db8::a]:1 [2001:db8::a]:2"},
		{"2001:db8::1:443", "[2001:db8::1:443]:7"}, // an address: brackets are what makes a port
		{"fe80::1%eth0", "[fe80::1%eth0]:7"},
		{"[fe80::1%br-lan]:22", "[fe80::1%br-lan]:22"},
		{"fe80::1%eth0:1", "[fe80::1%eth0:1]:7"}, // an alias interface
		{"::ffff:10.0.0.1", "10.0.0.1:7"},
		{"::ffff:10.0.0.0/127", "10.0.0.0:7 10.0.0.1:7"},
		{"::ffff:10.0.0.1-::ffff:10.0.0.2", "10.0.0.1:7 10.0.0.2:7"},
		{"[10.0.0.1]:80", "10.0.0.1:80"},
		{"127.0.0.1:65535", "127.0.0.1:65535"},
		{"255.255.255.254/31", "255.255.255.254:7"},
		{"255.255.255.255", "255.255.255.255:7"},
		{"0.0.0.0", "0.0.0.0:7"},
		{"::", "[::]:7"},
		{"ff02::1%eth0", "[ff02::1%eth0]:7"},
	} {
		s := target.Spec{Ports: mustPorts(t, "7")}
		if err := s.Add(test.text); err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if got := list(t, compile(t, &s)); got != test.want {
			t.Errorf("%s: got %s, want %s", test.text, got, test.want)
		}
	}
}

func TestBrokenTargets(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "the target is empty"},
		{"10.0.0.256", `"10.0.0.256" is not an address: IPv4 field has value >255`},
		{"10.0.0", `"10.0.0" is not an address: IPv4 address too short`},
		{"10", `"10" is not an address: an IPv4 address has four numbers from 0 to 255`},
		{"010.0.0.1", `"010.0.0.1" is not an address: IPv4 field has octet with leading zero`},
		{"10.0.0-3.1", `"10.0.0-3.1" is not an address: unexpected character`},
		{"10.0.0.*", "neither an address nor a name"},
		{"10.0.0.0/33", `"33" is not a prefix length: after the slash write a number from 0 to 32`},
		{"10.0.0.0/", `"" is not a prefix length`},
		{"10.0.0.0/255.0.0.0", `"255.0.0.0" is not a prefix length`},
		{"10.0.0/8", `"10.0.0" is not an address: IPv4 address too short`},
		{"host/24", `"host" is not an address`},
		{"10.0.0.9-1", "the range ends before it begins: write 10.0.0.1-10.0.0.9"},
		{"10.0.0.1-256", `"256" is neither an address nor the last octet: write 10.0.0.1-10.0.0.9 or 10.0.0.1-9`},
		{"10.0.0.1-", `"" is neither an address nor the last octet`},
		{"10.0.0.1-2001:db8::1", "is not an address"},
		{"::ffff:10.0.0.1-10.0.0.9", "begins in one address family and ends in the other"},
		{"2001:db8::9-fffff", "is neither an address nor the last group: write 2001:db8::1-2001:db8::ff"},
		{"fe80::1-fe80::9%eth0", "a zone goes with one address, not with a range"},
		{"fe80::%eth0/120", "a zone goes with one address, not with a prefix"},
		{"fe80::1%a]b", "a zone is the name of an interface, such as eth0"},
		{"[fe80::1%a b]:80", "a zone is the name of an interface, such as eth0"},
		{"2001:db8::/64", "more than 2^48 (281474976710656) addresses"},
		{"2001:db8::/120:443", "with a port of its own an IPv6 prefix needs brackets"},
		{"2001:db8:::1", `"2001:db8:::1" is not an address`},
		{"[2001:db8::1", "the bracket is not closed"},
		{"[2001:db8::1]443", "after the bracket a colon and a port must follow"},
		{"[2001:db8::1]:", "after the bracket a colon and a port must follow"},
		{"[2001:db8::]/120:443", "the prefix length belongs inside the brackets"},
		{"10.0.0.1:", "no port follows the colon"},
		{":443", "no host stands before the colon"},
		{"10.0.0.1:0", `"0" is not a port: ports are numbers from 1 to 65535`},
		{"10.0.0.1:65536", `"65536" is not a port`},
		{"10.0.0.1:http", `"http" is not a port`},
		{"10.0.0.1:-1", `"-1" is not a port: behind a host write ports from 1 to 65535, and ranges with both ends, as in 8000-8100`},
		{"10.0.0.1:80,60000-", `"60000-" is not a port`},
		{"[2001:db8::1]:-", `"-" is not a port`},
		{"0x7f000001:8099", `"0x7f000001" is not an address: an IPv4 address has four numbers from 0 to 255`},
		{"0X7F.0x1", `"0X7F.0x1" is not an address`},
		{"10.0.0.0xa", `"10.0.0.0xa" is not an address`},
		{"2130706433", `"2130706433" is not an address`},
		{"127.1.:80", `"127.1." is not an address`},
		{"10.0.0.1:90-80", "the range 90-80 ends before it begins: write 80-90"},
		{"http://www.example.net/", "a URL is not a target"},
		{"www..example.net", "not a name"},
		{".", "not a name"},
		{"-", "does not begin with a hyphen"},
		{"--trace:80", "does not begin with a hyphen"},
		{"bücher.example", "its xn-- form"},
		{"two words", "neither an address nor a name"},
		{strings.Repeat("a.", 127) + "a.b", "at most 253 characters"},
	} {
		var s target.Spec
		err := s.Add(test.text)
		var broken *target.Error
		if !errors.As(err, &broken) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %v, want one that says: %s", test.text, err, test.want)
		} else if broken.Text != test.text || broken.File != "" || broken.Line != 0 {
			t.Errorf("%q: error is about %+v", test.text, broken)
		}
	}
}

// TestLoose: what a prefix says beyond its length is found, with the place of the first.
func TestLoose(t *testing.T) {
	s := target.Spec{Ports: mustPorts(t, "80")}
	if err := s.Read("hosts", strings.NewReader("10.0.0.0/24\n10.0.1.5/30 label\n[2001:db8::1/126]:443\n")); err != nil {
		t.Fatal(err)
	}
	if err := s.Exclude("10.0.0.9/29"); err != nil {
		t.Fatal(err)
	}
	sp := compile(t, &s)
	n, first := sp.Loose()
	if want := `hosts:2: "10.0.1.5/30": has bits after its prefix length, which count for nothing: it begins at 10.0.1.4`; n != 3 || first.Error() != want {
		t.Errorf("%d, %v; want 3, %s", n, first, want)
	}
	if sp.Size() != 256-8+4+4 {
		t.Errorf("%d targets", sp.Size())
	}
}

// TestZones: an address of each zone that targets have, and the link-local address that lacks one, also in the middle of a prefix.
func TestZones(t *testing.T) {
	for _, test := range []struct{ targets, zones, unzoned string }{
		{"10.0.0.1 2001:db8::1", "", ""},
		{"fe80::1%eth0 fe80::2%eth0 ::1%lo", "[fe80::1%eth0 ::1%lo]", ""},
		{"fe80::1%eth0 fe80::2", "[fe80::1%eth0]", "fe80::2"},
		{"2001:db8::1 fe80::5-fe80::9 ff02::1", "", "fe80::5"},
		{"fe7f:ffff:ffff:ffff:ffff:ffff:ffff:fff0-fe80::9", "", "fe80::"},
		{"febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"fec0::1 fe7f::1", "", ""},
	} {
		s := target.Spec{Ports: mustPorts(t, "80,443")}
		for _, text := range strings.Fields(test.targets) {
			if err := s.Add(text); err != nil {
				t.Fatal(err)
			}
		}
		sp := compile(t, &s)
		if got := fmt.Sprint(sp.Zoned()); got != cmp.Or(test.zones, "[]") {
			t.Errorf("%s: zones %q, want %q", test.targets, got, test.zones)
		}
		a, ok := sp.Unzoned()
		if got := strings.TrimSuffix(a.String(), "invalid IP"); ok != (test.unzoned != "") || got != test.unzoned {
			t.Errorf("%s: %v without a zone, want %q", test.targets, a, test.unzoned)
		}
	}
}

func TestPortsAreRequired(t *testing.T) {
	var s target.Spec
	if err := s.Read("hosts", strings.NewReader("10.0.0.1:80\n# nothing\n10.0.0.2\n10.0.0.3\n")); err != nil {
		t.Fatal(err)
	}
	_, err := s.Compile(context.Background())
	var broken *target.Error
	if !errors.Is(err, target.ErrNoPorts) || !errors.As(err, &broken) || broken.Line != 3 || broken.Text != "10.0.0.2" {
		t.Fatalf("error %v", err)
	}
	if want := `hosts:3: "10.0.0.2": the target names no port: give ports for all targets (-p 80,443) or write one`; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %q, want %q", err, want)
	}
	// Given after the fact, they mend it.
	s.Ports = mustPorts(t, "22")
	if got, want := list(t, compile(t, &s)), "10.0.0.1:80 10.0.0.2:22 10.0.0.3:22"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNotAmongTheTargets(t *testing.T) {
	s := target.Spec{Ports: mustPorts(t, "80")}
	for _, text := range []string{"10.0.0.1", "2001:db8::1", "fe80::1%eth0"} {
		if err := s.Add(text); err != nil {
			t.Fatal(err)
		}
	}
	sp := compile(t, &s)
	for _, absent := range []netip.AddrPort{
		{}, netip.AddrPortFrom(netip.Addr{}, 80), netip.MustParseAddrPort("10.0.0.1:81"),
		netip.MustParseAddrPort("10.0.0.2:80"), netip.MustParseAddrPort("[2001:db8::]:80"),
		netip.MustParseAddrPort("[fe80::1%eth1]:80"), netip.MustParseAddrPort("[fe80::1]:80"),
	} {
		if i, ok := sp.Index(absent); ok {
			t.Errorf("Index(%v) = %d", absent, i)
		}
		if sp.Label(absent) != "" || sp.Name(absent) != "" {
			t.Errorf("%v has a label or a name", absent)
		}
	}
	if i, ok := sp.Index(netip.MustParseAddrPort("[::ffff:10.0.0.1]:80")); !ok || i != 0 {
		t.Errorf("the mapped address is target %d, %v", i, ok)
	}
	defer func() {
		if recover() == nil {
			t.Error("At(Size()) did not panic")
		}
	}()
	sp.At(sp.Size())
}

func TestLargeSpaces(t *testing.T) {
	for _, test := range []struct {
		targets, excludes, ports string
		size                     uint64
		refused, excluded        uint64
		last                     string
	}{
		{targets: "0.0.0.0/0", ports: "443", size: 1<<32 - 1<<24 - 1<<29, refused: 1<<24 + 1<<29, last: "223.255.255.255:443"},
		{targets: "0.0.0.0/0", ports: "1-65000", size: (1<<32 - 1<<24 - 1<<29) * 65000, refused: (1<<24 + 1<<29) * 65000, last: "223.255.255.255:65000"},
		{targets: "2001:db8::/80", ports: "443", size: 1 << 48, last: "[2001:db8::ffff:ffff:ffff]:443"},
		{targets: "2001:db8::/81", ports: "1,65535", size: 1 << 48, last: "[2001:db8::7fff:ffff:ffff]:65535"},
		{targets: "2001:db8::/80", excludes: "::/1", ports: "443", excluded: 1 << 48},
		{targets: "2001:db8::/80", excludes: "2001:db8::0-2001:db8::ffff:ffff:fffe", ports: "-", size: 65535, excluded: (1<<48 - 1) * 65535, last: "[2001:db8::ffff:ffff:ffff]:65535"},
		{targets: "224.0.0.0/3", ports: "1", size: 1<<29 - 1, refused: 1, last: "255.255.255.254:1"},
		{targets: "::/80", ports: "1", size: 1<<48 - 1<<32 - 1, refused: 1<<32 + 1, last: "[::fffe:ffff:ffff]:1"},
	} {
		s := target.Spec{Ports: mustPorts(t, test.ports)}
		if err := s.Add(test.targets); err != nil {
			t.Fatal(err)
		}
		if test.excludes != "" {
			if err := s.Exclude(test.excludes); err != nil {
				t.Fatal(err)
			}
		}
		sp := compile(t, &s)
		if sp.Size() != test.size || sp.Refused() != test.refused || sp.Excluded() != test.excluded {
			t.Errorf("%s %s: size %d, refused %d, excluded %d; want %d, %d, %d", test.targets, test.ports,
				sp.Size(), sp.Refused(), sp.Excluded(), test.size, test.refused, test.excluded)
		}
		if sp.Size() == 0 {
			continue
		}
		if got := sp.At(sp.Size() - 1).String(); got != test.last {
			t.Errorf("%s: the last target is %s, want %s", test.targets, got, test.last)
		}
		if i, ok := sp.Index(sp.At(sp.Size() - 1)); !ok || i != sp.Size()-1 {
			t.Errorf("%s: the index of the last target is %d, %v", test.targets, i, ok)
		}
	}
}

func TestTooManyTargets(t *testing.T) {
	for _, test := range []struct{ targets, ports string }{
		{"2001:db8::/80", "80,443"},
		{"2001:db8::/80 2001:db8:1::1", "80"},
		{"2001:db8::/80 2001:db8::1:0:0:0/80", "1-65535"},
		{"0.0.0.0/0 2001:db8::/81 fe80::1%a", "80,81"},
	} {
		s := target.Spec{Ports: mustPorts(t, test.ports)}
		for text := range strings.FieldsSeq(test.targets) {
			if err := s.Add(text); err != nil {
				t.Fatal(err)
			}
		}
		_, err := s.Compile(context.Background())
		var broken *target.Error
		if !errors.As(err, &broken) || !strings.Contains(err.Error(), "the most is 2^48 (281474976710656)") {
			t.Errorf("%s: error %v", test.targets, err)
		}
	}
}

func TestNothingToAsk(t *testing.T) {
	var s target.Spec
	sp := compile(t, &s)
	four, six := sp.Families()
	if sp.Size() != 0 || four || six || sp.Addresses() != 0 {
		t.Errorf("an empty spec has %d targets", sp.Size())
	}
	if sp.Hash() == sp.Hash("seed=1") || sp.Hash("ab") == sp.Hash("a", "b") {
		t.Error("options do not change the hash")
	}
}

func TestFamilies(t *testing.T) {
	for text, want := range map[string][2]bool{
		"10.0.0.1:1": {true, false}, "[2001:db8::1]:1": {false, true}, "[fe80::1%a]:1": {false, true},
		"10.0.0.1:1 [fe80::1%a]:1": {true, true},
	} {
		var s target.Spec
		for target := range strings.FieldsSeq(text) {
			if err := s.Add(target); err != nil {
				t.Fatal(err)
			}
		}
		if four, six := compile(t, &s).Families(); [2]bool{four, six} != want {
			t.Errorf("%s: families %v, %v", text, four, six)
		}
	}
}

func FuzzAdd(f *testing.F) {
	for _, text := range []string{"10.0.0.1-9:80", "[2001:db8::/120]:443", "fe80::1%br-lan", "a-b.example:1-", "1.2.3.4-x.example"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := target.Spec{Ports: mustPorts(t, "9"), SkipUnresolved: true, Resolver: noNames{}}
		if err := s.Add(text); err != nil {
			if len(err.Error()) < 10 {
				t.Errorf("%q: error %q", text, err)
			}
			return
		}
		sp := compile(t, &s)
		if sp.Size() == 0 && sp.Refused() == 0 && len(sp.Unresolved()) == 0 {
			t.Errorf("%q is no error, and yet no target", text)
		}
		if sp.Size() > 0 {
			// What was understood can be written back.
			var again target.Spec
			at := sp.At(sp.Size() - 1)
			if err := again.Add(at.String()); err != nil || compile(t, &again).At(0) != at {
				t.Errorf("%q: the target %v cannot be written: %v", text, at, err)
			}
		}
	})
}
