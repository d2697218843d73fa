// Package target turns what a user wrote into the set of endpoints that a scan asks, without a socket and without
// a list of them in memory.
//
// A [Spec] collects targets and exclusions and compiles them to a [Space]: sorted, disjoint address intervals, each
// with its ports, so that target number i of up to 2^48 is found by a binary search. The space depends only on the
// set that was described, not on the order or the manner of writing it.
//
// # Targets
//
//	10.0.0.1                       one address; the ports are those of Spec.Ports
//	10.0.0.0/8  2001:db8::/112     a prefix; bits after its length are ignored, and counted (Space.Loose)
//	10.0.0.1-10.0.1.9              a range, both ends included
//	10.0.0.1-9  2001:db8::1-ff     the short form: the end replaces the last octet, or the last group in IPv6
//	www.example.net                a name, resolved once when the Spec is compiled
//	fe80::1%eth0                   an IPv6 address with its zone
//	10.0.0.1:443  [2001:db8::1]:443  www.example.net:443
//	                               with a port of its own, which stands instead of Spec.Ports
//	10.0.0.0/24:8000-8100  [2001:db8::/120]:443
//	                               anything above may carry a port or a range of ports; IPv6 needs the brackets
//
// Outside a file the own ports may also be a list: 10.0.0.1:80,443.
//
// # Files
//
// One target a line. A line that is empty or begins with # is skipped, and so is the rest of a line after a # that
// follows a blank. The target ends at the first blank or comma; what follows, without the blanks around it, is the
// label of the target, carried to its records ("10.0.0.1:443,front door" and "10.0.0.1:443  front door" say the
// same). A label that reads like a second target, or after a comma like a port, is refused: such a line was
// probably meant otherwise. A target that several lines name has the label of the narrowest of them.
//
// # What is left out
//
// Exclusions are written like targets and always win; one without a port excludes every port, one without a zone
// excludes the address in every zone. Addresses that no service can have (0.0.0.0/8, multicast, 240.0.0.0/4, the
// broadcast address, ::, IPv4-mapped IPv6) are left out of wider targets; a target that lies wholly among them
// has named them and keeps them.
package target
