package target

import (
	"math"
	"net/netip"
)

// refusal is a block of addresses that no service can have. A target that lies wholly inside named has named the
// block and keeps it.
type refusal[K key[K]] struct {
	block, named interval[K]
}

func between4(lo, hi string) interval[v4] {
	return interval[v4]{v4Of(netip.MustParseAddr(lo)), v4Of(netip.MustParseAddr(hi))}
}

func between6(lo, hi string) interval[v6] {
	return interval[v6]{v6Of(netip.MustParseAddr(lo)), v6Of(netip.MustParseAddr(hi))}
}

// refusals4 is in rising order. "This network" (RFC 1122 section 3.2.1.3), multicast (RFC 5771), reserved
// (RFC 1112 section 4), limited broadcast (RFC 919 section 7). Who names 240.0.0.0/4 has still not named the
// broadcast address.
func refusals4() []refusal[v4] {
	thisNet := between4("0.0.0.0", "0.255.255.255")
	upper := between4("224.0.0.0", "255.255.255.255")
	broadcast := between4("255.255.255.255", "255.255.255.255")
	return []refusal[v4]{
		{thisNet, thisNet},
		{between4("224.0.0.0", "255.255.255.254"), upper},
		{broadcast, broadcast},
	}
}

// refusals6 is in rising order. The unspecified address, IPv4-mapped addresses (which never appear on the wire;
// a target written as one is taken for IPv4 before), multicast (all RFC 4291 section 2).
func refusals6() []refusal[v6] {
	unspecified := between6("::", "::")
	multicast := between6("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	mapped := interval[v6]{v6{0, 0xffff << 32}, v6{0, 0xffff<<32 | math.MaxUint32}}
	return []refusal[v6]{{unspecified, unspecified}, {mapped, mapped}, {multicast, multicast}}
}

// clip calls keep with the parts of r that are not refused, and refuse with the others. written says that somebody
// wrote r, and may so have named a block.
func clip[K key[K]](r interval[K], rules []refusal[K], written bool, keep, refuse func(interval[K])) {
	whole := r
	for _, rule := range rules {
		if written && rule.named.contains(whole) || rule.block.hi.compare(r.lo) < 0 {
			continue
		}
		if rule.block.lo.compare(r.hi) > 0 {
			break
		}
		if r.lo.compare(rule.block.lo) < 0 {
			keep(interval[K]{r.lo, rule.block.lo.prev()})
			r.lo = rule.block.lo
		}
		if rule.block.hi.compare(r.hi) >= 0 {
			refuse(r)
			return
		}
		refuse(interval[K]{r.lo, rule.block.hi})
		r.lo = rule.block.hi.next()
	}
	keep(r)
}
