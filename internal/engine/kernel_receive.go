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
		fds = append(fds, t.FD())
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
	for _, t := range k.taps {
		n += t.Drain(max-n, k.onTapped)
	}
	return n
}

func (k *Kernel) hand(p raw.Packet, translated bool) {
	verify := p.Verify || translated && !craft.Unfinished(p.Data) // a tap does not tell
	k.arrival = Arrival{Data: p.Data, Time: p.Time, Verify: verify, Translated: translated}
	k.sink(&k.arrival)
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
func (k *Kernel) Confirm() error {
	if k.cfg.Link {
		return errors.ErrUnsupported // what goes out as a whole frame is not translated
	}
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
			k.keep(t.Close)
			k.taps = append(k.taps, t)
		}
	}
	return k.newWaiter()
}
