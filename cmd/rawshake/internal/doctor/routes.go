//go:build linux && !android

package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"

	"github.com/rawshake/rawshake/raw"
)

// routeFacts say how packets get to an address.
type routeFacts struct {
	name    string // the target as the user wrote it; "": this is about any address of the family
	resolve error
	dst     netip.Addr
	err     error // of the lookup
	device  string
	source  netip.Addr
	gateway netip.Addr
	local   bool
	carrier bool
}

// elsewhere are addresses that no network has (RFC 5737, RFC 3849): a way to them is the default route. Nothing is sent there.
func elsewhere() []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, 1}), netip.MustParseAddr("2001:db8::1")}
}

func (p *patient) routes() []routeFacts {
	if p.Err != nil {
		return []routeFacts{{name: p.Name, resolve: p.Err}}
	}
	if p.Name != "" {
		return []routeFacts{p.routeTo(p.Target.Addr())}
	}
	var all []routeFacts
	for _, dst := range elsewhere() {
		all = append(all, p.routeTo(dst))
	}
	return all
}

// route looks the target's up.
func (p *patient) route() (raw.Route, error) {
	if !p.Target.IsValid() {
		return raw.Route{}, errors.ErrUnsupported
	}
	return p.lookup(p.Target.Addr())
}

func (p *patient) lookup(dst netip.Addr) (raw.Route, error) {
	routes, err := raw.OpenRoutes(raw.RouteConfig{Source: p.Source, Interface: p.Interface})
	if err != nil {
		return raw.Route{}, err
	}
	defer routes.Close()
	return routes.Lookup(dst)
}

func (p *patient) routeTo(dst netip.Addr) routeFacts {
	f := routeFacts{name: p.Name, dst: dst}
	r, err := p.lookup(dst)
	if err != nil {
		f.err = err
		return f
	}
	link := p.links.byIndex(r.Interface)
	f.device, f.carrier = link.Name, link.State.Carrier
	f.source, f.gateway, f.local = r.Source, r.Gateway, r.Kind == raw.Local
	return f
}

// cut reports whether the route leads by a link without carrier.
func (f routeFacts) cut() bool { return f.err == nil && !f.local && !f.carrier }

func judgeRoutes(all []routeFacts) []Finding {
	var findings []Finding
	for _, f := range all {
		level, text, fix := judgeRoute(f)
		findings = append(findings, Finding{"route", level, text, fix})
	}
	return findings
}

func judgeRoute(f routeFacts) (level Level, text, fix string) {
	get := "ip route get " + f.dst.String()
	switch {
	case f.resolve != nil:
		return Fail, fmt.Sprintf("%s does not resolve: %v", f.name, f.resolve), "getent ahosts " + hostOf(f.name)
	case f.err != nil && f.name == "":
		return Info, fmt.Sprintf("no default route for %s (%v): only networks of this host can be probed", familyOf(f.dst), f.err), "ip " + familyFlag(f.dst) + " route"
	case f.err != nil:
		return Fail, fmt.Sprintf("no way to %v: %s", f.dst, routeError(f.err)), get
	case f.local:
		return OK, fmt.Sprintf("%v is this host itself", f.dst), ""
	case f.cut():
		return Fail, fmt.Sprintf("%s to %v: the link is down (no carrier)", f.device, f.dst), "ip link show dev " + f.device
	}
	return OK, "to " + f.destination() + ": " + f.way(), ""
}

func (f routeFacts) destination() string {
	if f.name == "" {
		return "the rest of the " + familyOf(f.dst) + " world"
	}
	return f.dst.String()
}

func (f routeFacts) way() string {
	way := fmt.Sprintf("%s from %v", f.device, f.source)
	if f.gateway.IsValid() {
		return way + fmt.Sprintf(" via %v", f.gateway)
	}
	return way + ", on the link"
}

// routeError words the errno that connect(2) would give.
func routeError(err error) string {
	words := map[syscall.Errno]string{
		syscall.ENETUNREACH:   "the routing table has none",
		syscall.EHOSTUNREACH:  "an unreachable route forbids it",
		syscall.EACCES:        "a prohibit route forbids it",
		syscall.EINVAL:        "a blackhole route swallows it, or a link-local address lacks its zone",
		syscall.EADDRNOTAVAIL: "this host has no source address for it",
		syscall.ENODEV:        "the interface of its zone is not there",
	}
	var errno syscall.Errno
	if errors.As(err, &errno) && words[errno] != "" {
		return words[errno]
	}
	return err.Error()
}

func familyOf(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

func familyFlag(a netip.Addr) string {
	if a.Is4() {
		return "-4"
	}
	return "-6"
}

// hostOf cuts the port off a target that is a name.
func hostOf(name string) string {
	host, _, _ := strings.Cut(name, ":")
	return host
}
