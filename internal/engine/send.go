//go:build linux && !android

package engine

import (
	"net/netip"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
)

// batch is what waits to go out by one sender.
type batch struct {
	sender Sender
	places [BatchSize]place
	n      int
}

// place says what a place of a batch holds.
type place struct {
	id     match.ID
	length uint8
	last   uint8 // index of the source port of the attempt before
	six    bool
	reset  bool // a RST, which belongs to no probe any more
}

// launch sends attempts whose turn it is, as many as the pace allows, and no more than leave time for what they draw. Later attempts
// go before first ones: at a low rate, they would not leave in time otherwise, and one lost SYN would read as silence.
func (f *family[A]) launch() int {
	n := f.launchFrom(&f.later, sendAtOnce)
	return n + f.launchFrom(&f.first, sendAtOnce-n)
}

func (f *family[A]) launchFrom(q *queue[match.ID], most int) (n int) {
	for q.len() > 0 && n < most {
		id := *q.at(0)
		s := f.table.Slot(id)
		if s.Live() && s.Is(match.FlagQueued) {
			if !f.pay() {
				return n
			}
			s.Clear(match.FlagQueued)
			q.pop()
			f.attempt(id, s)
			n++
		} else {
			q.pop() // it ended meanwhile
		}
	}
	return n
}

// pay asks the pacer for one packet.
func (s *Shard) pay() bool {
	if s.cfg.Pacer == nil {
		return true
	}
	n, wait := s.cfg.Pacer.Take(s.at, 1)
	s.paceWait = wait
	return n > 0
}

// unpay gives the pacer back what was paid for a packet that does not go now, unless it is owed for another one.
func (s *Shard) unpay() {
	switch {
	case s.cfg.Pacer == nil:
	case s.owed > 0:
		s.owed--
	default:
		s.cfg.Pacer.Charge(s.at, -1)
	}
}

// attempt puts the next SYN of a probe, which is paid for, into its batch, or has it wait when it cannot go now.
func (f *family[A]) attempt(id match.ID, s *match.Slot[A]) {
	path := f.paths[s.Path()]
	target := netip.AddrPortFrom(s.Addr(), s.Port)
	port, ok := f.clear(id, s, path, target)
	if !ok {
		f.unpay()
		return
	}
	n := 0
	if s.Is(match.FlagSent) {
		n = s.Attempt() + 1
		if f.cfg.Again != nil {
			f.cfg.Again(f.at, target.Addr())
		}
	} else {
		f.unpark(id, s)
		f.holding(s, -1)
	}
	b := f.room(path.Sender)
	frame := b.sender.Frame(b.n)[craft.Headroom:]
	length := path.syn.Put(frame, target.Addr(), f.cfg.Ports[port], target.Port(), f.table.ISN(id, n, port), uint32(f.at/time.Millisecond)+1)
	f.add(b, place{id: id, length: uint8(length), last: uint8(s.PortIndex()), six: f.six}, target.Addr(), path)
	s.SetPortIndex(port)
}

// clear finds a source port for an attempt. If there is none, or nothing can be sent that way now, the probe tries again later;
// if its time is over, or the kernel has given up the next hop since the last attempt, it ends.
func (f *family[A]) clear(id match.ID, s *match.Slot[A], path *outlet, target netip.AddrPort) (int, bool) {
	if f.over(s) || s.Is(match.FlagSent) && f.health(path, target.Addr()) == hopFailed {
		f.conclude(id, s)
		return 0, false
	}
	port, patience := f.pickPort(s, target)
	if patience > 0 {
		f.await(id, s, patience)
		return 0, false
	}
	if path.Asks {
		return port, f.inquire(id, s, path, port)
	}
	if !f.unresolved.admit(f.Shard, path, target.Addr(), Ticket{id, f.six}, f.crowded(crowdedEvery)) {
		why := match.Unresolved
		if f.crowded(crowdedFor) {
			why = match.NoBuffers
		}
		f.postpone(id, s, port, why, 10)
		return 0, false
	}
	return port, true
}

