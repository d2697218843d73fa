//go:build linux && !android

package engine

import (
	"errors"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/raw"
)

func (k *Kernel) newWaiter() error {
	var fds []int
	for _, r := range k.rings {
		fds = append(fds, r.FD())
	}
	for _, t := range k.taps {
		if k.translates {
			fds = append(fds, t.FD())
		}
	}
	w, err := raw.NewWaiter(fds...)
	if err != nil {
		return err
	}
	if last := k.waiter.Swap(w); last != nil {
		last.Wake()
	}
	k.keep(w.Close)
	return nil
}

// Receive implements Wire.
func (k *Kernel) Receive(max int, fn func(*Arrival)) int {
	k.sink, k.now = fn, time.Now()
	n := 0
	for _, r := range k.rings {
		n += r.Drain(max-n, k.onPacket)
	}
	if k.tapsAreDue() {
		for _, t := range k.taps {
			n += t.Drain(max-n, k.onTapped)
		}
	}
	return n
}

// tapsAreDue reports whether the taps have their turn. To read them takes system calls, and so does being woken by them. Therefore both
// happen for every packet only when it is sure that they show what the rings do not, and it is no bulk work.
func (k *Kernel) tapsAreDue() bool {
	if k.deaf || !k.translates && k.now.Sub(k.tappedAt) < tapsEvery {
		return false
	}
	k.tappedAt = k.now
	return true
}

const (
	tapsEvery = time.Millisecond     // how often taps are read that may show nothing
	tapsIdle  = 5 * time.Millisecond // and while nothing else happens
)

func (k *Kernel) hand(p raw.Packet, translated bool) {
	verify := p.Verify || translated && !craft.Unfinished(p.Data) // a tap does not tell
	k.arrival = Arrival{Data: p.Data, Time: p.Time, Verify: verify, Translated: translated}
	k.sink(&k.arrival)
}

// handTapped hands on what the rings have of it first: what was not translated is then theirs. The kernel gives it to rings before
// sockets, but shows a bulk ring's blocks later.
func (k *Kernel) handTapped(p raw.Packet) {
	for _, r := range k.rings {
		r.Drain(ringful, k.onPacket)
	}
	k.hand(p, true)
}

// Drops implements Wire.
func (k *Kernel) Drops() uint64 {
	var total uint64
	for _, r := range k.rings {
		n, err := r.Drops()
		if err != nil {
			return k.dropsSeen // the socket is going away
		}
		total += n
	}
	k.dropsSeen = total
	return total
}

// Wait implements Wire. Without packets it is Go that waits and not the kernel: the goroutine gives its processor to others at
// once, while one in a system call keeps it until the runtime's monitor takes it away, some 100 µs later.
func (k *Kernel) Wait(d time.Duration, packets bool) {
	switch {
	case packets:
		k.poll(d)
	case d < 0:
		<-k.wake
	default:
		k.timer.Reset(d)
		select {
		case <-k.wake:
			k.timer.Stop()
		case <-k.timer.C:
		}
	}
}

// poll waits for packets too.
func (k *Kernel) poll(d time.Duration) {
	k.polling.Store(true)
	defer k.polling.Store(false)
	select {
	case <-k.wake:
	default:
		if k.glancing.Load() && (d < 0 || d > tapsIdle) {
			d = tapsIdle
		}
		k.waiter.Load().Wait(d)
	}
}

// Wake implements Wire.
func (k *Kernel) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
	if k.polling.Load() {
		k.waiter.Load().Wake()
	}
}

// Confirm implements Wire: raw IP sockets get packets behind connection tracking.
func (k *Kernel) Confirm(sure bool) error {
	if k.cfg.Link || !sure && !raw.MayTranslate() {
		return errors.ErrUnsupported // what goes out as a whole frame is not translated either
	}
	if k.taps == nil {
		if err := k.openTaps(); err != nil {
			return err
		}
	} else if err := k.eachTap((*raw.Tap).Listen); err != nil {
		return err
	}
	k.deaf = false
	if k.translates = k.translates || sure && !k.cfg.Bulk; k.translates {
		k.glancing.Store(false)
		return k.newWaiter()
	}
	k.glancing.Store(true)
	k.waiter.Load().Wake() // who sleeps has not heard of it
	return nil
}

// Dismiss implements Wire.
func (k *Kernel) Dismiss() {
	k.deaf = k.eachTap((*raw.Tap).Deafen) == nil
	k.glancing.Store(false)
}

func (k *Kernel) eachTap(do func(*raw.Tap) error) error {
	var errs []error
	for _, t := range k.taps {
		errs = append(errs, do(t))
	}
	return errors.Join(errs...)
}

// openTaps opens all taps or none.
func (k *Kernel) openTaps() (err error) {
	var taps []*raw.Tap
	defer func() {
		if err != nil {
			for _, t := range taps {
				t.Close()
			}
		}
	}()
	for _, six := range []bool{false, true} {
		if !k.has(six) {
			continue
		}
		filter, err := match.Filter(six, k.guard.Ports())
		if err != nil {
			return err
		}
		for _, protocol := range []raw.TapProtocol{raw.TapTCP, raw.TapICMP} {
			t, err := raw.OpenTap(six, protocol, filter)
			if err != nil {
				return err
			}
			taps = append(taps, t)
		}
	}
	for _, t := range taps {
		k.keep(t.Close)
	}
	k.taps = taps
	return nil
}
