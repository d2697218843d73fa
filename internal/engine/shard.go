//go:build linux && !android

package engine

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
)

const (
	tick          = time.Millisecond // of the timers
	receiveAtOnce = 256              // packets handled before senders and timers have their turn again
	ringful       = 1 << 16          // packets that may have arrived while the owner was held up
	fireAtOnce    = 256              // timers handled before packets have their turn again
	sendAtOnce    = 256              // attempts sent before what they draw has its turn

	// portWait is how long a target must have been silent, while a probe waits for a source port that no other probe of the
	// target holds, until it shares one, where its timeout leaves that much time: the ports of a target that answers come
	// free, and against a silent one sharing does no harm. A second SYN on a four-tuple that the target knows would draw a
	// bare ACK or a false RST.
	portWait = time.Second

	// grace is how long the extra attempt after a loss of our own is waited for.
	grace = time.Second

	// longest is the longest timeout there is: ticks are told apart over 24 days.
	longest = 14 * 24 * time.Hour

	dropsEvery = 10 * time.Millisecond // how often the wire is asked for its drops
)

// Shard is an engine of one owner: see the package comment.
type Shard struct {
	cfg   Config
	wire  Wire
	sink  Sink
	epoch time.Time

	at       time.Duration // the current time, since epoch
	caughtUp uint32        // the tick up to which all that arrived was read: timers go no further
	wall     int64         // Unix time of epoch in ns, as the clock stands now

	v4     family[[4]byte]
	v6     family[[16]byte]
	out    []batch
	paths  []*outlet // by number
	vacant []int     // numbers that may be given to other paths
	ledger *match.Ledger
	rotor  int
	index  [1 << 16]uint8 // source port to its index + 1

	unresolved neighbours
	inquiries  inquiries
	outage     outage
	refusal    refusal
	waysAt     time.Duration // when the ways were last looked at
	drops      uint64
	dropsAt    time.Duration // when drops were last asked for
	lossAt     time.Duration // when they last had grown
	paceWait   time.Duration
	sixFirst   bool
	owed       int // resets and questions that the pacer was not charged for
	held       int // patient probes whose first attempt waits, but not for an inquiry

	translated  bool          // the wire shows replies also as sockets see them
	confirmedAt time.Duration // since then
	searchAt    time.Duration // until then, there is no search for what a bare ACK is about

	reply   craft.Reply
	verdict Verdict
	onReply func(*Arrival)

	counters Counters
	firstSYN atomic.Int64 // ns since epoch, and one; 0: none has left
	lastSYN  atomic.Int64 // likewise
	shown    [9]atomic.Uint64
	verdicts [match.NumStates]atomic.Uint64
	pending  atomic.Int64
}

// New makes a shard. The wire stays the caller's to close.
func New(cfg Config, wire Wire, sink Sink) (*Shard, error) {
	if len(cfg.Ports) == 0 || len(cfg.Ports) > match.MaxPorts {
		return nil, fmt.Errorf("%d source ports: want 1 to %d", len(cfg.Ports), match.MaxPorts)
	}
	if cfg.Limit <= 0 || cfg.Limit > match.MaxSlots {
		return nil, fmt.Errorf("%d probes in flight: want 1 to %d", cfg.Limit, match.MaxSlots)
	}
	s := &Shard{
		cfg: cfg, wire: wire, sink: sink, epoch: time.Now(),
		ledger:     match.NewLedger(len(cfg.Ports)),
		unresolved: neighbours{},
		lossAt:     -1, dropsAt: -dropsEvery, waysAt: -waysEvery,
		outage: outage{ended: -puzzled},
	}
	for i, p := range cfg.Ports {
		s.index[p] = uint8(i + 1)
	}
	for _, snd := range wire.Senders() {
		s.out = append(s.out, batch{sender: snd})
	}
	s.v4 = family[[4]byte]{Shard: s, table: match.NewTable[[4]byte](cfg.Limit), crowdedAt: -time.Hour}
	s.v6 = family[[16]byte]{Shard: s, table: match.NewTable[[16]byte](cfg.Limit), crowdedAt: -time.Hour, six: true}
	s.onReply = s.arrive
	s.drops = wire.Drops()
	s.Refresh()
	return s, nil
}

