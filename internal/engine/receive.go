//go:build linux && !android

package engine

import (
	"net/netip"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
)

// arrive deals with a packet that passed the receive filter.
func (s *Shard) arrive(a *Arrival) {
	s.counters.Received++
	r := &s.reply
	if craft.Decode(a.Data, a.Verify, r) != nil || s.index[r.LocalPort] == 0 {
		s.counters.Ignored++
		return
	}
	if s.cfg.Trace != nil && !a.Translated {
		s.cfg.Trace(time.Unix(0, a.Time), false, a.Data)
	}
	if r.Remote.Is4() {
		s.v4.reply(r, a)
	} else {
		s.v6.reply(r, a)
	}
}

// reply finds the probe that a reply belongs to.
func (f *family[A]) reply(r *craft.Reply, a *Arrival) {
	port := int(f.index[r.LocalPort]) - 1
	id, attempt, m := f.find(r, port)
	switch m {
	case match.Pending:
		f.answered(id, attempt, r, a)
	case match.Late:
		f.late(id, r, a)
	case match.Elsewhere:
		f.elsewhere(id, r, a)
	default:
		f.counters.Ignored++
		if r.Kind == craft.ACK && !a.Translated {
			f.stale(r, port)
		}
	}
}

// find takes the best of the ISNs that a reply may be about: in a large table a wrong one may look like ours by chance.
func (f *family[A]) find(r *craft.Reply, port int) (id match.ID, attempt int, best match.Match) {
	isns, n := match.Claims(r)
	for _, isn := range isns[:n] {
		i, k, m := f.table.Find(isn, port, r.Remote, r.RemotePort)
		if m == match.Pending && r.Local != f.paths[f.table.Slot(i).Path()].Source {
			m = match.Elsewhere
		}
		if m > best {
			id, attempt, best = i, k, m
		}
	}
	return id, attempt, best
}

// answered settles the probe, and only then resets what its SYN opened.
func (f *family[A]) answered(id match.ID, attempt int, r *craft.Reply, a *Arrival) {
	s := f.table.Slot(id)
	path := f.paths[s.Path()]
	v := &f.verdict
	*v = Verdict{Attempt: attempt, Time: a.Time, Source: netip.AddrPortFrom(path.Source, r.LocalPort)}
	v.State, v.Reason = match.Verdict(r)
	v.RTT = s.RTT(time.Duration(a.Time-f.wall), attempt, &f.cfg.Plan)
	v.untold = v.RTT == 0 && attempt < s.Attempt() || s.Is(match.FlagVague)
	v.Errno = errnoOf(r)
	v.evidence(r)
	f.local(v, path, r)
	if v.Reason == match.GatewayDown && f.lost(f.target(s).Addr(), 0) {
		return // it goes on when the gateway does
	}
	if r.Kind != craft.ICMP { // of which our own kernel makes some
		path.Heard = a.Time
	}
	f.counters.Answers++
	target := netip.AddrPortFrom(r.Remote, r.RemotePort)
	if !f.cfg.Once {
		f.ledger.Heard(target, f.tickNow())
	}
	f.settle(id, s, v)
	if r.Kind == craft.SYNACK {
		f.reset(path, target, r.LocalPort, r.Ack)
	}
}

// local corrects the verdict on an ICMP error that our own kernel made: it says that the next hop is dead
// (ipv4_link_failure in net/ipv4/route.c), which is the target or not.
func (f *family[A]) local(v *Verdict, path *outlet, r *craft.Reply) {
	if v.Reason != match.HostUnreachable || r.Responder != r.Local || r.Remote == r.Local {
		return
	}
	v.silence() // nobody answered
	if path.OnLink {
		v.Reason = match.NoNeighbour
	} else {
		v.State, v.Reason = match.Unsent, match.GatewayDown
	}
}

// late deals with an answer to a probe that has its verdict. A SYN-ACK that comes again means that our RST was lost, or that
// it came after the timeout: the half-open connection is reset now.
func (f *family[A]) late(id match.ID, r *craft.Reply, a *Arrival) {
	if a.Translated {
		return // the ring showed it too
	}
	f.counters.Duplicates++
	if r.Kind != craft.SYNACK {
		return
	}
	if path := f.paths[f.table.Slot(id).Path()]; path.Source == r.Local {
		f.reset(path, netip.AddrPortFrom(r.Remote, r.RemotePort), r.LocalPort, r.Ack)
	}
}

// elsewhere deals with a valid ISN from another address than was asked: local address translation, perhaps. The wire is asked
// to show replies as sockets see them, and every probe whose SYN left before that asks again, its half-open connection reset.
func (f *family[A]) elsewhere(id match.ID, r *craft.Reply, a *Arrival) {
	f.counters.Ignored++
	first := !f.translated
	if a.Translated || first && f.wire.Confirm() != nil {
		return
	}
	if first {
		f.translated, f.confirmedAt = true, time.Since(f.epoch)
	}
	s := f.table.Slot(id)
	if !first && f.at-s.Since(f.at) >= f.confirmedAt {
		return
	}
	if r.Kind == craft.SYNACK {
		f.reset(f.paths[s.Path()], netip.AddrPortFrom(s.Addr(), s.Port), r.LocalPort, r.Ack)
	}
	f.again(id)
}

// again has the next attempt of a pending probe leave now.
func (f *family[A]) again(id match.ID) {
	s := f.table.Slot(id)
	if s.Attempt() < match.MaxAttempts {
		f.enqueue(id, s)
	}
}

// stale deals with a bare ACK: the target holds a half-open connection of our four-tuple from before, and answers for that
// one (RFC 9293 §3.10.7.4; tcp_check_req in net/ipv4/tcp_minisocks.c). It is reset, and the probe asks again from another
// port.
func (f *family[A]) stale(r *craft.Reply, port int) {
	target := netip.AddrPortFrom(r.Remote, r.RemotePort)
	if !f.cfg.Once && !f.ledger.Taken(target, port) || f.table.Cap() > searchLimit || f.at < f.searchAt {
		return
	}
	f.searchAt = f.at + time.Duration(f.table.Cap())*searchPause
	id, ok := f.table.Search(target, port)
	if !ok || f.table.Slot(id).Is(match.FlagStale) {
		return
	}
	s := f.table.Slot(id)
	path := f.paths[s.Path()]
	if r.Local != path.Source {
		return
	}
	s.Set(match.FlagStale)
	f.reset(path, target, r.LocalPort, r.Ack)
	f.again(id)
}

// A search costs about a nanosecond for each slot. Who floods us with bare ACKs must not have us do nothing else: after a search
// there is none for a hundred times as long, and in a large table none at all. The probe that a bare ACK is about then waits for
// its next attempt, which leaves from another port anyway.
const (
	searchLimit = 1 << 18 // slots
	searchPause = 100 * time.Nanosecond
)
