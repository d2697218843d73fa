//go:build linux && !android

package engine

import (
	"net/netip"
	"time"
)

// BatchSize is how many packets go out in one batch.
const BatchSize = 64

// Wire is where packets leave and arrive. All methods but Wake are called by the owner of the shard.
type Wire interface {
	// Path returns the way to dst, as a rule the same pointer for the same way. An error is the errno that connect(2) would give.
	Path(dst netip.Addr) (*Path, error)
	// Senders are what the Sender fields of paths name.
	Senders() []Sender
	// Receive calls fn for up to max packets that have arrived, without waiting, and returns how many there were.
	Receive(max int, fn func(*Arrival)) int
	// Drops returns how many packets were lost on our side because they were not fetched in time, since the wire was opened.
	Drops() uint64
	// Wait returns after d (for a negative d: never), after Wake, or when a packet arrives if packets is true; perhaps earlier.
	Wait(d time.Duration, packets bool)
	// Wake ends the current Wait, or the next one. It may be called at any time from any goroutine.
	Wake()
	// Neighbour tells whether the link address of the next hop towards dst is known.
	Neighbour(p *Path, dst netip.Addr) Neighbour
	// Inquire tells whether a packet to dst may leave by a path that Asks; only the next one may, if so. If it is not known yet, it is asked
	// for; asked says that a packet left for that. It is to be called again and again until it is known or has failed.
	Inquire(p *Path, dst netip.Addr) (state Neighbour, asked bool)
	// Missing returns what there is not of the way to dst, on our side of the network: an interface, a route, or the next hop; nil if
	// it is all there. ever tells that it was there before, since the wire was opened; p, if not nil, is a path to dst that there was.
	// What was away for a moment is told once.
	Missing(dst netip.Addr, p *Path) (what error, ever bool)
	// LinkUp reports whether the path's interface is up and has a carrier.
	LinkUp(p *Path) bool
	// Confirm asks the wire to deliver replies also as local address translation shows them to sockets, from now on.
	Confirm() error
	Close() error
}

// Sender puts batches of packets on the wire.
type Sender interface {
	// Frame returns place i of the batch: craft.FrameSize bytes of which the packet starts at craft.Headroom.
	Frame(i int) []byte
	// Set says that place i holds a packet of n bytes to dst.
	Set(i, n int, dst netip.Addr, p *Path)
	// Send sends places from up to to, without waiting, and returns how many went out; the error, an errno, is about the
	// first that did not.
	Send(from, to int) (int, error)
}

// Path is a way to reach some targets.
type Path struct {
	Sender    int        // which of the wire's senders
	Source    netip.Addr // our address on it
	Interface int
	Zone      string     // that the targets were given with, as link-local ones are
	Gateway   netip.Addr // invalid when targets are neighbours, or there are no neighbours on it
	OnLink    bool       // targets are neighbours: each has a link address of its own
	Asks      bool       // they are asked for it by us, before anything is sent to them; see Wire.Inquire
	Link      [14]byte   // Ethernet header of the next hop, for whole frames
	Answers   bool       // the next hop answers when it is asked, which Missing does
	Heard     int64      // when the next hop, or a target behind it, was last heard: Unix time in ns
	Doubt     bool       // the shard waits to hear the next hop: Missing does not wait to ask it

	number int // that stands for it in slots, if the shard's path of that number is this one; -1: none
}

// Neighbour is what the kernel knows of a neighbour's link address.
type Neighbour uint8

// The states of a neighbour.
const (
	NeighbourKnown Neighbour = iota // or none is needed
	NeighbourUnknown
	NeighbourFailed
)

// Arrival is a packet that arrived.
type Arrival struct {
	Data       []byte // the IP packet; valid during the call
	Time       int64  // the kernel's receive stamp, in ns of Unix time
	Verify     bool   // whether checksums must be verified
	Translated bool   // delivered as sockets see it, behind local address translation; see Wire.Confirm
}
