package rawshake

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
)

// State is what a probe found out about its target: [Open], [Closed], [Unreachable], [Filtered] or [Unsent], which is the zero value.
// Its String is the word in records, "open" and so on.
type State = match.State

// The states. Every probe ends in exactly one.
const (
	Unsent      State = match.Unsent      // not on the wire; says nothing about the target
	Open        State = match.Open        // a SYN-ACK answered
	Closed      State = match.Closed      // a RST answered
	Unreachable State = match.Unreachable // an ICMP error answered, there is no route, or the neighbour on the link is dead
	Filtered    State = match.Filtered    // silence until the timeout
)

// Result is the verdict on one target.
type Result struct {
	Target netip.AddrPort
	State  State
	Reason Reason

	// RTT is the time from the SYN that was answered to the kernel's receive stamp of the answer, for MethodConnect what the
	// kernel measured of the handshake. By MethodRaw it is at least a microsecond, since send times are not known better, and
	// never off by more than a millisecond: packets of a batch are taken to leave at an even pace. It is 0 without an answer. It
	// is also 0 when an answer came and its time cannot be told: the machine stopped us for longer in the middle of sending, the
	// answer is to an attempt after which another left out of turn, or connect(2) repeated its SYN and the platform does not say
	// more. Leave such a 0 out of statistics.
	RTT time.Duration

	Attempt int            // the attempt that was answered, or the last one sent; the first is 0
	Reply   Reply          // what the answer carried; zero without one
	Source  netip.AddrPort // our side of the attempt; invalid when nothing was sent, and by MethodConnect unless open
	Method  Method         // MethodRaw or MethodConnect
	Time    time.Time      // of the verdict

	// Err is the errno (a syscall.Errno) that connect(2) would have given: for closed, for unreachable, and for what kept
	// an unsent probe from the wire. It is nil for open and filtered. After ICMP's "fragmentation needed", "packet too
	// big" and IPv4's "reassembly time exceeded" connect(2) goes on; here they are EMSGSIZE, EMSGSIZE and EHOSTUNREACH.
	Err error
}

// String returns the verdict on one line, as in "192.0.2.1:443 is open (syn-ack) after 413µs".
func (r Result) String() string {
	text := fmt.Sprintf("%v is %v", r.Target, r.State)
	if r.Reason != ReasonNone {
		text += fmt.Sprintf(" (%v)", r.Reason)
	}
	if r.RTT > 0 {
		text += fmt.Sprintf(" after %v", r.RTT)
	}
	if r.Attempt > 0 {
		text += fmt.Sprintf(", after %d SYNs", r.Attempt+1)
	}
	if r.Reply.Responder.IsValid() {
		text += fmt.Sprintf(", says %v", r.Reply.Responder)
	}
	if r.Err != nil && r.State != Closed { // that a closed port refuses says the state
		text += fmt.Sprintf(": %v", r.Err)
	}
	return text
}

// Reply is the evidence that an answer carried. Fields that it did not carry are zero.
type Reply struct {
	TTL       uint8      // time to live or hop limit, as it arrived
	Window    uint16     // of the TCP header, unscaled
	MSS       uint16     // of the MSS option; 0 without one
	ICMPType  uint8      // of an ICMP error
	ICMPCode  uint8      // of an ICMP error
	Responder netip.Addr // who sent an ICMP error: a router, or the target
	MTU       uint32     // of "fragmentation needed" and "packet too big"

	options  [40]byte // raw TCP options of the answer
	nOptions uint8
}

// Options returns the TCP options in the order of the wire, as in "mss,sackok,ts,nop,ws"; "" without any.
func (r Reply) Options() string { return craft.FormatOptions(r.options[:r.nOptions]) }

// Stats are counters since [New]. Counters only grow; InFlight is a gauge.
type Stats struct {
	SYNSent    uint64 // attempts on the wire
	RSTSent    uint64 // half-open connections that we reset
	Received   uint64 // packets that passed the receive filter
	Answers    uint64 // packets that settled a probe
	Duplicates uint64 // answers to a probe that was settled already
	Ignored    uint64 // packets whose ISN, address, port or quote was not ours
	RingDrops  uint64 // packets that the kernel dropped because the receive ring was full
	SendErrors uint64 // packets that the kernel refused to send
	Requeued   uint64 // extra attempts given because the ring dropped packets, or the interface had no room for a SYN
	InFlight   int    // probes pending now

	// Verdicts, by state.
	Open, Closed, Unreachable, Filtered, Unsent uint64
}
