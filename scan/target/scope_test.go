package target_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/rawshake/rawshake/scan/target"
)

func readScope(t testing.TB, text string) *target.Scope {
	t.Helper()
	s, err := target.ReadScope("scope", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScope(t *testing.T) {
	s := readScope(t, "# ours\n10.0.0.0/24 lab\n10.0.1.0/24\n10.0.3.1-10.0.3.6\n192.0.2.7\n10.0.0.128/25\nfe80::/10\n2001:db8::1-4\n")
	if got, want := fmt.Sprint(s.Prefixes()), "[10.0.0.0/23 10.0.3.1/32 10.0.3.2/31 10.0.3.4/31 10.0.3.6/32 192.0.2.7/32 "+
		"2001:db8::1/128 2001:db8::2/127 2001:db8::4/128 fe80::/10]"; got != want {
		t.Errorf("prefixes %s, want %s", got, want)
	}
	for text, want := range map[string]bool{
		"10.0.0.0": true, "10.0.1.255": true, "10.0.2.0": false, "9.255.255.255": false, "10.0.3.0": false,
		"10.0.3.6": true, "10.0.3.7": false, "::ffff:10.0.0.1": true, "fe80::1%eth0": true, "fec0::": false,
		"2001:db8::4": true, "2001:db8::5": false, "255.255.255.255": false,
	} {
		if got := s.Contains(netip.MustParseAddr(text)); got != want {
			t.Errorf("Contains(%s) = %v", text, got)
		}
	}
	if s.Contains(netip.Addr{}) || new(target.Scope).Contains(netip.MustParseAddr("10.0.0.1")) {
		t.Error("the zero address or the zero scope is allowed")
	}
}

func TestWholeFamiliesInScope(t *testing.T) {
	s := readScope(t, "0.0.0.0/0\n::/0")
	if got, want := fmt.Sprint(s.Prefixes()), "[0.0.0.0/0 ::/0]"; got != want {
		t.Errorf("prefixes %s, want %s", got, want)
	}
	for _, text := range []string{"0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"} {
		if !s.Contains(netip.MustParseAddr(text)) {
			t.Errorf("%s is not allowed", text)
		}
	}
}

func TestBrokenScope(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "scope: the scope is empty, so that nothing may be sent to"},
		{"# 10.0.0.0/8\n", "the scope is empty"},
		{"10.0.0.0/8\nwww.example.net", `scope:2: "www.example.net": a scope holds addresses, not names`},
		{"10.0.0.1:80", "a scope holds addresses without ports"},
		{"fe80::1%eth0", "a scope holds addresses without zones: write fe80::1 for"},
		{"10.0.0.0/8 10.0.0.1", "looks like a second target"},
		{"10.0.0.5/8", "write the prefix as it begins, at 10.0.0.0, or the address alone"},
		{"10.0.0.0/99", `"99" is not a prefix length`},
	} {
		if _, err := target.ReadScope("scope", strings.NewReader(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %v, want: %s", test.text, err, test.want)
		}
	}
}

// loose reports whether a target is a prefix with bits after its length.
func loose(text string) bool {
	p, err := netip.ParsePrefix(text)
	return err == nil && p != p.Masked()
}

// Scopes against a list of the addresses: what they contain, as prefixes, and what of a space lies outside.
func TestScopeAgainstModel(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		var text strings.Builder
		allowed := map[netip.Addr]bool{}
		for range 1 + r.IntN(6) {
			l := randomLine(r)
			if l.addrs[0].Zone() != "" || l.ports != nil || slices.ContainsFunc(l.addrs, netip.Addr.Is4In6) {
				continue
			}
			if host, _, _ := strings.Cut(l.String(), " "); loose(host) {
				continue
			}
			fmt.Fprintln(&text, l)
			for _, a := range l.addrs {
				allowed[a] = true
			}
		}
		if text.Len() == 0 {
			continue
		}
		scope := readScope(t, text.String())
		covered := 0
		for _, p := range scope.Prefixes() {
			for a := p.Addr(); a.IsValid() && p.Contains(a); a = a.Next() {
				covered++
				if !allowed[a] || !scope.Contains(a) {
					t.Fatalf("seed %d: %v is in %v", seed, a, p)
				}
			}
		}
		if covered != len(allowed) {
			t.Fatalf("seed %d: the prefixes have %d addresses, want %d", seed, covered, len(allowed))
		}
		checkOutside(t, scope, compileLines(t, randomLines(r, 8), nil), allowed)
	}
}

func checkOutside(t *testing.T, scope *target.Scope, sp *target.Space, allowed map[netip.Addr]bool) {
	t.Helper()
	var n uint64
	var first netip.AddrPort
	for i := range sp.Size() {
		at := sp.At(i)
		if ok := allowed[at.Addr().WithZone("")]; ok != scope.Contains(at.Addr()) {
			t.Fatalf("Contains(%v) = %v", at, !ok)
		} else if !ok {
			if n == 0 {
				first = at
			}
			n++
		}
	}
	if gotN, gotFirst := scope.Outside(sp); gotN != n || gotFirst != first {
		t.Fatalf("Outside() = %d, %v, want %d, %v", gotN, gotFirst, n, first)
	}
}
