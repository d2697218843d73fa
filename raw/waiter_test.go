//go:build linux && !android

package raw

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newWaiter(t *testing.T, fds ...int) *Waiter {
	t.Helper()
	w, err := NewWaiter(fds...)
	check(t, err)
	t.Cleanup(func() { w.Close() })
	return w
}

func TestWaiterTimesOut(t *testing.T) {
	w := newWaiter(t)
	for _, d := range []time.Duration{0, 50 * time.Microsecond, 5 * time.Millisecond} {
		start := time.Now()
		check(t, w.Wait(d))
		if took := time.Since(start); took < d {
			t.Errorf("Wait(%v) returned after %v", d, took)
		}
	}
}

func TestWaiterWakeBeforeWait(t *testing.T) {
	w := newWaiter(t)
	w.Wake()
	w.Wake()
	check(t, w.Wait(-1))
	start := time.Now()
	check(t, w.Wait(20*time.Millisecond))
	if time.Since(start) < 20*time.Millisecond {
		t.Error("one wake-up ended two waits")
	}
}

func TestWaiterSeesDescriptors(t *testing.T) {
	var p [2]int
	check(t, unix.Pipe(p[:]))
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	w := newWaiter(t, p[0])
	time.AfterFunc(time.Millisecond, func() { unix.Write(p[1], []byte{1}) })
	check(t, w.Wait(-1))
}

// Whoever publishes something and then calls Wake is seen: no wake-up is lost
// between the check and the sleep.
func TestWaiterLosesNoWakeUp(t *testing.T) {
	w := newWaiter(t)
	const goroutines, each = 4, 5000
	var published atomic.Int64
	var callers sync.WaitGroup
	for range goroutines {
		callers.Go(func() {
			for range each {
				published.Add(1)
				w.Wake()
			}
		})
	}
	late := time.AfterFunc(20*time.Second, func() { panic("a wake-up was lost") })
	defer late.Stop()
	for published.Load() < goroutines*each {
		check(t, w.Wait(-1))
	}
	callers.Wait()
}

func TestWaiterDoesNotAllocate(t *testing.T) {
	w := newWaiter(t)
	if n := testing.AllocsPerRun(100, func() { w.Wake(); w.Wait(0); w.Wait(time.Microsecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkWakeBusy(b *testing.B) {
	w, err := NewWaiter()
	check(b, err)
	defer w.Close()
	for b.Loop() {
		w.Wake()
	}
}
