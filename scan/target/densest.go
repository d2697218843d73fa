package target

// Densest returns the most targets that one network has, for networks with prefixes of the given lengths in IPv4 and IPv6; with 32 and
// 128 that are the most targets of one address. It takes a step for each interval and each IPv4 network.
func (s *Space) Densest(bits4, bits6 int) uint64 {
	most := densest(&s.four, &s.sets, 32-bits4)
	for i := range s.six {
		most = max(most, densest(&s.six[i], &s.sets, 128-bits6))
	}
	return most
}

// densest is Densest for a plane and networks of 2^host addresses.
func densest[K key[K]](p *plane[K], sets *portSets, host int) (most uint64) {
	var end K // of the network at hand
	var sum uint64
	for j, lo := range p.lo {
		ports, last := sets.size(p.ports[j]), p.last(sets, j)
		if host == 0 {
			most = max(most, ports)
			continue
		}
		for {
			if sum == 0 || lo.block(host) != end {
				sum, end = 0, lo.block(host)
			}
			upTo := end
			if last.compare(end) < 0 {
				upTo = last
			}
			sum += lo.upTo(upTo) * ports
			most = max(most, sum)
			if upTo == last {
				break
			}
			lo = upTo.next()
		}
	}
	return most
}
