// Package raw holds the sockets of a half-open prober on Linux: senders of
// whole IP packets, the receive ring, the guard that keeps the kernel silent
// on our source ports, routes, neighbours, links and privileges.
//
// It knows sockets, not TCP: what a packet means is decided elsewhere. All of
// it works with CAP_NET_RAW as the only capability, but for a mark (SO_MARK)
// before Linux 5.17, which takes CAP_NET_ADMIN, and a guard of
// privileged ports, which takes CAP_NET_BIND_SERVICE.
//
// Sockets belong to the network namespace of the thread that opened them and
// stay there, whatever the thread does later.
//
// On other platforms, Android included, the package is empty.
package raw
