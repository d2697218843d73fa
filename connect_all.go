package rawshake

import (
	"context"
	"iter"
	"net/netip"
	"sync"
	"sync/atomic"
)

// sweep is one ProbeAll. Every target taken from the sequence comes out once: those that a context ended as unsent.
type sweep struct {
	*connectBackend
	ctx     context.Context
	results chan Result
	places  chan struct{} // one for each target between sequence and consumer
	cut     atomic.Bool   // a context ended the sweep early
	workers sync.WaitGroup
}

func (b *connectBackend) probeAll(ctx context.Context, targets iter.Seq[netip.AddrPort]) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		ctx, leave, err := b.enter(ctx)
		if err != nil {
			yield(Result{}, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		s := &sweep{connectBackend: b, ctx: ctx, results: make(chan Result), places: make(chan struct{}, cap(b.slots))}
		go func() {
			defer leave()
			s.feed(targets)
		}()
		s.deliver(yield, cancel)
	}
}

// deliver yields the results. However it ends, nothing of the sweep is left running.
func (s *sweep) deliver(yield func(Result, error) bool, cancel func()) {
	defer func() {
		cancel()
		for range s.results {
		}
	}()
	for r := range s.results {
		if !yield(r, nil) {
			return
		}
	}
	if s.cut.Load() {
		yield(Result{}, context.Cause(s.ctx))
	}
}

// feed starts a worker for each target as room comes free.
func (s *sweep) feed(targets iter.Seq[netip.AddrPort]) {
	defer close(s.results)
	defer s.workers.Wait()
	for target := range targets {
		if !s.start(unmap(target)) {
			return
		}
	}
}

// start admits a target and starts its worker; it reports whether the next target may come.
func (s *sweep) start(target netip.AddrPort) bool {
	select {
	case s.places <- struct{}{}:
	case <-s.life.Done():
		s.cut.Store(true)
		return false
	}
	timeout := s.config.timeout()
	r, decided := s.decide(target, timeout)
	if !decided {
		r, decided = s.admit(s.ctx, target, forever)
	}
	s.workers.Go(func() {
		if !decided {
			r = s.connect(s.ctx, target, timeout)
		}
		s.finish(r)
	})
	return s.ctx.Err() == nil
}

// finish hands a result to the consumer. When the backend is closed it does not wait: the consumer may be who closes it.
func (s *sweep) finish(r Result) {
	if gaveUp(r) {
		s.cut.Store(true)
	}
	s.count(r)
	select {
	case s.results <- r:
	case <-s.life.Done():
		s.cut.Store(true)
	}
	<-s.places
}
