// Package pace says when packets may leave. Nothing in it sleeps or reads a clock: callers pass the time in
// nanoseconds, from any clock that does not go back, and are told how many packets may leave now or how long to wait.
//
// A [Limiter] holds the rate of a whole scan and slows down when this machine loses packets. A [HostLimiter] holds
// the rates of single hosts and networks, and keeps the targets whose time has not come.
package pace
