package target

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// described is a target as it was written: a run of addresses of one family and zone, or a name, and its own ports
// if it has any.
type described struct {
	lo, hi netip.Addr
	name   string
	ports  []span
	loose  bool // a prefix with bits after its length, which count for nothing
}

// parse reads one target. The second result says what is wrong, empty if nothing is.
func parse(text string) (d described, problem string) {
	if a, err := parseAddr(text); err == nil {
		return single(a), ""
	}
	host, ports, problem := splitPorts(text)
	if problem != "" {
		return d, problem
	}
	if d, problem = parseHost(host); problem != "" {
		return d, problem
	}
	if ports != "" {
		d.ports, problem = parseOwnPorts(ports)
	}
	return d, problem
}

// parseOwnPorts reads the ports behind a host. An open end, which ParsePorts takes, is more likely a slip there: the -1 of a
// program that knows no port.
func parseOwnPorts(list string) ([]span, string) {
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); strings.HasPrefix(item, "-") || strings.HasSuffix(item, "-") {
			return nil, fmt.Sprintf("%q is not a port: behind a host write ports from 1 to 65535, and ranges with both ends, as in 8000-8100", item)
		}
	}
	p, err := ParsePorts(list)
	if err != nil {
		return nil, err.(*Error).Problem
	}
	return p.spans, ""
}

// parseAddr reads an address. An interface's name has neither slash nor blank (dev_valid_name in net/core/dev.c), so
// that fe80::%eth0/64 has no zone; brackets could not be written around it.
func parseAddr(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err == nil && strings.ContainsAny(a.Zone(), "/[] \t\r\n\v\f") {
		return a, errors.New("a zone is the name of an interface, such as eth0")
	}
	return a, err
}

func single(a netip.Addr) described {
	a = a.Unmap()
	return described{lo: a, hi: a}
}

// splitPorts cuts the own ports off. A bare IPv6 address has at least two colons, a host with a port exactly one.
func splitPorts(text string) (host, ports, problem string) {
	switch {
	case text == "":
		return "", "", "the target is empty: write an address, a prefix, a range or a name"
	case strings.Contains(text, "://"):
		return "", "", "a URL is not a target: write the host and the port, as in www.example.net:443"
	case text[0] == '[':
		return splitBrackets(text)
	case strings.Count(text, ":") != 1:
		return text, "", ""
	}
	host, ports, _ = strings.Cut(text, ":")
	if ports == "" {
		return "", "", "no port follows the colon"
	}
	if host == "" {
		return "", "", "no host stands before the colon"
	}
	return host, ports, ""
}

func splitBrackets(text string) (host, ports, problem string) {
	host, rest, closed := strings.Cut(text[1:], "]")
	switch {
	case !closed:
		return "", "", "the bracket is not closed: write [2001:db8::1]:443"
	case rest == "":
		return host, "", ""
	case rest[0] == '/':
		return "", "", "the prefix length belongs inside the brackets: write [2001:db8::/120]:443"
	case rest[0] != ':' || rest == ":":
		return "", "", "after the bracket a colon and a port must follow: write [2001:db8::1]:443"
	}
	return host, rest[1:], ""
}

func parseHost(host string) (described, string) {
	if a, err := parseAddr(host); err == nil {
		return single(a), ""
	}
	if strings.Contains(host, "/") {
		return parsePrefix(host)
	}
	if left, right, ok := strings.Cut(host, "-"); ok {
		if lo, err := netip.ParseAddr(left); err == nil && (lo.Is6() || onlyOf(right, "0123456789.")) {
			return parseRange(lo, right)
		}
	}
	return parseName(host)
}

func parsePrefix(text string) (d described, problem string) {
	left, right, _ := strings.Cut(text, "/")
	base, err := netip.ParseAddr(left)
	if err != nil {
		return d, addrProblem(left, err)
	}
	if base.Zone() != "" {
		return d, "a zone goes with one address, not with a prefix"
	}
	if strings.Contains(right, ":") {
		return d, "with a port of its own an IPv6 prefix needs brackets: write [2001:db8::/120]:443"
	}
	bits, err := strconv.ParseUint(right, 10, 8)
	if err != nil || int(bits) > base.BitLen() {
		return d, fmt.Sprintf("%q is not a prefix length: after the slash write a number from 0 to %d", right, base.BitLen())
	}
	if base.Is4In6() && bits >= 96 {
		base, bits = base.Unmap(), bits-96
	}
	p := netip.PrefixFrom(base, int(bits)).Masked()
	return described{lo: p.Addr(), hi: lastOf(p), loose: p.Addr() != base}, ""
}