// Refresh reads the clock, which otherwise Step does.
func (s *Shard) Refresh() {
	now := time.Now()
	s.at = now.Sub(s.epoch)
	s.wall = now.UnixNano() - int64(s.at)
}

func (s *Shard) tickNow() uint32 { return uint32(s.at / tick) }

// tickAt returns the first tick not before t.
func tickAt(t time.Duration) uint32 { return uint32((t + tick - 1) / tick) }

// Len returns the number of pending probes.
func (s *Shard) Len() int { return s.v4.table.Len() + s.v6.table.Len() }

// Room returns how many more probes may be submitted.
func (s *Shard) Room() int { return s.cfg.Limit - s.Len() }

// Queued returns how many attempts wait for their turn to be sent.
func (s *Shard) Queued() int { return s.v4.queued() + s.v6.queued() }

// Held returns how many patient probes wait to be sent, for whatever reason but an inquiry.
func (s *Shard) Held() int { return s.held }

// Now returns the shard's clock as the last Step or Refresh read it.
func (s *Shard) Now() time.Duration { return s.at }

// Ticket names a pending probe, to cancel it.
type Ticket struct {
	id  match.ID
	six bool
}

// Patient is set in the number of a user whose probes wait for their turn as long as it takes, as targets of a sweep do.
const Patient = 1 << 31

// Submit begins a probe of which the target has the whole timeout, at most 14 days, to answer, from the first SYN on. Until that SYN
// can leave, a probe of a user that is not Patient waits for as long at most, from the time asked on the shard's clock: what we are
// short of must not read as silence. The verdict comes through the sink, perhaps before Submit returns; ok tells that it has not
// come yet. The caller sees to it that there is room. paid says that the pacer was asked for the first packet already.
func (s *Shard) Submit(target netip.AddrPort, user uint32, asked, timeout time.Duration, paid bool) (t Ticket, ok bool) {
	if target.Addr().Is4() {
		return s.v4.submit(target, user, asked, timeout, paid)
	}
	return s.v6.submit(target, user, asked, timeout, paid)
}

// Targets calls fn for the target of every pending probe.
func (s *Shard) Targets(fn func(netip.AddrPort)) {
	s.v4.targets(fn)
	s.v6.targets(fn)
}

// Cancel ends a probe without a verdict, if it still is the one of the given user.
func (s *Shard) Cancel(t Ticket, user uint32) {
	s.Flush() // no batch holds a SYN of a probe that is gone
	if t.six {
		s.v6.cancel(t.id, user)
	} else {
		s.v4.cancel(t.id, user)
	}
}

// Step moves everything on that can be moved now: timers, attempts whose turn it is, replies, resets. It reports whether
// there was anything to do, so that more may be.
func (s *Shard) Step() bool {
	busy := s.Move()
	s.Flush()
	s.publish() // the resets, too
	return busy
}

// Move is Step that leaves the resets of what was found open in the batch, for the next Move or Flush to send.
func (s *Shard) Move() bool {
	s.Refresh()
	s.paceWait = 0
	s.watchDrops()
	s.watchWays()
	n := 0
	if s.outage.what == nil {
		s.unresolved.review(s)
		s.reviewInquiries()
		n += s.catchUp()
		n += s.v4.fire() + s.v6.fire()
		n += s.launch()
	}
	s.Flush()
	n += s.wire.Receive(receiveAtOnce, s.onReply)
	s.settleUp()
	s.publish()
	return n > 0
}

// launch sends attempts whose turn it is. The families take turns to be first: where there is a rate, the other gets what is left.
func (s *Shard) launch() int {
	first, second := s.v4.launch, s.v6.launch
	if s.sixFirst {
		first, second = second, first
	}
	n := first()
	if n > 0 {
		s.sixFirst = !s.sixFirst
	}
	return n + second()
}

// catchUp reads all that has arrived, once in a tick, before timers of this tick may fire: an owner that was held up must not take
// its own lateness for the target's silence.
func (s *Shard) catchUp() (n int) {
	now := s.tickNow()
	if now == s.caughtUp {
		return 0
	}
	for range ringful / receiveAtOnce {
		got := s.wire.Receive(receiveAtOnce, s.onReply)
		if n += got; got < receiveAtOnce {
			break
		}
	}
	s.caughtUp = now
	return n
}

