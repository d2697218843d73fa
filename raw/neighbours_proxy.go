//go:build linux && !android

package raw

// station is a link address on an interface.
type station struct {
	ifindex int
	mac     [6]byte
}

// manyAddresses is from how many addresses on a station is taken for a proxy,
// which answers for others: a router with proxy ARP, for instance.
const manyAddresses = 8

// answers notes that a station has answered for one address more.
func (a *asked) answers(s station) {
	if len(a.stations) >= maxInquiry {
		clear(a.stations)
		clear(a.proxies)
	}
	a.stations[s]++
	if n := a.stations[s]; n >= manyAddresses && n > a.stations[station{s.ifindex, a.proxies[s.ifindex]}] {
		a.proxies[s.ifindex] = s.mac
	}
}

// whom returns the link address that a question goes to, the n-th in a row
// without an answer; zero: to all. Every other one goes to a proxy alone, if
// there is one. Linux has what all hear wait for up to 0.8 s before it answers
// for others, keeps no more than 64 such questions, and loses the others; what
// it alone is asked it answers at once (proxy_delay and proxy_qlen,
// pneigh_enqueue in net/core/neighbour.c).
func (a *asked) whom(key neighbourKey, n int) (to [6]byte) {
	if n%2 == 0 {
		to = a.proxies[key.ifindex]
	}
	return to
}
