package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
	"github.com/rawshake/rawshake/scan/target"
)

// MaxTargets is the most endpoints of one check: each has figures of its own. A scan has no such limit.
const MaxTargets = 1 << 20

// MaxHosts is the most TARGETs, each of which takes some 6 kB.
const MaxHosts = 1 << 16

// Lookup says how TARGET arguments become endpoints.
type Lookup struct {
	Ports        target.Ports    // of targets without a port of their own
	Network      string          // "ip", "ip4" or "ip6": which addresses count
	Because      string          // the flag that says so: "-4"
	AllAddresses bool            // every address of a name, or the first
	Resolver     target.Resolver // if nil, net.DefaultResolver
	Interface    string          // -I: gives link-local addresses their zone
}

// Host is one TARGET: an address or a name with its ports, or a range of addresses.
type Host struct {
	line   target.Line
	lookup Lookup
	space  *target.Space // its endpoints; nil for a name, which is resolved when the check begins
}

// Argument is a TARGET of the command line.
func Argument(text string) target.Line { return target.Line{Target: text} }

// ParseHosts reads TARGETs. Nothing is resolved yet; errors are of usage.
func ParseHosts(lines []target.Line, l Lookup) ([]Host, error) {
	if len(lines) > MaxHosts {
		return nil, exit.Usagef("%d TARGETs, and a check takes at most %d: name fewer, or use `rawshake scan`", len(lines), MaxHosts)
	}
	var hosts []Host
	var size uint64
	for _, line := range lines {
		h, err := parseHost(line, l)
		if err != nil {
			return nil, exit.With(exit.Usage, targets.Labelled("target", err))
		}
		hosts = append(hosts, h)
		if size++; h.space != nil {
			size += h.space.Size() - 1
		}
		if size > MaxTargets {
			return nil, exit.With(exit.Usage, targets.Labelled("target",
				h.problem("with it there are more than %d targets: name fewer, or use `rawshake scan`", MaxTargets)))
		}
	}
	return hosts, nil
}

func parseHost(line target.Line, l Lookup) (Host, error) {
	h := Host{line: line, lookup: l}
	space, err := h.compile(context.Background(), offline{})
	if errors.Is(err, errOffline) {
		return h, nil
	}
	if err != nil {
		return h, err
	}
	h.space = space
	return h, h.check()
}

// check finds what an address cannot be asked with.
func (h Host) check() error {
	four, six := h.space.Families()
	switch because := h.lookup.Because; {
	case h.lookup.Network == "ip4" && six:
		return h.problem("an IPv6 address, but %s allows IPv4 only: leave %[1]s out", because)
	case h.lookup.Network == "ip6" && four:
		return h.problem("an IPv4 address, but %s allows IPv6 only: leave %[1]s out", because)
	case h.space.Size() == 0:
		return h.problem("no address that a service can have")
	}
	var e *target.Error
	if errors.As(targets.CheckZones(h.space, h.lookup.Interface), &e) {
		return h.problem("%s", e.Problem)
	}
	return nil
}

// problem is an error about this host.
func (h Host) problem(format string, args ...any) error {
	return &target.Error{File: h.line.File, Line: h.line.Number, Text: h.line.Target, Problem: fmt.Sprintf(format, args...)}
}

func (h Host) compile(ctx context.Context, r target.Resolver) (*target.Space, error) {
	spec := target.Spec{Ports: h.lookup.Ports, AllAddresses: h.lookup.AllAddresses, Network: h.lookup.Network, Resolver: r}
	if err := spec.AddLine(h.line); err != nil {
		return nil, err
	}
	return spec.Compile(ctx)
}

// resolve returns the endpoints. The error is the resolver's.
func (h Host) resolve(ctx context.Context) (*target.Space, error) {
	if h.space != nil {
		return h.space, nil
	}
	var r target.Resolver = net.DefaultResolver
	if h.lookup.Resolver != nil {
		r = h.lookup.Resolver
	}
	space, err := h.compile(ctx, r)
	var unresolved *target.UnresolvedError
	if errors.As(err, &unresolved) {
		return nil, unresolved.Names[0].Err
	}
	return space, err
}

// Single fails for a host that is more than one endpoint.
func (h Host) Single() error {
	if n := h.size(); n > 1 {
		return exit.With(exit.Usage, targets.Labelled("target", h.problem("%d endpoints: write one address or name, with one port", n)))
	}
	return nil
}

// First returns the first endpoint. The error is the resolver's.
func (h Host) First(ctx context.Context) (netip.AddrPort, error) {
	space, err := h.resolve(ctx)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return space.At(0), nil
}

// nameOf is an endpoint of this host as the user wrote it, with its port; "" for an address.
func (h Host) nameOf(port uint16) string {
	if h.space != nil {
		return ""
	}
	name, _, _ := strings.Cut(h.line.Target, ":")
	return name + ":" + strconv.Itoa(int(port))
}

// ports are those of a name.
func (h Host) ports() target.Ports {
	if _, own, ok := strings.Cut(h.line.Target, ":"); ok {
		ports, _ := target.ParsePorts(own) // parseHost has read it
		return ports
	}
	return h.lookup.Ports
}

// size is how many endpoints there are, as far as that is known before a name is resolved.
func (h Host) size() uint64 {
	if h.space != nil {
		return h.space.Size()
	}
	return uint64(h.ports().Len())
}

// columnWidth is how wide the longest text of an endpoint is, as far as that is known; 0 if there is only one to write.
func columnWidth(hosts []Host) (width int) {
	if len(hosts) == 1 && hosts[0].size() == 1 && !hosts[0].lookup.AllAddresses {
		return 0
	}
	for _, h := range hosts {
		width = max(width, h.width())
	}
	return min(width, widest)
}

// widest bounds the column: a longer target is written whole, out of column.
const widest = 60

func (h Host) width() (width int) {
	if h.space == nil { // names have an IPv4 address, most often
		const address = len(" (255.255.255.255:)")
		for port := range h.ports().All() {
			width = max(width, len(h.nameOf(port))+address+len(strconv.Itoa(int(port))))
		}
		return width
	}
	for i := range min(h.space.Size(), 1024) { // those behind are rarely longer
		width = max(width, len(h.space.At(i).String()))
	}
	return width
}

// offline is a resolver that only tells names from addresses.
type offline struct{}

var errOffline = errors.New("a name")

func (offline) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errOffline
}
