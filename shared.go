package rawshake

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// engineIdle is how long an engine stays open after its last Checker: a program that makes a Checker for each check, one
// after the other, pays for its sockets once.
const engineIdle = 2 * time.Second

// checkerEngines are the engines that the Checkers of this process share. This is the one exception to "no globals":
// programs written for tcp-shaker make thousands of short-lived Checkers, which cannot each own sockets.
var checkerEngines = engineSet{open: openChecked, idle: engineIdle}

// engineSet opens at most one engine for each configuration and closes it when nobody has used it for a while.
type engineSet struct {
	open func(Config) (backend, error)
	idle time.Duration

	mu   sync.Mutex
	byID map[string]*sharedEngine
}

// sharedEngine is an engine with its number of users.
type sharedEngine struct {
	opened  chan struct{} // closed when backend or err is set
	backend backend
	err     error

	users int         // guarded by the set's mutex, like timer
	timer *time.Timer // closes the engine; nil while it has users
}

// acquire returns the engine for c and what gives it back. Concurrent callers with the same configuration wait for the one
// that opens it, and all get its error.
func (s *engineSet) acquire(c Config) (backend, func(), error) {
	if c.Trace != nil { // functions cannot be compared
		return s.openOwn(c)
	}
	id := engineID(c)
	e, first := s.use(id)
	if first {
		e.backend, e.err = s.open(c)
		close(e.opened)
	}
	<-e.opened
	if e.err != nil {
		s.forget(id, e)
		return nil, nil, e.err
	}
	return e.backend, func() { s.release(id, e) }, nil
}

func (s *engineSet) openOwn(c Config) (backend, func(), error) {
	b, err := s.open(c)
	if err != nil {
		return nil, nil, err
	}
	return b, func() { b.close() }, nil
}

// use returns the entry of an engine with one user more; the first has to open it.
func (s *engineSet) use(id string) (e *sharedEngine, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e = s.byID[id]
	if e == nil {
		e, first = &sharedEngine{opened: make(chan struct{})}, true
		if s.byID == nil {
			s.byID = make(map[string]*sharedEngine)
		}
		s.byID[id] = e
	}
	e.users++
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	return e, first
}

// release gives an engine back, and closes it later unless somebody uses it again.
func (s *engineSet) release(id string, e *sharedEngine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.users--; e.users == 0 {
		e.timer = time.AfterFunc(s.idle, func() { s.expire(id, e) })
	}
}

func (s *engineSet) expire(id string, e *sharedEngine) {
	s.mu.Lock()
	unused := e.users == 0 && s.byID[id] == e
	if unused {
		delete(s.byID, id)
	}
	s.mu.Unlock()
	if unused {
		e.backend.close()
	}
}

// forget drops an engine that did not open, so that the next caller tries again.
func (s *engineSet) forget(id string, e *sharedEngine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[id] == e {
		delete(s.byID, id)
	}
}

// engineID is the same for configurations that one engine can serve: equal ones, in one network namespace. A Logger counts
// by its address, which is not reused as long as the engine holds it.
func engineID(c Config) string {
	return fmt.Sprintf("%+v in %s", c, namespace())
}

// namespace names the network namespace of the calling thread, as sockets belong to the one they were opened in. It is empty
// where threads share one: only Linux has the link.
func namespace() string {
	name, _ := os.Readlink("/proc/thread-self/ns/net")
	return name
}

// openChecked opens the backend of a new Prober.
func openChecked(c Config) (backend, error) {
	p, err := New(c)
	if err != nil {
		return nil, err
	}
	return p.backend, nil
}
