package target

import (
	"fmt"
	"io"
	"net/netip"
)

// MaxSize is the most targets that a [Space] holds, and the most addresses that one target may stand for.
const MaxSize = 1 << 48

// Spec collects what is to be asked. The zero value is ready; its fields may be set until Compile is called. A Spec
// is not safe for concurrent use.
type Spec struct {
	// Ports are those of targets without a port of their own. If empty, every target must have its own.
	Ports Ports

	// AllAddresses takes every address of a name; otherwise the first that the resolver returns.
	AllAddresses bool
	// Network is the family of a name's addresses, "ip", "ip4" or "ip6". If empty, "ip".
	Network string
	// Resolver resolves names. If nil, net.DefaultResolver.
	Resolver Resolver
	// Pinned holds the addresses of names that shall not be resolved again, as Space.Pinned returned them. Names
	// are in lower case without a final dot.
	Pinned map[string][]netip.Addr
	// SkipUnresolved leaves out targets whose name does not resolve, and lists them in Space.Unresolved. Otherwise,
	// and always for a name that is to be excluded, they make Compile fail with an *UnresolvedError.
	SkipUnresolved bool

	// OnError, if not nil, is called for each broken line of a stream; if it returns nil, reading goes on with the
	// next line. If nil, the first broken line ends the reading.
	OnError func(*Error) error

	table    *portTable
	allPorts uint32
	four     family[v4]
	six      map[string]*family[v6] // by zone
	refuse4  []refusal[v4]
	refuse6  []refusal[v6]
	pending  []pendingName
	labels   texts
	names    texts
	bare     *Error // the first target without a port
	loose    loose
}

// loose is what there was of prefixes with bits after their length.
type loose struct {
	count uint64
	first *Error
}

// note counts a prefix, as it was written, if it is one of them.
func (l *loose) note(at place, text string, d described) {
	if !d.loose {
		return
	}
	if l.count++; l.first == nil {
		l.first = at.err(text, fmt.Sprintf("has bits after its prefix length, which count for nothing: it begins at %v", d.lo))
	}
}

// family holds the entries of one address family and zone. Set number 0 stands for Spec.Ports until Compile.
type family[K key[K]] struct {
	include, exclude, refused pile[entry[K]]
	labels, names             pile[tagged[K]]
}

// pendingName is a target whose name is resolved by Compile.
type pendingName struct {
	place
	name    string
	label   string
	ports   uint32
	exclude bool
}

// Add adds one target. The error is an *Error.
func (s *Spec) Add(target string) error { return s.include(place{}, target, "") }

// AddLabelled adds one target with a label. The error is an *Error.
func (s *Spec) AddLabelled(target, label string) error {
	return s.includeLabelled(place{}, target, label, false)
}

// AddLine adds the target of a line with its label. The error is an *Error.
func (s *Spec) AddLine(l Line) error {
	return s.includeLabelled(place{l.File, l.Number}, l.Target, l.Label, false)
}

// Exclude excludes one target: its own ports, or all ports if it has none. The error is an *Error.
func (s *Spec) Exclude(target string) error { return s.exclude(place{}, target) }

// Read adds the targets of a stream, one a line, as the package documentation says; name is used in errors. The
// error is an *Error, or what OnError or the reader returned.
func (s *Spec) Read(name string, r io.Reader) error {
	return s.read(name, r, s.includeLabelled)
}

// ReadExclude excludes the targets of a stream, as [Spec.Read] adds them. Labels are remarks.
func (s *Spec) ReadExclude(name string, r io.Reader) error {
	return s.read(name, r, func(at place, target, remark string, comma bool) error {
		if problem := checkLabel(remark, comma); problem != "" {
			return at.err(target, problem)
		}
		return s.exclude(at, target)
	})
}

func (s *Spec) read(name string, r io.Reader, fn func(at place, target, label string, comma bool) error) error {
	return eachLine(name, r, func(at place, line []byte) error {
		target, label, comma := columns(line)
		if target == "" && label == "" {
			return nil
		}
		err := fn(at, target, label, comma)
		if broken, ok := err.(*Error); ok && s.OnError != nil {
			return s.OnError(broken)
		}
		return err
	})
}