// lastOf returns the last address of a masked prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	host := p.Addr().BitLen() - p.Bits()
	for i := 15; host > 0; i, host = i-1, host-8 {
		b[i] |= 1<<min(host, 8) - 1
	}
	last := netip.AddrFrom16(b)
	if p.Addr().Is4() {
		return last.Unmap()
	}
	return last
}

func parseRange(lo netip.Addr, right string) (d described, problem string) {
	hi, err := netip.ParseAddr(right)
	if err != nil {
		if hi, problem = shortEnd(lo, right); problem != "" {
			return d, problem
		}
	}
	if lo.Zone() != "" || hi.Zone() != "" {
		return d, "a zone goes with one address, not with a range"
	}
	if lo.Is4In6() && hi.Is4In6() {
		lo, hi = lo.Unmap(), hi.Unmap()
	}
	if lo.Is4() != hi.Is4() {
		return d, "the range begins in one address family and ends in the other"
	}
	if hi.Less(lo) {
		return d, fmt.Sprintf("the range ends before it begins: write %v-%v", hi, lo)
	}
	return described{lo: lo, hi: hi}, ""
}

// shortEnd reads the end of a range that replaces the last octet, or in IPv6 the last group.
func shortEnd(lo netip.Addr, right string) (netip.Addr, string) {
	base, size, unit, example := 10, 8, "the last octet", "10.0.0.1-10.0.0.9 or 10.0.0.1-9"
	if lo.Is6() {
		base, size, unit, example = 16, 16, "the last group", "2001:db8::1-2001:db8::ff or 2001:db8::1-ff"
	}
	n, err := strconv.ParseUint(right, base, size)
	if err != nil {
		return lo, fmt.Sprintf("%q is neither an address nor %s: write %s", right, unit, example)
	}
	b := lo.As16()
	b[15] = byte(n)
	if lo.Is4() {
		return netip.AddrFrom16(b).Unmap(), ""
	}
	b[14] = byte(n >> 8)
	return netip.AddrFrom16(b).WithZone(lo.Zone()), ""
}

const nameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// parseName takes what is not an address for a name, if it can be one. What ends in a number never is (RFC 1123
// section 2.1; the URL standard's "ends in a number" has the hexadecimal ones of inet_aton), so that a mistyped address
// is not looked up.
func parseName(host string) (d described, problem string) {
	if strings.Contains(host, ":") || endsInNumber(host) {
		_, err := parseAddr(host)
		return d, addrProblem(host, err)
	}
	if host == "" || !onlyOf(host, nameChars) {
		return d, "neither an address nor a name: write an address, a prefix, a range or a name " +
			"(an international name in its xn-- form)"
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if strings.HasPrefix(name, "-") {
		return d, "not a name: a name does not begin with a hyphen"
	}
	if len(name) > 253 || strings.HasPrefix(name, ".") || strings.Contains(name, "..") || name == "" {
		return d, "not a name: a name is at most 253 characters, and none of its labels is empty"
	}
	d.name = name
	return d, ""
}

func endsInNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return onlyOf(hex, "0123456789abcdef")
	}
	return last != "" && onlyOf(last, "0123456789")
}

func onlyOf(text, chars string) bool {
	return strings.Trim(text, chars) == ""
}

// addrProblem words an error of netip.ParseAddr, which repeats its input, for a message that names it already.
func addrProblem(text string, err error) string {
	_, why, ok := strings.Cut(err.Error(), "): ")
	if !ok {
		why = err.Error()
	}
	if strings.HasPrefix(why, "unable to parse IP") {
		why = "an IPv4 address has four numbers from 0 to 255"
	}
	return fmt.Sprintf("%q is not an address: %s", text, why)
}