// postpone has an attempt that cannot go now try again some ticks later.
func (f *family[A]) postpone(id match.ID, s *match.Slot[A], port int, why match.Reason, ticks uint32) {
	last := s.PortIndex()
	s.SetPortIndex(port)
	f.dropPort(s)
	s.SetPortIndex(last) // where the last attempt left from, if there was one
	f.hold(s, why)
	f.wake(id, s, f.tickNow()+ticks)
}

// await has a probe wait for a source port, in the order of arrival, until it may share one.
func (f *family[A]) await(id match.ID, s *match.Slot[A], patience time.Duration) {
	f.hold(s, match.NoSource)
	s.Set(match.FlagQueued)
	f.waiting.push(id)
	f.wake(id, s, tickAt(f.at+patience))
}

// wake has a probe look again at a tick, and no later than its time is over.
func (f *family[A]) wake(id match.ID, s *match.Slot[A], tick uint32) {
	if int32(tick-s.Final) > 0 {
		tick = s.Final
	}
	f.table.Arm(id, tick)
}

// reset sends a RST from a source port of ours to a target, if the scope lets it.
func (f *family[A]) reset(path *outlet, target netip.AddrPort, port uint16, seq uint32) {
	if f.cfg.Allow != nil && !f.cfg.Allow(target.Addr()) {
		return
	}
	if path.Asks && f.look(hop{path.Path, target.Addr()}) != NeighbourKnown {
		return // the peer repeats its SYN-ACK
	}
	b := f.room(path.Sender)
	length := path.rst.Put(b.sender.Frame(b.n)[craft.Headroom:], target.Addr(), port, target.Port(), seq, 0)
	f.add(b, place{length: uint8(length), six: f.six, reset: true}, target.Addr(), path)
	f.owed++
}

// room returns the sender's batch with a place free.
func (s *Shard) room(sender int) *batch {
	for sender >= len(s.out) { // the wire opened one more
		s.out = append(s.out, batch{sender: s.wire.Senders()[len(s.out)]})
	}
	b := &s.out[sender]
	if b.n == BatchSize {
		s.flushBatch(b)
	}
	return b
}

func (s *Shard) add(b *batch, p place, dst netip.Addr, path *outlet) {
	b.sender.Set(b.n, int(p.length), dst, path.Path)
	b.places[b.n] = p
	b.n++
}

// Flush sends what waits in batches.
func (s *Shard) Flush() {
	for i := range s.out {
		if s.out[i].n > 0 {
			s.flushBatch(&s.out[i])
		}
	}
}

// flushBatch sends a batch and notes for each packet when it left: a batch goes out at an even pace, so the times are spread
// over the call.
func (s *Shard) flushBatch(b *batch) {
	n := b.n
	for from := 0; from < n; {
		start := time.Since(s.epoch)
		sent, err := b.sender.Send(from, n)
		end := time.Since(s.epoch)
		syns := s.counters.SYNSent
		s.spread(b, from, from+sent, start, end)
		if s.counters.SYNSent != syns {
			s.sent(start, end)
		}
		s.at = end
		if from += sent; sent > 0 {
			s.refusal.times = 0
		}
		if sent == 0 && err == nil {
			err = syscall.ENOBUFS // every place must come to something
		}
		if from < n && err != nil {
			s.refused(b, from, err)
			from++
		}
	}
	b.n = 0
}

// sent notes that SYNs have left between start and end.
func (s *Shard) sent(start, end time.Duration) {
	if s.firstSYN.Load() == 0 {
		s.firstSYN.Store(int64(start) + 1)
	}
	s.lastSYN.Store(int64(end) + 1)
}

// exact is how long sending may take for the times between to be worth telling: a machine that has more to do may stop us anywhere in
// it.
const exact = time.Millisecond

// spread tells places from up to to when they left, between start and end: a SYN took twice as long as a RST, because on a short
// way its answer is received meanwhile.
func (s *Shard) spread(b *batch, from, to int, start, end time.Duration) {
	const syn, rst = 2, 1
	var total, before time.Duration
	for i := from; i < to; i++ {
		total += syn
		if b.places[i].reset {
			total += rst - syn
		}
	}
	for i := from; i < to; i++ {
		s.left(b, i, start+(end-start)*before/total, end-start <= exact)
		before += syn
		if b.places[i].reset {
			before += rst - syn
		}
	}
}

