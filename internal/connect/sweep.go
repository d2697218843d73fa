package connect

import (
	"context"
	"iter"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// sweep is one call of All. Every target taken from the sequence comes out once: those that a context ended as unsent.
type sweep struct {
	*Prober
	ctx      context.Context
	timeout  time.Duration
	verdicts chan Verdict
	places   chan struct{} // one for each target between sequence and consumer
	cut      atomic.Bool   // a context ended the sweep early
	workers  sync.WaitGroup
}

// deliver yields the verdicts. However it ends, nothing of the sweep is left running.
func (s *sweep) deliver(yield func(Verdict, error) bool, cancel func()) {
	defer func() {
		cancel()
		for range s.verdicts {
		}
	}()
	for v := range s.verdicts {
		if !yield(v, nil) {
			return
		}
	}
	if s.cut.Load() {
		yield(Verdict{}, context.Cause(s.ctx))
	}
}

// feed starts a worker for each target as room comes free.
func (s *sweep) feed(targets iter.Seq[netip.AddrPort]) {
	defer close(s.verdicts)
	defer s.workers.Wait()
	for target := range targets {
		if !s.start(target) {
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
	v, decided := s.decide(target, s.timeout)
	if !decided {
		v, decided = s.admit(s.ctx, target, forever)
	}
	s.workers.Go(func() {
		if !decided {
			v = s.connect(s.ctx, target, s.timeout)
		}
		s.finish(v)
	})
	return s.ctx.Err() == nil
}

// finish hands a verdict to the consumer. When the Prober is closed it does not wait: the consumer may be who closes it.
func (s *sweep) finish(v Verdict) {
	if v.gaveUp() {
		s.cut.Store(true)
	}
	s.count(v)
	select {
	case s.verdicts <- v:
	case <-s.life.Done():
		s.cut.Store(true)
	}
	<-s.places
}
