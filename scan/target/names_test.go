package target_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rawshake/rawshake/scan/target"
)

// zoneFile is a resolver that knows a few names and writes down what it was asked.
type zoneFile struct {
	addrs map[string]string
	mu    sync.Mutex
	asked []string
}

func (z *zoneFile) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked = append(z.asked, network+" "+host)
	text, ok := z.addrs[host]
	if !ok {
		return nil, errors.New("no such host")
	}
	var addrs []netip.Addr
	for a := range strings.FieldsSeq(text) {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs, ctx.Err()
}

type noNames struct{}

func (noNames) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errors.New("no such host")
}

func zone() *zoneFile {
	return &zoneFile{addrs: map[string]string{
		"www.example.net":  "192.0.2.1 192.0.2.2 2001:db8::1",
		"alias.example":    "192.0.2.1",
		"mapped.example":   "::ffff:192.0.2.9",
		"empty.example":    "",
		"filtered.example": "0.0.0.0 192.0.2.5 ff02::1",
	}}
}

func TestNames(t *testing.T) {
	for _, test := range []struct {
		about, in, out, want string
		all                  bool
	}{
		{about: "the first address", in: "www.example.net", want: "192.0.2.1:7"},
		{about: "with a port", in: "www.example.net:80", want: "192.0.2.1:80"},
		{about: "all addresses", in: "www.example.net", all: true, want: "192.0.2.1:7 192.0.2.2:7 [2001:db8::1]:7"},
		{about: "case and final dot", in: "WWW.Example.NET.", want: "192.0.2.1:7"},
		{about: "mapped", in: "mapped.example", want: "192.0.2.9:7"},
		{about: "merged", in: "www.example.net\nalias.example\n192.0.2.1", want: "192.0.2.1:7"},
		{about: "refused addresses", in: "filtered.example", all: true, want: "192.0.2.5:7"},
		{about: "excluded with every address", in: "192.0.2.0/30", out: "www.example.net", want: "192.0.2.0:7 192.0.2.3:7"},
		{about: "excluded on a port", in: "192.0.2.1:1-3", out: "alias.example:2", want: "192.0.2.1:1 192.0.2.1:3"},
	} {
		s := target.Spec{Ports: mustPorts(t, "7"), Resolver: zone(), AllAddresses: test.all}
		if err := errors.Join(s.Read("in", strings.NewReader(test.in)), s.ReadExclude("out", strings.NewReader(test.out))); err != nil {
			t.Fatal(err)
		}
		if got := list(t, compile(t, &s)); got != test.want {
			t.Errorf("%s: got %s, want %s", test.about, got, test.want)
		}
	}
}

func TestNamesAreResolvedOnceAndPinned(t *testing.T) {
	z := zone()
	in := "www.example.net front\nwww.example.net:80\nWWW.example.net:81\n"
	s := target.Spec{Ports: mustPorts(t, "7"), Resolver: z, Network: "ip4"}
	if err := s.Read("in", strings.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	sp := compile(t, &s)
	if want := []string{"ip4 www.example.net"}; !slices.Equal(z.asked, want) {
		t.Errorf("asked %v, want %v", z.asked, want)
	}
	at := netip.MustParseAddrPort("192.0.2.1:7")
	if sp.Name(at) != "www.example.net" || sp.Label(at) != "front" {
		t.Errorf("%v has the name %q and the label %q", at, sp.Name(at), sp.Label(at))
	}

	// A later scan asks the same addresses, whatever the name means by then.
	later := target.Spec{Ports: mustPorts(t, "7"), Resolver: noNames{}, Pinned: sp.Pinned()}
	if err := later.Read("in", strings.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	if compile(t, &later).Hash() != sp.Hash() {
		t.Error("the pinned space differs")
	}
}

func TestNameOfATarget(t *testing.T) {
	s := target.Spec{Ports: mustPorts(t, "7"), Resolver: zone()}
	if err := s.Read("in", strings.NewReader("192.0.2.0/30\nwww.example.net\nalias.example")); err != nil {
		t.Fatal(err)
	}
	sp := compile(t, &s)
	if got := sp.Name(netip.MustParseAddrPort("192.0.2.1:7")); got != "alias.example" {
		t.Errorf("of two names got %q, want the first in the alphabet", got)
	}
	if got := sp.Name(netip.MustParseAddrPort("192.0.2.2:7")); got != "" {
		t.Errorf("a target without a name has %q", got)
	}
	if sp.Duplicates() != 2 {
		t.Errorf("%d duplicates, want 2", sp.Duplicates())
	}
}

func TestUnresolvedNames(t *testing.T) {
	in := "10.0.0.1\ngone.example dead\nempty.example:80-81\nwww.example.net\na.example\nb.example\n"
	spec := func() *target.Spec {
		s := &target.Spec{Ports: mustPorts(t, "7"), Resolver: zone()}
		if err := s.Read("in", strings.NewReader(in)); err != nil {
			t.Fatal(err)
		}
		return s
	}
	_, err := spec().Compile(context.Background())
	var unresolved *target.UnresolvedError
	if !errors.As(err, &unresolved) || len(unresolved.Names) != 4 || unresolved.Names[0].Line != 2 {
		t.Fatalf("error %v", err)
	}
	want := `in:2: "gone.example": does not resolve: no such host; ` +
		`in:3: "empty.example": does not resolve: the name has no address; ` +
		`in:5: "a.example": does not resolve: no such host; and 1 more names`
	if err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}

	s := spec()
	s.SkipUnresolved = true
	sp := compile(t, s)
	if got := list(t, sp); got != "10.0.0.1:7 192.0.2.1:7" || len(sp.Unresolved()) != 4 {
		t.Errorf("got %s and %d unresolved", got, len(sp.Unresolved()))
	}
	gone, empty := sp.Unresolved()[0], sp.Unresolved()[1]
	if gone.Ports.String() != "7" || gone.Label != "dead" || empty.Ports.String() != "80-81" || empty.Label != "" {
		t.Errorf("%+v, %+v", gone, empty)
	}

	// A failure adds nothing, so that the spec can be mended.
	s = spec()
	if _, err := s.Compile(context.Background()); err == nil {
		t.Fatal("no error")
	}
	s.SkipUnresolved = true
	if sp := compile(t, s); sp.Duplicates() != 0 || sp.Size() != 2 {
		t.Errorf("after a failure: %d targets, %d duplicates", sp.Size(), sp.Duplicates())
	}

	// What shall be excluded must be known.
	s = spec()
	s.SkipUnresolved = true
	if err := s.Exclude("secret.example"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Compile(context.Background()); !errors.As(err, &unresolved) || len(unresolved.Names) != 1 {
		t.Errorf("error %v", err)
	}
}

func TestResolvingIsCanceled(t *testing.T) {
	s := target.Spec{Ports: mustPorts(t, "7"), Resolver: zone()}
	if err := s.Add("www.example.net"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Compile(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
