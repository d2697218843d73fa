//go:build linux && !android

package raw

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Waiter sleeps until a descriptor is readable, somebody calls Wake, or time
// is up. It sleeps in ppoll(2), not in Go's poller, whose timers are rounded
// up to a millisecond and whose epoll would run a callback for each packet
// that a ring takes.
//
// Wake may be called from any goroutine; Wait from one at a time.
type Waiter struct {
	fds   []unix.PollFd // fds[0] is the eventfd
	state atomic.Uint32
	left  unix.Timespec // for the system call, kept here so that Wait does not allocate
}

// The states of a Waiter. A wake-up costs a system call only when somebody
// sleeps: many goroutines may wake a busy one.
const (
	awake uint32 = iota
	asleep
	woken // since the last Wait
)

// NewWaiter returns a Waiter for the given descriptors, which stay the
// caller's.
func NewWaiter(fds ...int) (*Waiter, error) {
	efd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("raw: eventfd: %w", err)
	}
	w := &Waiter{}
	for _, fd := range append([]int{efd}, fds...) {
		w.fds = append(w.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	return w, nil
}

// Wait returns when a descriptor is readable, after Wake (also one that came
// before Wait), or when d has passed; it does not say which, so look at
// everything. A negative d means no limit. Wait may return early without a
// cause.
func (w *Waiter) Wait(d time.Duration) error {
	if !w.state.CompareAndSwap(awake, asleep) {
		w.state.Store(awake)
		return nil
	}
	err := w.poll(d)
	w.state.Store(awake)
	w.settle()
	return err
}

// poll goes on after a signal: Go's runtime sends itself many.
func (w *Waiter) poll(d time.Duration) error {
	var timeout *unix.Timespec
	end := time.Now().Add(d)
	for left := d; ; left = max(0, time.Until(end)) {
		if d >= 0 {
			w.left = unix.NsecToTimespec(int64(left))
			timeout = &w.left
		}
		if _, err := unix.Ppoll(w.fds, timeout, nil); err != unix.EINTR {
			return named("ppoll", err)
		}
	}
}

// settle takes the wake-up out of the eventfd, and pending errors off sockets
// that report one: both would end every later Wait at once.
func (w *Waiter) settle() {
	if w.fds[0].Revents != 0 {
		var b [8]byte
		unix.Read(int(w.fds[0].Fd), b[:])
	}
	for _, p := range w.fds[1:] {
		if p.Revents&unix.POLLERR != 0 {
			unix.GetsockoptInt(int(p.Fd), unix.SOL_SOCKET, unix.SO_ERROR)
		}
	}
}

// Wake ends the current Wait, or else the next one.
func (w *Waiter) Wake() {
	if w.state.Swap(woken) != asleep {
		return
	}
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], 1)
	unix.RawSyscall(unix.SYS_WRITE, uintptr(w.fds[0].Fd), uintptr(unsafe.Pointer(&b)), uintptr(len(b)))
}

// Close closes the eventfd. Nobody may be in Wait or Wake, or call them later.
func (w *Waiter) Close() error {
	return unix.Close(int(w.fds[0].Fd))
}
