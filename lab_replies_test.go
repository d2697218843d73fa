//go:build linux && !android && !rawshake_connect

package rawshake_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/internal/lab"
	"github.com/rawshake/rawshake/match"
)

// answering has the peer answer each SYN to a port by a function, which is told how many came before it.
func answering(t *testing.T, peer *lab.Host, answer func(syn lab.Packet, n int) []lab.Answer) {
	seen := map[netip.AddrPort]int{}
	peer.Script(t, func(p lab.Packet) []lab.Answer {
		if !isSYN(p) {
			return nil
		}
		seen[p.Dst]++
		return answer(p, seen[p.Dst]-1)
	})
}

// TestLabReplies holds what becomes of answers that come twice, late, in the wrong order, or contradict each other: the first
// one settles the probe, a SYN-ACK that follows is reset, a RST is never answered.
func TestLabReplies(t *testing.T) {
	const late = 460 * time.Millisecond // after the timeout of quick
	cases := []struct {
		name       string
		answer     func(syn lab.Packet, n int) []lab.Answer
		state      rawshake.State
		reason     rawshake.Reason
		attempt    int
		rtt        time.Duration // at least, and less than 50 ms more
		duplicates uint64
		steps      []lab.Step
	}{
		{"SYN-ACK later", func(syn lab.Packet, n int) []lab.Answer {
			return once(n, lab.After(20*time.Millisecond, syn.SYNACK()))
		}, rawshake.Open, match.SYNACK, 0, 20 * time.Millisecond, 0, []lab.Step{lab.SYN(), lab.SYNACK(), lab.RST()}},

		{"SYN-ACK twice", func(syn lab.Packet, n int) []lab.Answer {
			return append(lab.Now(syn.SYNACK()), lab.After(20*time.Millisecond, syn.SYNACK())...)
		}, rawshake.Open, match.SYNACK, 0, 0, 1, []lab.Step{lab.SYN(), lab.SYNACK(), lab.RST(), lab.SYNACK(), lab.RST()}},

		{"RST twice", func(syn lab.Packet, n int) []lab.Answer {
			return append(lab.Now(syn.PeerRST()), lab.After(20*time.Millisecond, syn.PeerRST())...)
		}, rawshake.Closed, match.RST, 0, 0, 1, []lab.Step{lab.SYN(), lab.PeerRST(), lab.PeerRST()}},

		{"SYN-ACK, then RST", func(syn lab.Packet, n int) []lab.Answer {
			return append(lab.Now(syn.SYNACK()), lab.After(20*time.Millisecond, syn.PeerRST())...)
		}, rawshake.Open, match.SYNACK, 0, 0, 1, []lab.Step{lab.SYN(), lab.SYNACK(), lab.RST(), lab.PeerRST()}},

		{"RST, then SYN-ACK", func(syn lab.Packet, n int) []lab.Answer {
			return append(lab.Now(syn.PeerRST()), lab.After(20*time.Millisecond, syn.SYNACK())...)
		}, rawshake.Closed, match.RST, 0, 0, 1, []lab.Step{lab.SYN(), lab.PeerRST(), lab.SYNACK(), lab.RST()}},

		{"SYN-ACK after the timeout", func(syn lab.Packet, n int) []lab.Answer {
			return once(n, lab.After(late, syn.SYNACK()))
		}, rawshake.Filtered, match.Timeout, 2, 0, 1, []lab.Step{lab.SYN(), lab.SYN(), lab.SYN(), lab.SYNACK(), lab.RST()}},

		{"RST after the timeout", func(syn lab.Packet, n int) []lab.Answer {
			return once(n, lab.After(late, syn.PeerRST()))
		}, rawshake.Filtered, match.Timeout, 2, 0, 1, []lab.Step{lab.SYN(), lab.SYN(), lab.SYN(), lab.PeerRST()}},

		{"SYN-ACK to the first SYN after the second", func(syn lab.Packet, n int) []lab.Answer {
			return once(n, lab.After(150*time.Millisecond, syn.SYNACK()))
		}, rawshake.Open, match.SYNACK, 0, 150 * time.Millisecond, 0, []lab.Step{lab.SYN(), lab.SYN(), lab.SYNACK(), lab.RST()}},

		{"SYN-ACK to the second SYN before that to the first", func(syn lab.Packet, n int) []lab.Answer {
			return lab.After([]time.Duration{170 * time.Millisecond, 10 * time.Millisecond}[min(n, 1)], syn.SYNACK())
		}, rawshake.Open, match.SYNACK, 1, 10 * time.Millisecond, 1, []lab.Step{lab.SYN(), lab.SYN(), lab.SYNACK(), lab.RST(), lab.SYNACK(), lab.RST()}},

		{"RST with ack = ISN", func(syn lab.Packet, n int) []lab.Answer {
			rst := syn.PeerRST()
			rst.Ack--
			return lab.Now(rst)
		}, rawshake.Closed, match.RST, 0, 0, 0, []lab.Step{lab.SYN(), lab.Got("R.")}},

		{"split handshake, without an end", func(syn lab.Packet, n int) []lab.Answer {
			return lab.Now(split(syn))
		}, rawshake.Filtered, match.Timeout, 2, 0, 0, []lab.Step{lab.SYN(), lab.Got("S"), lab.SYN(), lab.Got("S"), lab.SYN(), lab.Got("S")}},

		{"split handshake, then SYN-ACK", func(syn lab.Packet, n int) []lab.Answer {
			return append(lab.Now(split(syn)), lab.After(20*time.Millisecond, syn.SYNACK())...)
		}, rawshake.Open, match.SYNACK, 0, 20 * time.Millisecond, 0, []lab.Step{lab.SYN(), lab.Got("S"), lab.SYNACK(), lab.RST()}},

		{"challenge ACK", func(syn lab.Packet, n int) []lab.Answer {
			if n > 0 {
				return lab.Now(syn.SYNACK())
			}
			return lab.Now(challenge(syn))
		}, rawshake.Open, match.SYNACK, 1, 0, 0, []lab.Step{lab.SYN(), lab.Got("."), lab.Sent("R"), lab.SYN(), lab.SYNACK(), lab.RST()}},

		{"challenge ACK to every SYN", func(syn lab.Packet, n int) []lab.Answer { // apart from the other: probes are not searched for all the time
			return lab.After(10*time.Millisecond, challenge(syn))
		}, rawshake.Filtered, match.Timeout, 2, 0, 0, []lab.Step{
			lab.SYN(), lab.Got("."), lab.Sent("R"), lab.SYN(), lab.Got("."), lab.SYN(), lab.Got("."),
		}},
	}
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		ttls(t, func(t *testing.T, ttl uint8) {
			families(t, func(t *testing.T, v6 bool) {
				answering(t, peer, func(syn lab.Packet, n int) []lab.Answer {
					return withTTL(ttl, cases[syn.Dst.Port()-1000].answer(syn, n))
				})
				var targets []netip.AddrPort
				var duplicates uint64
				for i, c := range cases {
					targets = append(targets, at(peer.Addr(v6), uint16(1000+i)))
					duplicates += c.duplicates
				}
				p, wire := newProber(t, quick), peer.Capture(t)
				results := probeAll(t, p, targets...)
				for i, c := range cases {
					t.Run(c.name, func(t *testing.T) {
						r := want(t, results[targets[i]], c.state, c.reason)
						told := r.RTT != 0 // on a busy machine it is not always known when an attempt left
						if r.Attempt != c.attempt || told && (r.RTT < c.rtt-time.Millisecond || r.RTT > c.rtt+50*time.Millisecond) {
							t.Errorf("attempt %d, RTT %v; want %d, %v", r.Attempt, r.RTT, c.attempt, c.rtt)
						}
						if r.State != rawshake.Filtered && r.Reply.TTL != ttl {
							t.Errorf("answered from TTL %d, want %d", r.Reply.TTL, ttl)
						}
						checkChallenges(t, wire.Expect(t, targets[i], c.steps...))
					})
				}
				wire.ExpectNothingElse(t)
				if s := settled(t, p); s.Open+s.Closed+s.Filtered != uint64(len(cases)) || s.Duplicates != duplicates {
					t.Errorf("%d targets, %d duplicates: %+v", len(cases), duplicates, s)
				}
			})
		})
	})
}

