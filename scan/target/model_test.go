package target_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/rawshake/rawshake/scan/target"
)

// line is a target as a test describes it: how it is written, and, worked out by other means than the package's
// own, what it stands for.
type line struct {
	text  string
	addrs []netip.Addr
	ports []uint16 // nil: none of its own
	label string
}

// neighbourhoods are where random lines lie: close together, so that they overlap, and on the borders of what is
// refused.
var neighbourhoods = []string{
	"10.0.0.0", "10.0.0.0", "10.0.0.0", "0.255.255.248", "223.255.255.248", "255.255.255.248",
	"2001:db8::", "2001:db8::ffff:ffff:ffff:fff0", "fe80::%a", "fe80::%b", "fe80::", "::", "::fffe:ffff:fff0",
	"feff:ffff:ffff:ffff:ffff:ffff:ffff:fff8", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff8",
}

func randomLine(r *rand.Rand) line {
	lo := netip.MustParseAddr(neighbourhoods[r.IntN(len(neighbourhoods))])
	for range r.IntN(12) {
		if n := lo.Next(); n.IsValid() {
			lo = n
		}
	}
	l := line{addrs: []netip.Addr{lo}}
	text := lo.String()
	switch kind := r.IntN(3); {
	case lo.Zone() != "" || kind == 0:
	case kind == 1:
		text, l.addrs = randomRange(r, lo)
	case kind == 2:
		p, _ := lo.Prefix(lo.BitLen() - r.IntN(4))
		text, l.addrs = fmt.Sprintf("%v/%d", lo, p.Bits()), nil
		for a := p.Addr(); a.IsValid() && p.Contains(a); a = a.Next() {
			l.addrs = append(l.addrs, a)
		}
	}
	l.text = text
	if r.IntN(3) == 0 {
		l.addPorts(r)
	}
	if r.IntN(3) == 0 {
		l.label = string(rune('a' + r.IntN(5)))
	}
	return l
}

func randomRange(r *rand.Rand, lo netip.Addr) (string, []netip.Addr) {
	addrs := []netip.Addr{lo}
	for range r.IntN(20) {
		if n := addrs[len(addrs)-1].Next(); n.IsValid() {
			addrs = append(addrs, n)
		}
	}
	hi := addrs[len(addrs)-1]
	a, b := lo.As16(), hi.As16()
	switch short := r.IntN(2) == 0; {
	case short && lo.Is4() && a[14] == b[14]:
		return fmt.Sprintf("%v-%d", lo, b[15]), addrs
	case short && lo.Is6() && [14]byte(a[:]) == [14]byte(b[:]):
		return fmt.Sprintf("%v-%x", lo, int(b[14])<<8|int(b[15])), addrs
	}
	return fmt.Sprintf("%v-%v", lo, hi), addrs
}

func (l *line) addPorts(r *rand.Rand) {
	lo := uint16(1 + r.IntN(5))
	l.ports = []uint16{lo}
	ports := fmt.Sprint(lo)
	for range r.IntN(3) {
		l.ports = append(l.ports, l.ports[len(l.ports)-1]+1)
		ports = fmt.Sprintf("%d-%d", lo, l.ports[len(l.ports)-1])
	}
	if l.addrs[0].Is6() {
		l.text = "[" + l.text + "]"
	}
	l.text += ":" + ports
}

func (l line) String() string {
	if l.label == "" {
		return l.text
	}
	return l.text + " " + l.label
}

// model is a space as maps.
type model struct {
	targets                   map[netip.AddrPort]bool
	labels                    map[netip.AddrPort]string
	merged, excluded, refused uint64
	includes, excludes        []line
	widthOf                   map[netip.AddrPort]int
}

var defaultPorts = []uint16{2, 3, 80}

func newModel(includes, excludes []line) *model {
	m := &model{
		targets: map[netip.AddrPort]bool{}, labels: map[netip.AddrPort]string{}, widthOf: map[netip.AddrPort]int{},
		includes: includes, excludes: excludes,
	}
	for _, l := range includes {
		m.include(l)
	}
	for t := range m.targets {
		if slices.ContainsFunc(excludes, func(l line) bool { return l.excludes(t) }) {
			delete(m.targets, t)
			m.excluded++
		}
	}
	return m
}

func (m *model) include(l line) {
	ports := l.ports
	if ports == nil {
		ports = defaultPorts
	}
	named := !slices.ContainsFunc(l.addrs, func(a netip.Addr) bool { return !odd(a) })
	broadcast := netip.MustParseAddr("255.255.255.255")
	for _, a := range l.addrs {
		for _, p := range ports {
			t := netip.AddrPortFrom(a, p)
			switch {
			case odd(a) && !named, a == broadcast && len(l.addrs) > 1:
				m.refused++
			case m.targets[t]:
				m.merged++
			}
			if !odd(a) || named && (a != broadcast || len(l.addrs) == 1) {
				m.targets[t] = true
			}
			m.tag(t, l, len(l.addrs)*1000+len(ports))
		}
	}
}

// tag keeps the label of the narrowest line: fewest addresses, then fewest ports, then the alphabet.
func (m *model) tag(t netip.AddrPort, l line, width int) {
	if l.label == "" {
		return
	}
	if w, ok := m.widthOf[t]; !ok || width < w || width == w && l.label < m.labels[t] {
		m.widthOf[t], m.labels[t] = width, l.label
	}
}

