//go:build linux && !android

package doctor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/rawshake/rawshake/raw"
)

// routeFacts say how packets get to an address.
type routeFacts struct {
	name    string // the target as the user wrote it; "": this is about any address of the family
	resolve error
	unread  error // the tables cannot be asked
	dst     netip.Addr
	from    netip.Addr // -S
	by      string     // -I
	foreign bool       // -S is no address of this host
	down    bool       // -I is not up
	err     error      // of the lookup
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
		if !p.Source.IsValid() || p.Source.Is4() == dst.Is4() {
			all = append(all, p.routeTo(dst))
		}
	}
	return all
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
	f := routeFacts{name: p.Name, unread: p.links.err, dst: dst, from: p.Source, by: p.Interface, foreign: p.foreignSource()}
	if link, ok := p.links.byName(p.Interface); ok {
		f.down = !link.State.Up
	}
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

// foreignSource reports whether -S belongs to somebody else: the kernel binds nothing to it.
func (p *patient) foreignSource() bool {
	if !p.Source.IsValid() {
		return false
	}
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.Source, 0)))
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.EADDRNOTAVAIL)
}

// works reports whether anything can be sent by the route.
func (f routeFacts) works() bool { return f.err == nil && !f.foreign && (f.local || f.carrier) }

func judgeRoutes(all []routeFacts) []Finding {
	var findings []Finding
	for _, f := range all {
		level, text, fix := judgeRoute(f)
		findings = append(findings, Finding{"route", level, text, fix})
	}
	return slices.Compact(findings) // of both families
}

func judgeRoute(f routeFacts) (level Level, text, fix string) {
	switch {
	case f.resolve != nil:
		return Fail, fmt.Sprintf("%s does not resolve: %v", f.name, f.resolve), "getent ahosts " + hostOf(f.name)
	case f.unread != nil:
		return Info, notExamined(f.unread), openingFix(f.unread, "ip "+familyFlag(f.dst)+" route")
	case f.foreign:
		return Fail, fmt.Sprintf("-S %v is not an address of this host", f.from), "ip address"
	case f.down:
		return Fail, fmt.Sprintf("-I %s is down", f.by), "sudo ip link set dev " + f.by + " up"
	case f.err != nil && f.name == "":
		return Info, fmt.Sprintf("no default route for %s (%v): only networks of this host can be probed", familyOf(f.dst), f.err), "ip " + familyFlag(f.dst) + " route"
	case f.err != nil:
		return Fail, fmt.Sprintf("no way to %v: %s", f.dst, routeError(f.err)), f.lookInto()
	case f.local:
		return OK, fmt.Sprintf("%v is this host itself", f.dst), ""
	case !f.carrier:
		return Fail, fmt.Sprintf("%s to %v: the link is down (no carrier)", f.device, f.dst), "ip link show dev " + f.device
	}
	return OK, "to " + f.destination() + ": " + f.way(), ""
}

// lookInto shows why the lookup failed. A route that forbids is shown by itself; `ip route get` would only fail in the same way.
func (f routeFacts) lookInto() string {
	ip := "ip " + familyFlag(f.dst)
	switch {
	case errors.Is(f.err, syscall.ENETUNREACH):
		return ip + " rule; " + ip + " route"
	case errors.Is(f.err, syscall.EHOSTUNREACH), errors.Is(f.err, syscall.EACCES), errors.Is(f.err, syscall.EINVAL):
		return ip + " rule; " + ip + " route show table all match " + f.dst.WithZone("").String()
	}
	return openingFix(f.err, "ip route get "+f.query())
}

// query names the way in the words of `ip route get`.
func (f routeFacts) query() string {
	text := towards(f.dst, f.by)
	if f.from.IsValid() {
		text += " from " + f.from.String()
	}
	return text
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