func (s *Spec) includeLabelled(at place, target, label string, comma bool) error {
	if problem := checkLabel(label, comma); problem != "" {
		return at.err(target, problem)
	}
	return s.include(at, target, label)
}

func (s *Spec) include(at place, text, label string) error {
	s.init()
	d, problem := parse(text)
	if problem == "" {
		problem = d.tooWide()
	}
	if problem != "" {
		return at.err(text, problem)
	}
	if d.ports == nil && s.bare == nil {
		s.bare = at.err(text, "the target names no port: give ports for all targets (-p 80,443) or write one, "+
			"as in 10.0.0.1:443 or [2001:db8::1]:443")
		s.bare.Err = ErrNoPorts
	}
	s.loose.note(at, text, d)
	ports := s.table.number(d.ports)
	if d.name != "" {
		s.pending = append(s.pending, pendingName{at, d.name, label, ports, false})
		return nil
	}
	s.addRange(d, ports, label, "")
	return nil
}

func (s *Spec) exclude(at place, text string) error {
	s.init()
	d, problem := parse(text)
	if problem != "" {
		return at.err(text, problem)
	}
	s.loose.note(at, text, d)
	ports := s.allPorts
	if d.ports != nil {
		ports = s.table.number(d.ports)
	}
	if d.name != "" {
		s.pending = append(s.pending, pendingName{at, d.name, "", ports, true})
		return nil
	}
	s.cutRange(d, ports)
	return nil
}

func (s *Spec) init() {
	if s.table != nil {
		return
	}
	s.table = newPortTable()
	s.allPorts = s.table.number([]span{{lo: 1, hi: 65535}})
	s.six = map[string]*family[v6]{}
	s.refuse4, s.refuse6 = refusals4(), refusals6()
}

func (d *described) tooWide() string {
	if d.name != "" || d.lo.Is4() || v6Of(d.lo).upTo(v6Of(d.hi)) <= MaxSize {
		return ""
	}
	return fmt.Sprintf("more than 2^48 (%d) addresses: a scan cannot visit them all, write narrower prefixes", uint64(MaxSize))
}

// addRange puts a run of addresses into its family, without what is refused. Who writes a name has not named the
// odd address to which it may lead, such as the 0.0.0.0 of a filtering resolver.
func (s *Spec) addRange(d described, ports uint32, label, name string) {
	l, n := s.labels.number(label), s.names.number(name)
	if d.lo.Is4() {
		s.four.add(d.range4(), ports, s.refuse4, l, n)
		return
	}
	s.zone(d.lo.Zone()).add(d.range6(), ports, s.refuse6, l, n)
}

func (s *Spec) cutRange(d described, ports uint32) {
	if d.lo.Is4() {
		s.four.exclude.add(entry[v4]{d.range4(), ports})
		return
	}
	f := s.zone(d.lo.Zone())
	f.exclude.add(entry[v6]{d.range6(), ports})
}

func (d *described) range4() interval[v4] { return interval[v4]{v4Of(d.lo), v4Of(d.hi)} }
func (d *described) range6() interval[v6] { return interval[v6]{v6Of(d.lo), v6Of(d.hi)} }

func (s *Spec) zone(name string) *family[v6] {
	f := s.six[name]
	if f == nil {
		f = &family[v6]{}
		s.six[name] = f
	}
	return f
}

func (f *family[K]) add(r interval[K], ports uint32, rules []refusal[K], label, name uint32) {
	clip(r, rules, name == 0,
		func(kept interval[K]) { f.include.add(entry[K]{kept, ports}) },
		func(refused interval[K]) { f.refused.add(entry[K]{refused, ports}) })
	if label != 0 {
		f.labels.add(tagged[K]{entry[K]{r, ports}, label})
	}
	if name != 0 {
		f.names.add(tagged[K]{entry[K]{r, ports}, name})
	}
}