// odd reports whether no service can have a. The random lines are too short to lie in two such blocks.
func odd(a netip.Addr) bool {
	return a.IsMulticast() || a.IsUnspecified() || a.Is4In6() || a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240)
}

func (l line) excludes(t netip.AddrPort) bool {
	match := func(a netip.Addr) bool { return a == t.Addr() || a.Zone() == "" && a == t.Addr().WithZone("") }
	return slices.ContainsFunc(l.addrs, match) && (l.ports == nil || slices.Contains(l.ports, t.Port()))
}

func compileLines(t *testing.T, includes, excludes []line) *target.Space {
	t.Helper()
	s := target.Spec{Ports: mustPorts(t, "80,2-3")}
	if err := s.Read("in", strings.NewReader(joinLines(includes))); err != nil {
		t.Fatal(err)
	}
	if err := s.ReadExclude("out", strings.NewReader(joinLines(excludes))); err != nil {
		t.Fatal(err)
	}
	sp, err := s.Compile(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return sp
}

func joinLines(lines []line) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintln(&b, l)
	}
	return b.String()
}

func mustPorts(t testing.TB, list string) target.Ports {
	t.Helper()
	p, err := target.ParsePorts(list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func randomLines(r *rand.Rand, most int) []line {
	lines := make([]line, r.IntN(most+1))
	for i := range lines {
		lines[i] = randomLine(r)
	}
	return lines
}

// check holds a space against the model.
func (m *model) check(t *testing.T, sp *target.Space) {
	t.Helper()
	if sp.Size() != uint64(len(m.targets)) {
		t.Errorf("Size() = %d, want %d", sp.Size(), len(m.targets))
	}
	if sp.Duplicates() != m.merged || sp.Excluded() != m.excluded || sp.Refused() != m.refused {
		t.Errorf("duplicates %d, excluded %d, refused %d; want %d, %d, %d",
			sp.Duplicates(), sp.Excluded(), sp.Refused(), m.merged, m.excluded, m.refused)
	}
	seen := map[netip.AddrPort]bool{}
	addrs := map[netip.Addr]bool{}
	for i := range sp.Size() {
		at := sp.At(i)
		if !m.targets[at] || seen[at] {
			t.Fatalf("At(%d) = %v: wanted %v, seen before %v", i, at, m.targets[at], seen[at])
		}
		if j, ok := sp.Index(at); !ok || j != i {
			t.Fatalf("Index(%v) = %d, %v, want %d", at, j, ok, i)
		}
		if got := sp.Label(at); got != m.labels[at] {
			t.Fatalf("Label(%v) = %q, want %q", at, got, m.labels[at])
		}
		seen[at], addrs[at.Addr()] = true, true
	}
	if sp.Addresses() != uint64(len(addrs)) {
		t.Errorf("Addresses() = %d, want %d", sp.Addresses(), len(addrs))
	}
}

// checkAbsent holds Index against targets that are near and not in the space.
func (m *model) checkAbsent(t *testing.T, sp *target.Space) {
	t.Helper()
	for _, l := range slices.Concat(m.includes, m.excludes) {
		for _, a := range l.addrs {
			for _, p := range []uint16{0, 1, 2, 3, 4, 5, 6, 7, 8, 80, 65535} {
				at := netip.AddrPortFrom(a, p)
				if _, ok := sp.Index(at); ok != m.targets[at] {
					t.Fatalf("Index(%v) found %v, want %v", at, ok, m.targets[at])
				}
			}
		}
	}
}

func TestSpaceAgainstModel(t *testing.T) {
	for seed := range uint64(1500) {
		checkSeed(t, seed, 8)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	checkSeed(t, 1, 400)
}

func checkSeed(t *testing.T, seed uint64, most int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	includes, excludes := randomLines(r, most), randomLines(r, most/2)
	m := newModel(includes, excludes)
	sp := compileLines(t, includes, excludes)
	m.check(t, sp)
	m.checkAbsent(t, sp)

	// The order of the lines, and lines given twice, make no difference.
	r.Shuffle(len(includes), func(i, j int) { includes[i], includes[j] = includes[j], includes[i] })
	r.Shuffle(len(excludes), func(i, j int) { excludes[i], excludes[j] = excludes[j], excludes[i] })
	other := compileLines(t, append(includes, includes...), excludes)
	if sp.Hash("a", "b") != other.Hash("b", "a") {
		t.Error("the hash depends on the order")
	}
	for i := range sp.Size() {
		if sp.At(i) != other.At(i) || sp.Label(sp.At(i)) != other.Label(other.At(i)) {
			t.Fatalf("target %d depends on the order: %v, %v", i, sp.At(i), other.At(i))
		}
	}
	if len(m.targets) > 0 {
		gone := sp.At(r.Uint64N(sp.Size()))
		cut := line{text: gone.String(), addrs: []netip.Addr{gone.Addr()}, ports: []uint16{gone.Port()}}
		less := newModel(includes, append(excludes, cut))
		if sp2 := compileLines(t, includes, less.excludes); sp2.Hash() == sp.Hash() || sp2.Size() != uint64(len(less.targets)) {
			t.Errorf("without %v the size is %d, want %d; hashes equal: %v", gone, sp2.Size(), len(less.targets), sp2.Hash() == sp.Hash())
		}
	}
}

func FuzzSpaceAgainstModel(f *testing.F) {
	f.Add(uint64(1), uint8(4))
	f.Fuzz(func(t *testing.T, seed uint64, most uint8) { checkSeed(t, seed, int(most)) })
}
