//go:build linux && !android

package wiretest

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Open answers each SYN with a SYN-ACK.
func Open(pkt []byte) []Packet {
	s, ok := Parse(pkt)
	if !ok || !s.SYN {
		return nil
	}
	return one(s.SYNACK())
}

// Closed answers each SYN with a RST.
func Closed(pkt []byte) []Packet {
	s, ok := Parse(pkt)
	if !ok || !s.SYN {
		return nil
	}
	return one(s.Refusal())
}

// Silent answers nothing.
func Silent([]byte) []Packet { return nil }

// SYNACK returns the segment that accepts a SYN.
func (s Segment) SYNACK() Segment {
	return Segment{From: s.To, To: s.From, Seq: 1000, Ack: s.Seq + 1, SYN: true, ACK: true, Window: 64240, MSS: 1460}
}

// Refusal returns the segment that refuses a SYN.
func (s Segment) Refusal() Segment {
	return Segment{From: s.To, To: s.From, Ack: s.Seq + 1, RST: true, ACK: true}
}

func one(s Segment) []Packet { return []Packet{{Data: s.Bytes()}} }

// ByPort asks the host that has the SYN's destination port, or other.
func ByPort(hosts map[uint16]Host, other Host) Host {
	return func(pkt []byte) []Packet {
		s, _ := Parse(pkt)
		if h := hosts[s.To.Port()]; h != nil {
			return h(pkt)
		}
		return other(pkt)
	}
}

// Delay has answers arrive after d.
func Delay(d time.Duration, h Host) Host {
	return func(pkt []byte) []Packet {
		answers := h(pkt)
		for i := range answers {
			answers[i].After += d
		}
		return answers
	}
}

// Lose loses a fraction of the packets, each way, by a seeded choice that is each target's own: what is lost does not depend on
// how targets take turns.
func Lose(fraction float64, seed uint64, h Host) Host {
	var mu sync.Mutex
	choices := map[netip.AddrPort]*rand.Rand{}
	lose := func(target netip.AddrPort) bool {
		mu.Lock()
		defer mu.Unlock()
		if choices[target] == nil {
			hash := fnv.New64()
			fmt.Fprint(hash, target)
			choices[target] = rand.New(rand.NewPCG(seed, hash.Sum64()))
		}
		return choices[target].Float64() < fraction
	}
	return func(pkt []byte) (kept []Packet) {
		s, _ := Parse(pkt)
		if lose(s.To) {
			return nil
		}
		for _, p := range h(pkt) {
			if !lose(s.To) {
				kept = append(kept, p)
			}
		}
		return kept
	}
}

// LoseFirst loses the first n packets on the way to the host.
func LoseFirst(n int, h Host) Host {
	return func(pkt []byte) []Packet {
		if n > 0 {
			n--
			return nil
		}
		return h(pkt)
	}
}

// Duplicate has each answer arrive n more times, gap apart.
func Duplicate(n int, gap time.Duration, h Host) Host {
	return func(pkt []byte) (all []Packet) {
		for _, p := range h(pkt) {
			for i := range n + 1 {
				all = append(all, Packet{Data: p.Data, After: p.After + time.Duration(i)*gap})
			}
		}
		return all
	}
}

// Reorder holds back every second answer by d, so that later ones overtake it.
func Reorder(d time.Duration, h Host) Host {
	n := 0
	return func(pkt []byte) []Packet {
		answers := h(pkt)
		for i := range answers {
			if n++; n%2 == 0 {
				answers[i].After += d
			}
		}
		return answers
	}
}

// Corrupt flips a bit of each answer, anywhere behind the IP header's addresses, so that its checksum is wrong.
func Corrupt(seed uint64, h Host) Host {
	rnd := rand.New(rand.NewPCG(seed, seed))
	return func(pkt []byte) []Packet {
		answers := h(pkt)
		for i := range answers {
			data := answers[i].Data
			at := 20 + rnd.IntN(len(data)-20)
			data[at] ^= 1 << rnd.IntN(8)
		}
		return answers
	}
}
