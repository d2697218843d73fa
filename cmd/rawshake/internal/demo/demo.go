//go:build linux && !android

// Package demo shows on loopback what half-open probes do: an open, a closed and a silent port, their verdicts, every packet.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"syscall"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/check"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/scan/record"
)

// The silent port is asked three times in less than a second, so that nobody waits long for the demo.
const timeout = 900 * time.Millisecond

func schedule() []time.Duration {
	return []time.Duration{0, timeout / 3, 2 * timeout / 3}
}

// Options say how the demo looks.
type Options struct {
	Stdout io.Writer
	Color  bool
}

// demo is one showing.
type demo struct {
	w       *writer
	text    record.Text
	prober  *rawshake.Prober
	packets exchange
}

// Run shows the demo. The error carries the exit code: 4 without the privilege, or when a verdict is not as it must be.
func Run(ctx context.Context, o Options) error {
	d := &demo{w: &writer{w: o.Stdout}, text: record.Text{Color: o.Color}}
	var err error
	d.prober, err = rawshake.New(rawshake.Config{Timeout: timeout, Schedule: schedule(), Trace: d.packets.add})
	if err != nil {
		return exit.With(exit.System, err)
	}
	defer d.prober.Close()
	d.w.printf("Ports on loopback, made for this demo: open, closed and silent ones, and what half-open probes find out about them.\n")
	err = errors.Join(d.family(ctx, false), d.family(ctx, true))
	if err == nil {
		d.w.printf("\nEach has its verdict, and no connection was made. Try it on something of yours: rawshake check HOST:PORT\n")
	}
	if _, interrupted := exit.BySignal(ctx); interrupted {
		return exit.Ended(ctx)
	}
	return exit.With(exit.System, errors.Join(err, d.w.err))
}

// family shows the three ports of one family.
func (d *demo) family(ctx context.Context, v6 bool) error {
	s, err := openStage(v6)
	if v6 && noFamily(err) {
		d.w.printf("\n(No IPv6 on this host's loopback: only IPv4 is shown.)\n")
		return nil
	}
	if err != nil {
		return err
	}
	defer s.close()
	for _, act := range s.acts() {
		if err := d.play(ctx, act); err != nil {
			return err
		}
	}
	return nil
}

// act is one port and what must come out.
type act struct {
	title  string
	target netip.AddrPort
	want   rawshake.State
	after  func() string // what to say at the end
}

// play probes one port and shows the exchange.
func (d *demo) play(ctx context.Context, a act) error {
	d.w.printf("\n%s\n\n", a.title)
	d.packets.begin()
	r, err := d.prober.Probe(ctx, a.target)
	if err != nil {
		return err
	}
	d.packets.settle(r.State)
	d.packets.show(d.w)
	rec := check.Record(r, "")
	d.w.printf("\n  %s", d.text.AppendRecord(nil, &rec))
	d.w.printf("  %s\n", a.after())
	if r.State != a.want {
		return fmt.Errorf("%v is %v and must be %v: `rawshake doctor` looks for the cause", a.target, r.State, a.want)
	}
	return nil
}

// noFamily recognises a host without IPv6, or without ::1.
func noFamily(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
}

// writer keeps the first error of writing.
type writer struct {
	w   io.Writer
	err error
}

func (w *writer) printf(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.w, format, args...)
	}
}
