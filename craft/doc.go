// Package craft knows the bytes of the segments that a half-open probe sends and of those that answer it, for IPv4
// and IPv6. It does no I/O and keeps no state.
//
// # Sending
//
// A [Template] is a whole IP packet, a SYN or a RST, built once by gopacket. [Template.Put] copies it into the
// caller's buffer and patches what differs from probe to probe: destination, ports, sequence number and, for the
// styles that carry a timestamp, TSval. The checksums are finished from sums that were taken when the template was
// made, so a packet costs a copy of 40 to 84 bytes and a few additions.
//
// # Receiving
//
// [Decode] reads a TCP segment, or an ICMP error that quotes one, into a [Reply]. It takes packets as the network
// layer sees them, without a link header. What is not TCP, not whole enough or not sound is refused with one of the
// Err values of this package; these are compared with == or errors.Is and carry no detail, because refusing must cost
// nothing. [Describe] is for people.
//
// # Who owns the bytes
//
// Put writes exactly [Template.Len] bytes and reads none; the buffer stays the caller's. A Reply aliases the packet
// in one field, Options: copy it before the packet's buffer is used again. Everything else in a Reply is a value.
// Decode, Describe and the functions on options never write to what they are given.
//
// # What panics
//
// Put panics when the buffer is shorter than Len, and when the destination is not of the family of the template's
// source (an IPv4-mapped IPv6 address is of neither). Both are mistakes of the program, never of the network. No
// other function panics, whatever bytes it is given.
//
// # Concurrency
//
// A Template does not change after it was made; any number of goroutines may use it. The functions keep nothing.
//
// # Addresses
//
// IPv4 addresses are 4 bytes long and IPv6 addresses 16; IPv4-mapped ones never come out and are refused where they
// go in. A packet does not carry a zone: a zone given to Put is ignored, and Decode returns none.
package craft
