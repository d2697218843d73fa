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
	if f.closed {
		return nil, net.ErrClosed
	}
	user := uint32(streamBit)
	for f.streams[user] != nil {
		user++
	}
	s := &Stream{front: f, user: user, limit: limit, changed: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	f.streams[user] = s
	return s, nil
}

// feedAtOnce is how many targets are handed over together.
const feedAtOnce = 4 * BatchSize

// feed hands targets over as long as there is room.
func (s *Stream) feed(ctx context.Context, targets iter.Seq[netip.AddrPort], timeout time.Duration) {
	defer s.finish()
	batch := make([]netip.AddrPort, 0, feedAtOnce)
	for t := range targets {
		batch = append(batch, netip.AddrPortFrom(t.Addr().Unmap(), t.Port()))
		if len(batch) < cap(batch) && s.plenty(len(batch)) {
			continue
		}
		if !s.push(ctx, batch, timeout) {
			return
		}
		batch = batch[:0]
	}
	s.push(ctx, batch, timeout)
}

// plenty reports whether n more targets have room, and enough is under way to wait for a full batch.
func (s *Stream) plenty(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inFlight+len(s.out)+n < s.limit && s.inFlight > 0
}

// push queues requests, waiting for room; false when the stream is over.
func (s *Stream) push(ctx context.Context, batch []netip.AddrPort, timeout time.Duration) bool {
	for len(batch) > 0 {
		n := s.reserve(len(batch))
		if n == 0 {
			select {
			case <-s.room:
				continue
			case <-ctx.Done():
				return false
			}
		}
		if !s.front.submitAll(batch[:n], s.user, timeout) {
			return false
		}
		batch = batch[n:]
	}
	return ctx.Err() == nil
}

func (s *Stream) reserve(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return 0
	}
	n = max(min(n, s.limit-s.inFlight-len(s.out)), 0)
	s.inFlight += n
	return n
}

func (f *Front) submitAll(batch []netip.AddrPort, user uint32, timeout time.Duration) bool {
	deadline := f.now() + timeout
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return false
	}
	for _, t := range batch {
		f.queue = append(f.queue, request{target: t, deadline: deadline, user: user})
	}
	f.mu.Unlock()
	f.watch()
	f.wire.Wake()
	return true
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
		over := s.fed && s.inFlight == 0 && len(batch) == 0
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
			if s.front.isClosed() {
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

func (f *Front) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
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
	f.mu.Lock()
	f.queue = append(f.queue, request{user: s.user, cancel: true})
	f.mu.Unlock()
	f.wire.Wake()
	for {
		s.mu.Lock()
		n := s.inFlight
		s.mu.Unlock()
		if n == 0 || f.isClosed() {
			break
		}
		<-s.changed
	}
	f.mu.Lock()
	delete(f.streams, s.user)
	f.mu.Unlock()
}

// cancelStream ends the pending probes of a stream; the pump is held.
func (f *Front) cancelStream(user uint32) {
	n := f.shard.cancelAll(user)
	kept := f.backlog[:0]
	for _, r := range f.backlog {
		if r.user == user {
			n++
		} else {
			kept = append(kept, r)
		}
	}
	f.backlog = kept
	f.mu.Lock()
	s := f.streams[user]
	f.mu.Unlock()
	if s != nil {
		s.mu.Lock()
		s.inFlight -= n
		s.mu.Unlock()
		signal(s.changed)
	}
}