// settleUp charges the pacer for the resets and the questions, which do not ask it.
func (s *Shard) settleUp() {
	if s.owed > 0 && s.cfg.Pacer != nil {
		s.cfg.Pacer.Charge(s.at, s.owed)
	}
	s.owed = 0
}

// Idle returns how long nothing is due, if no packet arrives and nothing is submitted; negative for ever.
func (s *Shard) Idle() time.Duration {
	if s.outage.what != nil {
		return waysEvery
	}
	idle := time.Duration(-1)
	sooner := func(d time.Duration) {
		if d = max(d, 0); idle < 0 || d < idle {
			idle = d
		}
	}
	if t, ok := s.v4.table.NextTick(); ok {
		sooner(s.until(t))
	}
	if t, ok := s.v6.table.NextTick(); ok {
		sooner(s.until(t))
	}
	if s.Queued() > 0 {
		sooner(s.paceWait)
	}
	if s.inquiries.total > 0 {
		sooner(s.inquiries.due() - s.at)
	}
	if s.unresolved.total > 0 {
		sooner(s.unresolved.reviewed + reviewEvery - s.at)
	}
	return idle
}

// until returns the time until a tick. Ticks wrap around after 49 days.
func (s *Shard) until(t uint32) time.Duration {
	return time.Duration(int32(t-s.tickNow()))*tick - s.at%tick
}

// watchDrops asks the wire now and then what it lost.
func (s *Shard) watchDrops() {
	if s.at-s.dropsAt < dropsEvery {
		return
	}
	s.countDrops()
}

// countDrops asks the wire what it lost, once in a turn.
func (s *Shard) countDrops() {
	if s.dropsAt == s.at {
		return
	}
	s.dropsAt = s.at
	if d := s.wire.Drops(); d != s.drops {
		s.counters.RingDrops += d - s.drops
		s.drops, s.lossAt = d, s.at
		s.loss()
	}
}

// loss tells the owner that packets were lost on our side.
func (s *Shard) loss() {
	if s.cfg.OnLoss != nil {
		s.cfg.OnLoss(s.at)
	}
}

// lostSince reports whether packets were lost on our side after t.
func (s *Shard) lostSince(t time.Duration) bool { return s.lossAt >= 0 && s.lossAt >= t }

// Abort ends every pending probe as unsent with the given reason.
func (s *Shard) Abort(why match.Reason, errno syscall.Errno) {
	s.Refresh()
	s.Flush()
	s.v4.abort(why, errno)
	s.v6.abort(why, errno)
	s.publish()
}

// publish shows the counters to other goroutines.
func (s *Shard) publish() {
	c := &s.counters
	for i, n := range [...]uint64{c.SYNSent, c.RSTSent, c.Received, c.Answers, c.Duplicates, c.Ignored, c.RingDrops, c.SendErrors, c.Requeued} {
		if s.shown[i].Load() != n {
			s.shown[i].Store(n)
		}
	}
	for i, n := range c.Verdicts {
		if s.verdicts[i].Load() != n {
			s.verdicts[i].Store(n)
		}
	}
	if n := int64(s.Len()); s.pending.Load() != n {
		s.pending.Store(n)
	}
}

// Sending returns when the first SYN left and when the latest one did, both zero before the first. SYNs that leave together count
// from the beginning to the end of the system call. Any goroutine may call it.
func (s *Shard) Sending() (first, last time.Time) {
	from, to := s.firstSYN.Load(), s.lastSYN.Load()
	if from == 0 || to == 0 {
		return first, last
	}
	return s.epoch.Add(time.Duration(from - 1)), s.epoch.Add(time.Duration(to - 1))
}

// Count returns the counters as they are now. Only the owner may call it; others call Counters.
func (s *Shard) Count() Counters { return s.counters }

// Counters returns the counters as of the last Step, and the number of pending probes. It may be called by any goroutine.
func (s *Shard) Counters() (c Counters, pending int) {
	for i, p := range [...]*uint64{&c.SYNSent, &c.RSTSent, &c.Received, &c.Answers, &c.Duplicates, &c.Ignored, &c.RingDrops, &c.SendErrors, &c.Requeued} {
		*p = s.shown[i].Load()
	}
	for i := range c.Verdicts {
		c.Verdicts[i] = s.verdicts[i].Load()
	}
	return c, int(s.pending.Load())
}