// withTTL gives answers a TTL or hop limit.
func withTTL(ttl uint8, answers []lab.Answer) []lab.Answer {
	for _, a := range answers {
		ip := a.Packet
		if ip[0]>>4 == 6 {
			ip[7] = ttl
			continue
		}
		sum := uint32(ip[10])<<8 + uint32(ip[11]) + uint32(ip[8])<<8 + (0xffff - uint32(ttl)<<8) // RFC 1624, equation 4
		for sum > 0xffff {
			sum = sum&0xffff + sum>>16
		}
		ip[8], ip[10], ip[11] = ttl, byte(sum>>8), byte(sum)
	}
	return answers
}

// once answers the first SYN alone.
func once(n int, answers []lab.Answer) []lab.Answer {
	if n > 0 {
		return nil
	}
	return answers
}

// split is the SYN with which some stacks answer a SYN (RFC 9293 §3.5, simultaneous open).
func split(syn lab.Packet) lab.Segment {
	s := syn.Reply("S")
	s.Ack = 0
	return s
}

// challenge is the bare ACK of a stack that knows a connection of this four-tuple from before (RFC 5961 §4.2).
func challenge(syn lab.Packet) lab.Segment {
	s := syn.Reply(".")
	s.Seq, s.Ack = 4711, syn.TCP.Seq-1_000_000
	return s
}

