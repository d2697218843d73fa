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
	untold     bool       // the RTT: nobody knows exactly when the attempt left that was answered
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

// silence takes the evidence away.
func (v *Verdict) silence() {
	v.RTT, v.TTL, v.ICMPType, v.ICMPCode, v.MTU, v.Responder = 0, 0, 0, 0, 0, netip.Addr{}
}

// When returns the time of the verdict.
func (v *Verdict) When() time.Time { return time.Unix(0, v.Time) }

// resolution is the shortest RTT: send times are not known better.
const resolution = time.Microsecond

// Took returns the RTT as it is shown.
func (v *Verdict) Took() time.Duration {
	if v.TTL == 0 || v.untold {
		return 0 // nothing answered, or it cannot be told when its attempt left
	}
	return max(v.RTT, resolution)
}
