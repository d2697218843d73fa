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
	"github.com/rawshake/rawshake/scan/target"
)

// MaxTargets is the most endpoints of one check: each has figures of its own. A scan has no such limit.
const MaxTargets = 1 << 20

// Lookup says how TARGET arguments become endpoints.
type Lookup struct {
	Ports        target.Ports    // of targets without a port of their own
	Network      string          // "ip", "ip4" or "ip6": which addresses count
	AllAddresses bool            // every address of a name, or the first
	Resolver     target.Resolver // if nil, net.DefaultResolver
	Interface    string          // -I: gives link-local addresses their zone
}

// Host is one TARGET argument: an address or a name with its ports, or a range of addresses.
type Host struct {
	text   string
	lookup Lookup
	space  *target.Space // its endpoints; nil for a name, which is resolved when the check begins
}

// ParseHosts reads TARGET arguments. Nothing is resolved yet; errors are of usage.
func ParseHosts(args []string, l Lookup) ([]Host, error) {
	var hosts []Host
	var size uint64
	for _, arg := range args {
		h, err := parseHost(arg, l)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, h)
		if h.space != nil {
			size += h.space.Size()
		}
		if size > MaxTargets {
			return nil, exit.Usagef("target %q: with it there are more than %d targets: name fewer, or use `rawshake scan`", arg, MaxTargets)
		}
	}
	return hosts, nil
}

func parseHost(arg string, l Lookup) (Host, error) {
	h := Host{text: arg, lookup: l}
	space, err := h.compile(context.Background(), offline{})
	if errors.Is(err, errOffline) {
		return h, nil
	}
	if err != nil {
		return h, exit.With(exit.Usage, fmt.Errorf("target %w", err))
	}
	h.space = space
	return h, h.check()
}

// check finds what an address cannot be asked with.
func (h Host) check() error {
	four, six := h.space.Families()
	switch {
	case h.lookup.Network == "ip4" && six:
		return exit.Usagef("target %q: an IPv6 address, but -4 allows IPv4 only: leave -4 out", h.text)
	case h.lookup.Network == "ip6" && four:
		return exit.Usagef("target %q: an IPv4 address, but -6 allows IPv6 only: leave -6 out", h.text)
	case h.space.Size() == 0:
		return exit.Usagef("target %q: no address that a service can have", h.text)
	}
	if a := h.space.At(0).Addr(); a.Is6() && a.IsLinkLocalUnicast() && a.Zone() == "" && h.lookup.Interface == "" {
		return exit.Usagef("target %q: a link-local address needs its interface: write [%v%%eth0]:%d, or name it with -I", h.text, a, h.space.At(0).Port())
	}
	return nil
}

func (h Host) compile(ctx context.Context, r target.Resolver) (*target.Space, error) {
	spec := target.Spec{Ports: h.lookup.Ports, AllAddresses: h.lookup.AllAddresses, Network: h.lookup.Network, Resolver: r}
	if err := spec.Add(h.text); err != nil {
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
	name, _, _ := strings.Cut(h.text, ":")
	return name + ":" + strconv.Itoa(int(port))
}

// unresolvedNames are the targets that a name stands for that did not resolve: one for each port.
func (h Host) unresolvedNames() []string {
	ports := h.lookup.Ports
	if _, own, ok := strings.Cut(h.text, ":"); ok {
		ports, _ = target.ParsePorts(own) // parseHost has read it
	}
	var names []string
	for port := range ports.All() {
		names = append(names, h.nameOf(port))
	}
	return names
}

// offline is a resolver that only tells names from addresses.
type offline struct{}

var errOffline = errors.New("a name")

func (offline) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errOffline
}
