//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// forgery is an answer that is not ours to believe.
type forgery struct {
	name string
	make func(syn lab.Packet) lab.Forged
}

// beside is an address of the target's subnet, and one of the prober's, that neither uses for probing.
func beside(a netip.Addr) netip.Addr {
	b := a.AsSlice()
	b[len(b)-1] += 200
	other, _ := netip.AddrFromSlice(b)
	return other
}

// segment changes the right answer with these flags.
func segment(name, flags string, change func(*lab.Segment)) forgery {
	return forgery{name, func(syn lab.Packet) lab.Forged {
		s := syn.Reply(flags)
		change(&s)
		return s
	}}
}

// segments are the forgeries that a SYN-ACK and a RST have in common.
func segments(kind, flags string) []forgery {
	var list []forgery
	add := func(name string, change func(*lab.Segment)) {
		list = append(list, segment(kind+" "+name, flags, change))
	}
	add("with ack ISN+2", func(s *lab.Segment) { s.Ack++ })
	add("with ack ISN-1", func(s *lab.Segment) { s.Ack -= 2 })
	add("with a bit of ack wrong", func(s *lab.Segment) { s.Ack ^= 1 << 31 })
	add("with ack 0", func(s *lab.Segment) { s.Ack = 0 })
	add("from another address", func(s *lab.Segment) { s.Src = at(beside(s.Src.Addr()), s.Src.Port()) })
	add("from another port", func(s *lab.Segment) { s.Src = at(s.Src.Addr(), s.Src.Port()+1000) })
	add("to another port", func(s *lab.Segment) { s.Dst = at(s.Dst.Addr(), s.Dst.Port()^1) })
	add("to another address", func(s *lab.Segment) { s.Dst = at(beside(s.Dst.Addr()), s.Dst.Port()) })
	add("with a wrong checksum", func(s *lab.Segment) { s.Corrupt = true })
	return list
}

// quoting makes an ICMP error about a SYN that differs from ours.
func quoting(name string, change func(*lab.Segment)) forgery {
	return forgery{"ICMP quoting " + name, func(syn lab.Packet) lab.Forged {
		s := lab.Segment{Src: syn.Src, Dst: syn.Dst, Seq: syn.TCP.Seq, Flags: "S"}
		change(&s)
		return portUnreachable(syn, s.Bytes())
	}}
}

// portUnreachable is the error of the target's host.
func portUnreachable(syn lab.Packet, quote []byte) lab.ICMPError {
	e := syn.Error(syn.Dst.Addr(), 3, 3)
	if syn.Dst.Addr().Is6() {
		e.Type, e.Code = 1, 4
	}
	e.Quote = quote
	return e
}

var forgeries = slices.Concat(
	segments("SYN-ACK", "S."),
	[]forgery{segment("SYN-ACK with ack ISN", "S.", func(s *lab.Segment) { s.Ack-- })}, // for a RST that would do
	segments("RST", "R."),
	[]forgery{
		segment("RST without ACK", "R", func(s *lab.Segment) { s.Seq, s.Ack = 0, 0 }),
		segment("RST without the ACK flag", "R", func(*lab.Segment) {}),
		segment("FIN-ACK", "F.", func(*lab.Segment) {}),
		segment("data", "P.", func(s *lab.Segment) { s.Payload = []byte("hello") }),
		segment("no flags", "", func(*lab.Segment) {}),
		quoting("another sequence number", func(s *lab.Segment) { s.Seq++ }),
		quoting("another source port", func(s *lab.Segment) { s.Src = at(s.Src.Addr(), s.Src.Port()^1) }),
		quoting("another target port", func(s *lab.Segment) { s.Dst = at(s.Dst.Addr(), s.Dst.Port()+1000) }),
		quoting("another target", func(s *lab.Segment) { s.Dst = at(beside(s.Dst.Addr()), s.Dst.Port()) }),
		quoting("another source", func(s *lab.Segment) { s.Src = at(beside(s.Src.Addr()), s.Src.Port()) }),
		{"ICMP quoting too little", func(syn lab.Packet) lab.Forged {
			return portUnreachable(syn, syn.Data[:len(syn.Data)-int(syn.TCP.DataOffset)*4+6])
		}},
		{"ICMP quoting UDP", func(syn lab.Packet) lab.Forged {
			quote, protocol := slices.Clone(syn.Data), 9
			if syn.Dst.Addr().Is6() {
				protocol = 6
			}
			quote[protocol] = 17
			return portUnreachable(syn, quote)
		}},
		{"ICMP quoting nothing", func(syn lab.Packet) lab.Forged { return portUnreachable(syn, nil) }},
	},
)

// TestLabForged answers each SYN at once with a forgery, and on half of the ports later with the truth, which says the
// opposite: no forgery changes a verdict.
func TestLabForged(t *testing.T) {
	const firstPort, truth = 1000, 60 * time.Millisecond
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		for _, a := range []netip.Addr{prober.V4, prober.V6} { // so that nothing is dropped for its destination alone
			prober.AddAddress(t, "eth0", netip.PrefixFrom(beside(a), a.BitLen()))
		}
		peer.Script(t, func(p lab.Packet) []lab.Answer {
			if !isSYN(p) {
				return nil
			}
			i := int(p.Dst.Port() - firstPort)
			f := forgeries[i/2]
			answers := lab.Now(f.make(p))
			switch {
			case i%2 == 0:
			case f.claimsOpen():
				answers = append(answers, lab.After(truth, p.PeerRST())...)
			default:
				answers = append(answers, lab.After(truth, p.SYNACK())...)
			}
			return answers
		})
		families(t, func(t *testing.T, v6 bool) {
			p := newProber(t, rawshake.Config{Timeout: 300 * time.Millisecond, Attempts: 1})
			var targets []netip.AddrPort
			for i := range 2 * len(forgeries) {
				targets = append(targets, at(peer.Addr(v6), uint16(firstPort+i)))
			}
			results := probeAll(t, p, targets...)
			for i, f := range forgeries {
				t.Run(f.name, func(t *testing.T) {
					want(t, results[targets[2*i]], rawshake.Filtered, match.Timeout)
					r := results[targets[2*i+1]]
					if f.claimsOpen() {
						want(t, r, rawshake.Closed, match.RST)
					} else {
						want(t, r, rawshake.Open, match.SYNACK)
					}
					if r.RTT < truth/2 && r.RTT != 0 { // 0: a forgery had the prober ask once more, and the RTT cannot be told
						t.Errorf("RTT %v, the truth took %v", r.RTT, truth)
					}
				})
			}
			if s := settled(t, p); s.Answers != uint64(len(forgeries)) || s.Ignored == 0 {
				t.Errorf("%d answers to %d probes: %+v", s.Answers, len(targets), s)
			}
		})
	})
}

func (f forgery) claimsOpen() bool { return len(f.name) > 3 && f.name[:3] == "SYN" }
