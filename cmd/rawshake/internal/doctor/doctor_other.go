//go:build !linux || android

package doctor

import (
	"context"
	"iter"
	"net/netip"
	"runtime"
)

// Subject is what is examined: this machine, and the way to a target if there is one.
type Subject struct {
	Name      string
	Target    netip.AddrPort
	Err       error
	Source    netip.Addr
	Interface string
}

// Examine yields the one finding there is on platforms without raw packets.
func Examine(context.Context, Subject) iter.Seq[Finding] {
	return func(yield func(Finding) bool) {
		yield(Finding{"platform", Info, runtime.GOOS + " has no raw packets in rawshake: probes are made by connect, complete the handshake and reset it", ""})
	}
}
