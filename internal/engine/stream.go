//go:build linux && !android

package engine

import (
	"context"
	"iter"
	"net"
	"net/netip"
	"sync"
	"time"
)

// streamBit marks the users that are streams.
const streamBit = 1 << 31

// Stream is a sequence of targets on its way through a Front.
type Stream struct {
	front *Front
	user  uint32

	mu       sync.Mutex
	out      []Verdict // settled, not taken
	inFlight int
	fed      bool
	stopped  bool
	limit    int
	changed  chan struct{} // cap 1: out, inFlight or fed changed; for the consumer
	room     chan struct{} // cap 1: there is room; for the feeder
}

// All yields a verdict for each target in order of completion, with at most limit on their way. See rawshake.ProbeAll for the
// contract.
func (f *Front) All(ctx context.Context, targets iter.Seq[netip.AddrPort], timeout time.Duration, limit int) iter.Seq2[*Verdict, error] {
	return func(yield func(*Verdict, error) bool) {
		s, err := f.open(limit)
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancelCause(ctx)
		var feeder sync.WaitGroup
		feeder.Go(func() { s.feed(ctx, targets, timeout) })
		defer func() {
			cancel(context.Canceled)
			s.stop()
			feeder.Wait()
			s.close()
		}()
		s.drain(ctx, yield)
	}
}

func (f *Front) open(limit int) (*Stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed.Load() {
		return nil, net.ErrClosed
	}
	user := uint32(streamBit)
	for f.streams[user] != nil {
		user++
	}
	s := &Stream{front: f, user: user, limit: limit, changed: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	f.streams[user] = s
	for _, d := range f.desks {
		d.parked.Add(1)
		d.watch()
	}
	return s, nil
}

// feed hands targets over as long as there is room, each at once: the next may depend on its verdict.
func (s *Stream) feed(ctx context.Context, targets iter.Seq[netip.AddrPort], timeout time.Duration) {
	defer s.finish()
	var d *desk
	n := 0
	for t := range targets {
		if !s.reserve(ctx) {
			return
		}
		if n%BatchSize == 0 {
			d = s.front.anyDesk()
		}
		n++
		d.post(request{
			target: netip.AddrPortFrom(t.Addr().Unmap(), t.Port()), user: s.user,
			asked: d.now(), timeout: min(timeout, longest),
		})
		if s.front.closed.Load() {
			d.reject()
			return
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

func (s *Stream) finish() {
	s.mu.Lock()
	s.fed = true
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
func (f *Front) deliver(user uint32, v *Verdict) {
	f.mu.Lock()
	s := f.streams[user]
	f.mu.Unlock()
	if s == nil {
		return
	}
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
			if s.front.closed.Load() {
				yield(nil, net.ErrClosed)
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

// close cancels what is pending and waits until it is gone.
func (s *Stream) close() {
	f := s.front
	for _, d := range f.desks {
		d.post(request{user: s.user, cancel: true})
	}
	for s.pending() {
		<-s.changed
	}
	f.mu.Lock()
	delete(f.streams, s.user)
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
	n := d.shard.cancelAll(user) + d.withdraw(user)
	d.shard.publish()
	d.front.forget(user, n)
}

// forget takes n targets of a stream off the count of those on their way.
func (f *Front) forget(user uint32, n int) {
	f.mu.Lock()
	s := f.streams[user]
	f.mu.Unlock()
	if s == nil {
		return
	}
	s.mu.Lock()
	s.inFlight -= n
	s.mu.Unlock()
	signal(s.changed)
}