// checkChallenges holds that a RST which follows a bare ACK has its ack as sequence number: no other is in the window of the
// half-open connection that it is to end.
func checkChallenges(t *testing.T, packets []lab.Packet) {
	t.Helper()
	for i := 1; i < len(packets); i++ {
		if ack, rst := packets[i-1], packets[i]; ack.Flags() == "." && rst.Flags() == "R" && (rst.TCP.Seq != ack.TCP.Ack || rst.Src != ack.Dst) {
			t.Errorf("RST %s after ACK %s", rst, ack)
		}
	}
}

// TestLabRepeatedSYNACK loses our RST, so that the target's kernel repeats its SYN-ACK a second later: it is reset again.
func TestLabRepeatedSYNACK(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		listener := peer.Listen(t, 80)
		found := peer.Nft(t, "chain in { type filter hook input priority 0; tcp dport 80 tcp flags & rst == rst drop; }")
		wire := peer.Capture(t)
		p := newProber(t, rawshake.Config{})
		targets := []netip.AddrPort{at(peer.V4, 80), at(peer.V6, 80)}
		for _, r := range probeAll(t, p, targets...) {
			want(t, r, rawshake.Open, match.SYNACK)
		}
		found()
		for _, target := range targets {
			wire.Expect(t, target, lab.SYN(), lab.SYNACK(), lab.RST(), lab.SYNACK(), lab.RST())
		}
		if s := settled(t, p); s.Open != 2 || s.Duplicates != 2 {
			t.Errorf("%+v", s)
		}
		if n := listener.Accepted(); n != 0 {
			t.Errorf("accept returned %d times", n)
		}
	})
}

// TestLabStaleHalfOpen finds a half-open connection of its only four-tuple at the target's kernel, which a stranger has left
// there: it is reset, and the next SYN is answered at once.
func TestLabStaleHalfOpen(t *testing.T) {
	const ours = 40000
	top := lab.Topology{Links: []lab.Link{{A: "prober", B: "peer"}, {A: "stranger", B: "peer"}}}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		prober, peer := n.Prober(), n.Host("peer")
		stranger := n.Host("stranger").Script(t, func(lab.Packet) []lab.Answer { return nil })
		families(t, func(t *testing.T, v6 bool) {
			peer.Listen(t, 80)
			target := at(peer.Addr(v6), 80)
			p := newProber(t, rawshake.Config{SourcePorts: rawshake.PortRange{First: ours, Last: ours}})
			wire := peer.Capture(t)
			if err := stranger.Send(lab.Segment{Src: at(prober.Addr(v6), ours), Dst: target, Seq: 1, Flags: "S", Window: 1000}.Bytes()); err != nil {
				t.Fatal(err)
			}
			wire.Wait(t, time.Second, func(p []lab.Packet) bool { return len(p) > 0 })
			r := want(t, probe(t, p, target), rawshake.Open, match.SYNACK)
			if r.Attempt != 1 || r.RTT > 20*time.Millisecond {
				t.Errorf("attempt %d, RTT %v", r.Attempt, r.RTT)
			}
			checkChallenges(t, wire.Expect(t, target, lab.Got("S."), lab.SYN(), lab.Got("."), lab.Sent("R"), lab.SYN(), lab.SYNACK(), lab.RST()))
		})
	})
}

// TestLabTwoProbers has two Probers check one target at once: neither sees or disturbs what the other does.
func TestLabTwoProbers(t *testing.T) {
	const checks = 2000
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		families(t, func(t *testing.T, v6 bool) {
			listener := peer.Listen(t, 80)
			before := netstat(t, peer)
			target := at(peer.Addr(v6), 80)
			t.Run("at once", func(t *testing.T) {
				for _, name := range []string{"one", "other"} {
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						p := newProber(t, rawshake.Config{})
						states := crowd(t, p, target, checks, 50)
						if s := settled(t, p); states[rawshake.Open] != checks || s.SYNSent != checks || s.Ignored != 0 || s.Duplicates != 0 {
							t.Errorf("verdicts %v, %+v", states, s)
						}
					})
				}
			})
			if n := listener.Accepted(); n != 0 {
				t.Errorf("accept returned %d times", n)
			}
			if more := grown(before, netstat(t, peer)); more["InSegs"] != 4*checks || more["EmbryonicRsts"] != 2*checks {
				t.Errorf("the target counted %v, want %d SYNs, and as many RSTs that ended a half-open connection", more, 2*checks)
			}
		})
	})
}
