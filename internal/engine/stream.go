//go:build linux && !android

package engine

import (
	"context"
	"iter"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/match"
)

// Stream is a sequence of targets on its way through a Front. Desks take its targets as their turns come: what waits for the rate, or
// for anything else that we are short of, waits outside, and the sequence with it.
type Stream struct {
	front   *Front
	user    uint32
	timeout time.Duration
	targets chan netip.AddrPort // that no desk has taken yet

	mu       sync.Mutex
	out      []Verdict // settled, not taken
	inFlight int
	fed      bool
	cut      bool // before the end of the sequence
	stopped  bool
	limit    int
	changed  chan struct{} // cap 1: out, inFlight or fed changed; for the consumer
	room     chan struct{} // cap 1: there is room; for the feeder
}

// heldAtMost is how many targets of streams wait at a desk to be sent, until it takes no more. Callers come right behind them, so
// there should be few.
const heldAtMost = 8

// All yields a verdict for each target in order of completion, with at most limit on their way. See rawshake.ProbeAll for the
// contract.
func (f *Front) All(ctx context.Context, targets iter.Seq[netip.AddrPort], timeout time.Duration, limit int) iter.Seq2[*Verdict, error] {
	return func(yield func(*Verdict, error) bool) {
		s, err := f.open(timeout, limit)
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancelCause(ctx)
		var feeder sync.WaitGroup
		feeder.Go(func() { s.feed(ctx, targets) })
		defer func() {
			cancel(context.Canceled)
			s.stop()
			feeder.Wait()
			s.close()
		}()
		s.drain(ctx, yield)
	}
}

func (f *Front) open(timeout time.Duration, limit int) (*Stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed.Load() {
		return nil, net.ErrClosed
	}
	s := &Stream{
		front: f, timeout: timeout, targets: make(chan netip.AddrPort, 2*BatchSize),
		limit: limit, changed: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
	all := slices.Clone(*f.streams.Load())
	n := slices.Index(all, nil)
	if n < 0 {
		n, all = len(all), append(all, nil)
	}
	s.user, all[n] = Patient|uint32(n), s
	f.streams.Store(&all)
	for _, d := range f.desks {
		d.parked.Add(1)
		d.watch()
	}
	return s, nil
}

// stream returns the stream of a user; nil if it is over.
func (f *Front) stream(user uint32) *Stream { return (*f.streams.Load())[user&^Patient] }

// feed hands targets over as long as there is room, each at once: the next may depend on its verdict.
func (s *Stream) feed(ctx context.Context, targets iter.Seq[netip.AddrPort]) {
	whole := false
	defer func() { s.finish(whole) }()
	var d *desk
	n := 0
	for t := range targets {
		if n%BatchSize == 0 {
			d = s.front.anyDesk()
		}
		n++
		if !s.reserve(ctx) || !s.hand(ctx, t, d) {
			return
		}
		if s.front.closed.Load() {
			d.reject()
			return
		}
	}
	whole = true
}

// hand gives a target to whichever desk takes it first; d is told.
func (s *Stream) hand(ctx context.Context, t netip.AddrPort, d *desk) bool {
	select {
	case s.targets <- t:
		d.wire.Wake()
		return true
	default: // it takes more than one
	}
	for _, d := range s.front.desks {
		d.wire.Wake()
	}
	select {
	case s.targets <- t:
		d.wire.Wake()
		return true
	case <-ctx.Done():
		s.forget(1)
		return false
	}
}

// fed reports whether there is a target of a stream that the desk could take now; the pump is held.
func (d *desk) fed() bool {
	if d.shard.Held() < heldAtMost {
		for _, s := range *d.front.streams.Load() {
			if s != nil && len(s.targets) > 0 {
				return true
			}
		}
	}
	return false
}

// takeTarget gives a target of a stream to the shard, of another stream each time; the pump is held.
func (d *desk) takeTarget() {
	if d.shard.Room() == 0 || d.shard.Held() >= heldAtMost {
		return
	}
	all := *d.front.streams.Load()
	for range all {
		d.turn++
		s := all[d.turn%len(all)]
		if s == nil {
			continue
		}
		select {
		case t := <-s.targets:
			d.shard.Submit(t, s.user, d.shard.at, s.timeout, false)
			return
		default:
		}
	}
}

// refuseTargets answers the targets that no desk took before close; the pump is held.
func (d *desk) refuseTargets() {
	for _, s := range *d.front.streams.Load() {
		if s == nil {
			continue
		}
		for len(s.targets) > 0 {
			select {
			case t := <-s.targets:
				d.shard.refuse(t, s.user, match.Unsent, match.Stopped, syscall.ECANCELED)
			default: // another desk was faster
			}
		}
	}
}

// reserve waits for room for one more target; false when the stream is over.
func (s *Stream) reserve(ctx context.Context) bool {
	for ctx.Err() == nil {
		s.mu.Lock()
		ok := s.inFlight+len(s.out) < s.limit
		if ok {
			s.inFlight++
		}
		s.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-s.room:
		case <-ctx.Done():
		}
	}
	return false
}

