package check

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/packetlog"
)

// openPackets opens what packets are written to.
func (r *run) openPackets() (closePackets func() error, err error) {
	var lines, capture io.Writer
	file := io.NopCloser(nil)
	if r.Trace {
		lines = r.Stderr
	}
	if r.Pcap != "" {
		f, err := os.Create(r.Pcap)
		if err != nil {
			return nil, exit.With(exit.System, fmt.Errorf("--pcap: %w", err))
		}
		capture, file = f, f
	}
	if lines == nil && capture == nil {
		return func() error { return nil }, nil
	}
	if r.packets, err = packetlog.New(lines, capture); err != nil {
		return nil, exit.With(exit.System, errors.Join(fmt.Errorf("--pcap: %w", err), file.Close()))
	}
	return func() error {
		if err := errors.Join(r.packets.Close(), file.Close()); err != nil {
			return fmt.Errorf("writing packets: %w", err)
		}
		return nil
	}, nil
}

// warnConnect says once that there are no packets to write down.
func (r *run) warnConnect(m rawshake.Method) {
	if m == rawshake.MethodConnect && r.packets != nil && !r.warned {
		r.warned = true
		r.out.note("rawshake check: probing by connect, which has no packets to show: --trace and --pcap stay empty")
	}
}
