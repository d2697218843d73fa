// Package match knows which probe a reply belongs to: the ISN that carries a probe's identity, the table of pending probes
// with its timers, the plan of attempts, and the receive filter. It is pure: no sockets, no clock, no goroutines.
package match