// left notes that a packet is on the wire, since about a time or since exactly then.
func (s *Shard) left(b *batch, i int, at time.Duration, exactly bool) {
	p := b.places[i]
	if s.cfg.Trace != nil {
		s.cfg.Trace(s.epoch.Add(at), true, b.sender.Frame(i)[craft.Headroom:][:p.length])
	}
	switch {
	case p.reset:
		s.counters.RSTSent++
	case p.six:
		s.v6.left(p.id, at, exactly)
	default:
		s.v4.left(p.id, at, exactly)
	}
}

func (f *family[A]) left(id match.ID, at time.Duration, exactly bool) {
	f.counters.SYNSent++
	s := f.table.Slot(id)
	var late time.Duration
	switch {
	case !s.Is(match.FlagSent):
		s.Set(match.FlagSent)
		s.Final = tickAt(at) + f.timeout(s)
	default:
		if s.Is(match.FlagExtra | match.FlagDropped) { // the extra attempt itself
			s.Clear(match.FlagDropped)
			s.Final = tickAt(at + grace)
		} else if !s.Is(match.FlagExtra) && f.lostSince(at-s.Since(at)) {
			s.Set(match.FlagDropped)
		}
		n := s.Attempt()
		gap, _ := f.cfg.Plan.Gap(n)
		late = s.Since(at) - gap
		s.SetAttempt(n + 1)
	}
	if !exactly {
		s.Set(match.FlagVague)
	}
	s.SetSent(at, late)
	f.table.Arm(id, f.next(s))
}

// refused deals with a packet that the kernel would not send.
func (s *Shard) refused(b *batch, i int, err error) {
	s.counters.SendErrors++
	switch p := b.places[i]; {
	case p.reset: // the peer repeats its SYN-ACK, and then is reset
	case p.six:
		s.v6.refused(p.id, int(p.last), err)
	default:
		s.v4.refused(p.id, int(p.last), err)
	}
}

func (f *family[A]) refused(id match.ID, last int, err error) {
	s := f.table.Slot(id)
	later := func(why match.Reason, ticks uint32) {
		port := s.PortIndex()
		s.SetPortIndex(last)
		f.postpone(id, s, port, why, ticks)
	}
	path := f.paths[s.Path()]
	f.unresolved.forget(path, s.Addr(), Ticket{id, f.six})
	state, reason, errno := localError(err)
	up := f.wire.LinkUp(path.Path)
	first := !s.Is(match.FlagSent)
	if first {
		f.holding(s, 1)
	}
	switch {
	case f.crowdedOut(s, path, err):
		f.crowdedAt = f.at
		if !first {
			s.Set(match.FlagDropped) // as below
		}
		later(match.NoBuffers, 10)
		return
	case ofNetwork(errno) && f.lost(f.target(s).Addr(), errno):
		later(match.LinkDown, 1)
		return
	case reason == match.NoBuffers && up:
		f.noRoom(f.paths[s.Path()].Path)
		if !first {
			s.Set(match.FlagDropped) // it loses time by that, so it may have an extra attempt
		}
		fallthrough
	case reason == match.NoBuffers && !patient(s.User):
		later(reason, 1)
		return
	case reason == match.NoBuffers && f.lost(f.target(s).Addr(), errno):
		later(match.LinkDown, 1)
		return
	case reason == match.NoBuffers: // sending less does not help, and others would wait behind it
		reason, errno = match.LinkDown, syscall.ENETDOWN
	}
	if errno == syscall.ENETUNREACH && (!up || f.cfg.Once) { // the target of a scan had a route when it was submitted
		state, reason = match.Unsent, match.LinkDown
	}
	f.refusal = refusal{} // that was not for want of room
	f.settle(id, s, f.fresh(state, reason, errno))
}
