package check

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/scan/target"
)

// book is a resolver that knows two names.
type book struct{ asked []string }

var errUnknown = errors.New("no such host")

func (b *book) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	b.asked = append(b.asked, network+" "+host)
	six, four := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")
	switch {
	case host == "two.example" && network == "ip":
		return []netip.Addr{six, four, netip.MustParseAddr("192.0.2.2")}, nil
	case host == "two.example" && network == "ip4":
		return []netip.Addr{four}, nil
	}
	return nil, errUnknown
}

func ports(t *testing.T, list string) (p target.Ports) {
	t.Helper()
	if list == "" {
		return p
	}
	p, err := target.ParsePorts(list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// endpoints lists what a TARGET stands for, "name=address" where a name leads there.
func endpoints(t *testing.T, arg string, l Lookup) []string {
	t.Helper()
	hosts, err := ParseHosts(arguments(arg), l)
	if err != nil {
		t.Fatalf("%q: %v", arg, err)
	}
	space, err := hosts[0].resolve(t.Context())
	if err != nil {
		t.Fatalf("%q: %v", arg, err)
	}
	var all []string
	for i := range space.Size() {
		at := space.At(i)
		text := at.String()
		if name := hosts[0].nameOf(at.Port()); name != "" {
			text = name + "=" + text
		}
		all = append(all, text)
	}
	return all
}

func TestTargets(t *testing.T) {
	for _, test := range []struct {
		arg, ports string
		lookup     Lookup
		want       string
	}{
		{"192.0.2.1:443", "", Lookup{}, "192.0.2.1:443"},
		{"192.0.2.1", "80,443", Lookup{}, "192.0.2.1:80 192.0.2.1:443"},
		{"192.0.2.1:22", "80,443", Lookup{}, "192.0.2.1:22"},
		{"192.0.2.1:8000-8002", "", Lookup{}, "192.0.2.1:8000 192.0.2.1:8001 192.0.2.1:8002"},
		{"[2001:db8::1]:443", "", Lookup{}, "[2001:db8::1]:443"},
		{"2001:db8::1", "443", Lookup{}, "[2001:db8::1]:443"},
		{"[fe80::1%lo]:443", "", Lookup{}, "[fe80::1%lo]:443"},
		{"fe80::1%lo", "443", Lookup{}, "[fe80::1%lo]:443"},
		{"fe80::1", "443", Lookup{Interface: "lo"}, "[fe80::1]:443"},
		{"::ffff:192.0.2.1", "443", Lookup{}, "192.0.2.1:443"},
		{"192.0.2.0/30", "443", Lookup{}, "192.0.2.0:443 192.0.2.1:443 192.0.2.2:443 192.0.2.3:443"},
		{"two.example:443", "", Lookup{}, "two.example:443=[2001:db8::1]:443"},
		{"Two.Example", "80,443", Lookup{Network: "ip4"}, "Two.Example:80=192.0.2.1:80 Two.Example:443=192.0.2.1:443"},
		{"two.example:443", "", Lookup{AllAddresses: true},
			"two.example:443=192.0.2.1:443 two.example:443=192.0.2.2:443 two.example:443=[2001:db8::1]:443"},
	} {
		test.lookup.Ports, test.lookup.Resolver = ports(t, test.ports), &book{}
		if got := strings.Join(endpoints(t, test.arg, test.lookup), " "); got != test.want {
			t.Errorf("%q -p %q: %s, want %s", test.arg, test.ports, got, test.want)
		}
	}
}

func arguments(texts ...string) (lines []target.Line) {
	for _, text := range texts {
		lines = append(lines, Argument(text))
	}
	return lines
}

// TestTooManyHosts: what a check has no memory for is a scan.
func TestTooManyHosts(t *testing.T) {
	_, err := ParseHosts(make([]target.Line, MaxHosts+1), Lookup{})
	if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "65537 TARGETs, and a check takes at most 65536") {
		t.Errorf("%v", err)
	}
}

// TestPlace: what is wrong in a file is said with its place, and once.
func TestPlace(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"192.0.2.1:99999", `hosts:7: "192.0.2.1:99999": "99999" is not a port: ports are numbers from 1 to 65535`},
		{"[::1%nolink9]:443", "hosts:7: \"[::1%nolink9]:443\": this host has no interface \"nolink9\": `ip link` lists those that it has"},
	} {
		_, err := ParseHosts([]target.Line{{File: "hosts", Number: 7, Target: test.text}}, Lookup{})
		if exit.Of(err) != exit.Usage || err.Error() != test.want {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

// TestSingle: who wants one endpoint is told of more.
func TestSingle(t *testing.T) {
	for _, test := range []struct {
		arg string
		ok  bool
	}{
		{"192.0.2.1:80", true}, {"two.example:80", true}, {"192.0.2.0/24:80", false}, {"192.0.2.1:80-81", false}, {"two.example:80,443", false},
	} {
		hosts, err := ParseHosts(arguments(test.arg), Lookup{})
		if err != nil {
			t.Fatal(err)
		}
		if err := hosts[0].Single(); (err == nil) != test.ok || err != nil && exit.Of(err) != exit.Usage {
			t.Errorf("%s: %v", test.arg, err)
		}
	}
}

// TestColumnWidth: the longest target is known beforehand, a name's as if it had an IPv4 address.
func TestColumnWidth(t *testing.T) {
	for _, test := range []struct {
		args string
		l    Lookup
		want int
	}{
		{"192.0.2.1:80", Lookup{}, 0},
		{"two.example:80", Lookup{}, 0},
		{"two.example:80", Lookup{AllAddresses: true}, len("two.example:80 (255.255.255.255:80)")},
		{"192.0.2.1:80 [2001:db8::1]:443", Lookup{}, len("[2001:db8::1]:443")},
		{"192.0.2.1:80-8080", Lookup{}, len("192.0.2.1:1103")},
		{"192.0.2.1:1 two.example:80,65535", Lookup{}, len("two.example:65535 (255.255.255.255:65535)")},
		{"[2001:db8:1234:5678:9abc:def0:1234:5678]:65535 a-name-that-is-long-enough-not-to-fit-here.example.net:443", Lookup{}, 60},
	} {
		hosts, err := ParseHosts(arguments(strings.Fields(test.args)...), test.l)
		if err != nil {
			t.Fatal(err)
		}
		if got := columnWidth(hosts); got != test.want {
			t.Errorf("%s: %d, want %d", test.args, got, test.want)
		}
	}
}

func TestParsingResolvesNothing(t *testing.T) {
	var b book
	if _, err := ParseHosts(arguments("two.example:443", "none.example:1", "192.0.2.1:1"), Lookup{Resolver: &b}); err != nil {
		t.Fatal(err)
	}
	if len(b.asked) > 0 {
		t.Errorf("asked for %q", b.asked)
	}
}

func TestTargetErrors(t *testing.T) {
	for _, test := range []struct {
		args   string
		lookup Lookup
		says   string
	}{
		{"192.0.2.1", Lookup{}, "names no port"},
		{"", Lookup{}, "the target is empty: write"},
		{"[2001:db8::1]:443", Lookup{Network: "ip4", Because: "-4"}, "leave -4 out"},
		{"192.0.2.1:443", Lookup{Network: "ip6", Because: "-6"}, "leave -6 out"},
		{"192.0.2.1:443", Lookup{Network: "ip6", Because: "-S"}, "but -S allows IPv6 only: leave -S out"},
		{"[fe80::1%nolink9]:443", Lookup{}, `"[fe80::1%nolink9]:443": this host has no interface "nolink9"`},
		{"[::1%nolink9]:443", Lookup{}, `this host has no interface "nolink9"`},
		{"[fe80::1%987654]:443", Lookup{}, `this host has no interface "987654"`},
		{"[fe80::1]:443", Lookup{}, "as in fe80::1%eth0, or name it with -I"},
		{"10.0.0.0/11:1 10.0.0.0/12:1", Lookup{}, `"10.0.0.0/11:1": with it there are more than 1048576 targets`},
		{"10.0.0.0/13:1 10.0.0.0/13:2 10.0.0.0/30:3", Lookup{}, `"10.0.0.0/30:3": with it`},
	} {
		_, err := ParseHosts(arguments(strings.Split(test.args, " ")...), test.lookup)
		if exit.Of(err) != exit.Usage || err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q: %v, want %q", test.args, err, test.says)
		}
	}
	if _, err := ParseHosts(arguments("192.0.2.1"), Lookup{}); !errors.Is(err, target.ErrNoPorts) {
		t.Errorf("%v is not ErrNoPorts", err)
	}
}

func TestUnresolvedNames(t *testing.T) {
	for _, test := range []struct {
		arg, ports string
		want       []string
	}{
		{"none.example:443", "", []string{"none.example:443"}},
		{"none.example", "22,80-81", []string{"none.example:22", "none.example:80", "none.example:81"}},
		{"none.example:1-2", "22", []string{"none.example:1", "none.example:2"}},
	} {
		hosts, err := ParseHosts(arguments(test.arg), Lookup{Ports: ports(t, test.ports), Resolver: &book{}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := hosts[0].resolve(t.Context()); err != errUnknown {
			t.Errorf("%q resolves: %v", test.arg, err)
		}
		if _, err := hosts[0].First(t.Context()); err != errUnknown {
			t.Errorf("%q has a first address: %v", test.arg, err)
		}
		var got []string
		for port := range hosts[0].ports().All() {
			got = append(got, hosts[0].nameOf(port))
		}
		if !slices.Equal(got, test.want) || hosts[0].size() != uint64(len(test.want)) {
			t.Errorf("%q: %q, want %q", test.arg, got, test.want)
		}
	}
}

func TestFirst(t *testing.T) {
	hosts, err := ParseHosts(arguments("two.example:443"), Lookup{Resolver: &book{}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := hosts[0].First(t.Context()); err != nil || fmt.Sprint(got) != "[2001:db8::1]:443" {
		t.Errorf("%v %v", got, err)
	}
}
