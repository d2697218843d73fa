//go:build linux && !android

package engine

import (
	"net/netip"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
)

// Verdict is what a probe found out.
type Verdict struct {
	Target  netip.AddrPort
	Source  netip.AddrPort // our side; invalid when nothing was sent
	State   match.State
	Reason  match.Reason
	Attempt int
	RTT     time.Duration
	Time    int64         // Unix time in ns: the receive stamp of the answer, or when the verdict fell
	Errno   syscall.Errno // what connect(2) would have given, see errnoOf; 0 if it would have succeeded or timed out

	TTL        uint8
	Window     uint16
	ICMPType   uint8
	ICMPCode   uint8
	MTU        uint32
	Responder  netip.Addr // of an ICMP error
	untold     bool       // the RTT: an attempt out of turn came after the one that was answered
	options    [40]byte
	numOptions uint8
}

// Options returns the raw TCP options of the answer.
func (v *Verdict) Options() []byte { return v.options[:v.numOptions] }

// evidence copies what the answer carried.
func (v *Verdict) evidence(r *craft.Reply) {
	v.TTL, v.Window = r.TTL, r.Window
	v.numOptions = uint8(copy(v.options[:], r.Options))
	if r.Kind == craft.ICMP {
		v.ICMPType, v.ICMPCode, v.MTU, v.Responder = r.ICMPType, r.ICMPCode, r.MTU, r.Responder
	}
}

// When returns the time of the verdict.
func (v *Verdict) When() time.Time { return time.Unix(0, v.Time) }

// Took returns the RTT as it is shown: an answer took some time, even if the clocks are too coarse to tell.
func (v *Verdict) Took() time.Duration {
	if v.TTL == 0 || v.untold {
		return 0 // nothing answered, or it cannot be told when its attempt left
	}
	return max(v.RTT, 32*time.Nanosecond)
}