// finish notes that no more targets come.
func (s *Stream) finish(whole bool) {
	s.mu.Lock()
	s.fed, s.cut = true, !whole
	s.mu.Unlock()
	signal(s.changed)
}

// signal puts the one token into a channel.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// keepAtMost is how large a buffer of verdicts is kept for the next ones.
const keepAtMost = 1 << 14

// deliver takes a verdict; the pump is held.
func (s *Stream) deliver(v *Verdict) {
	s.mu.Lock()
	s.inFlight--
	if !s.stopped {
		s.out = append(s.out, *v)
	}
	first := len(s.out) == 1 || s.stopped
	s.mu.Unlock()
	if first {
		signal(s.changed)
	}
}

// drain yields what is settled until everything is.
func (s *Stream) drain(ctx context.Context, yield func(*Verdict, error) bool) {
	var batch []Verdict
	for {
		s.mu.Lock()
		batch, s.out = s.out, batch[:0]
		over := (s.fed || s.front.closed.Load()) && s.inFlight == 0 && len(batch) == 0
		cut := s.cut
		s.mu.Unlock()
		signal(s.room)
		for i := range batch {
			if ctx.Err() != nil {
				yield(nil, context.Cause(ctx))
				return
			}
			if !yield(&batch[i], nil) {
				return
			}
		}
		if over {
			switch {
			case s.front.closed.Load():
				yield(nil, net.ErrClosed)
			case cut: // by ctx, which we have not met here yet
				yield(nil, context.Cause(ctx))
			}
			return
		}
		if len(batch) > 0 {
			if cap(batch) > keepAtMost {
				batch = nil
			}
			continue
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			yield(nil, context.Cause(ctx))
			return
		}
	}
}

// stop has verdicts thrown away from now on.
func (s *Stream) stop() {
	s.mu.Lock()
	s.stopped = true
	s.out = nil
	s.mu.Unlock()
}

// close cancels what is pending and waits until it is gone, and until the counters have all of it.
func (s *Stream) close() {
	for len(s.targets) > 0 {
		select {
		case <-s.targets:
			s.forget(1)
		default: // a desk was faster
		}
	}
	f := s.front
	for _, d := range f.desks {
		d.post(request{user: s.user, cancel: true})
	}
	for s.pending() {
		<-s.changed
	}
	for _, d := range f.desks {
		d.pump.Lock()
		d.shard.publish()
		d.pump.Unlock()
	}
	f.mu.Lock()
	all := slices.Clone(*f.streams.Load())
	all[s.user&^Patient] = nil
	f.streams.Store(&all)
	f.mu.Unlock()
	for _, d := range f.desks {
		d.parked.Add(-1)
	}
}

func (s *Stream) pending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inFlight > 0
}

// cancelStream ends a desk's pending probes of a stream; the pump is held.
func (d *desk) cancelStream(user uint32) {
	n := d.shard.cancelAll(user)
	d.shard.publish()
	if s := d.front.stream(user); s != nil {
		s.forget(n)
	}
}

// forget takes n targets off the count of those on their way.
func (s *Stream) forget(n int) {
	s.mu.Lock()
	s.inFlight -= n
	s.mu.Unlock()
	signal(s.changed)
}
