//go:build linux && !android

package wiretest

import (
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/internal/engine"
)

// Packet is an IP packet of some host's, to arrive after a delay.
type Packet struct {
	Data  []byte
	After time.Duration
}

// Host answers a packet that was sent. It must not keep pkt.
type Host func(pkt []byte) []Packet

// Wire is an engine.Wire on which everything that is sent goes to one Host. Its exported fields may be set before it is used.
type Wire struct {
	Host             Host
	Source4, Source6 netip.Addr                        // our addresses; invalid: none of that family
	OnLink           bool                              // targets are neighbours
	Gateway          netip.Addr                        // of targets that are not
	RouteErr         func(netip.Addr) error            // what a route lookup says; nil: there is a route
	SendErr          func(pkt []byte) error            // what sending says; nil: nothing is refused
	Hop              func(netip.Addr) engine.Neighbour // what is known of a next hop; nil: all are known
	Asks             bool                              // targets are neighbours that we ask ourselves, each once
	Mute             func() bool                       // whether we cannot, so that the kernel asks; nil: we can
	Down             func() bool                       // whether the interface has no carrier; nil: it has
	Gone             func(netip.Addr) error            // what is missing of a way that there was; nil: nothing
	Ring             int                               // how many packets may wait to be received; 0: any number
	OnConfirm        func()                            // called by Confirm; nil: Confirm is refused

	mu      sync.Mutex
	ring    []engine.Arrival
	sent    []Sent
	drops   uint64
	arrived chan struct{}
	wake    chan struct{}
	out     sender
	paths   [3]*engine.Path
	closed  bool
	asked   map[netip.Addr]bool
}

// Sent is a packet that the engine sent.
type Sent struct {
	At   time.Time
	Data []byte
}

// New makes a wire to host, with our addresses 192.0.2.1 and 2001:db8::1.
func New(host Host) *Wire {
	w := &Wire{
		Host:    host,
		Source4: netip.MustParseAddr("192.0.2.1"),
		Source6: netip.MustParseAddr("2001:db8::1"),
		arrived: make(chan struct{}, 1),
		wake:    make(chan struct{}, 1),
	}
	w.out.wire = w
	return w
}

var _ engine.Wire = (*Wire)(nil)

// Sent returns the packets sent so far.
func (w *Wire) Sent() []Sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sent)
}

// Inject has a packet arrive now.
func (w *Wire) Inject(pkt []byte) { w.deliver(engine.Arrival{Data: pkt, Verify: true}) }

// InjectTranslated has a packet arrive now as sockets see it, behind local address translation.
func (w *Wire) InjectTranslated(pkt []byte) {
	w.deliver(engine.Arrival{Data: pkt, Verify: true, Translated: true})
}

func (w *Wire) deliver(a engine.Arrival) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if w.Ring > 0 && len(w.ring) >= w.Ring {
		w.drops++
		return
	}
	a.Time = time.Now().UnixNano()
	w.ring = append(w.ring, a)
	signal(w.arrived)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Path implements engine.Wire: one path for each family, and one for targets in a zone.
func (w *Wire) Path(dst netip.Addr) (*engine.Path, error) {
	if w.RouteErr != nil {
		if err := w.RouteErr(dst); err != nil {
			return nil, err
		}
	}
	i, source := 0, w.Source4
	switch {
	case dst.Zone() != "":
		i, source = 2, w.Source6
	case dst.Is6():
		i, source = 1, w.Source6
	}
	if !source.IsValid() {
		return nil, syscall.EADDRNOTAVAIL
	}
	if w.paths[i] == nil {
		w.paths[i] = &engine.Path{Source: source, Interface: 1, OnLink: w.OnLink, Asks: w.Asks, Gateway: w.Gateway, Zone: dst.Zone()}
	}
	return w.paths[i], nil
}

// Senders implements engine.Wire.
func (w *Wire) Senders() []engine.Sender { return []engine.Sender{&w.out} }

// Receive implements engine.Wire.
func (w *Wire) Receive(max int, fn func(*engine.Arrival)) int {
	w.mu.Lock()
	n := min(max, len(w.ring))
	batch := slices.Clone(w.ring[:n])
	w.ring = append(w.ring[:0], w.ring[n:]...)
	if len(w.ring) > 0 {
		signal(w.arrived)
	}
	w.mu.Unlock()
	for i := range batch {
		fn(&batch[i])
	}
	return n
}

// Drops implements engine.Wire.
func (w *Wire) Drops() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.drops
}

// Wait implements engine.Wire.
func (w *Wire) Wait(d time.Duration, packets bool) {
	var timeout <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		timeout = timer.C
	}
	arrived := w.arrived
	if !packets {
		arrived = nil
	}
	select {
	case <-timeout:
	case <-w.wake:
	case <-arrived:
	}
}

// Wake implements engine.Wire.
func (w *Wire) Wake() { signal(w.wake) }

// Neighbour implements engine.Wire.
func (w *Wire) Neighbour(p *engine.Path, dst netip.Addr) engine.Neighbour {
	if state := w.hop(dst); state == engine.NeighbourFailed || !p.Asks {
		return state
	}
	return engine.NeighbourKnown // it was, when something was sent
}

func (w *Wire) hop(dst netip.Addr) engine.Neighbour {
	if w.Hop == nil {
		return engine.NeighbourKnown
	}
	return w.Hop(dst)
}

// Inquire implements engine.Wire.
func (w *Wire) Inquire(p *engine.Path, dst netip.Addr) (engine.Neighbour, bool) {
	if w.Mute != nil && w.Mute() {
		p.Asks = false
		return engine.NeighbourKnown, false
	}
	state := w.hop(dst)
	if w.asked[dst] || state == engine.NeighbourKnown {
		return state, false
	}
	if w.asked == nil {
		w.asked = make(map[netip.Addr]bool)
	}
	w.asked[dst] = true
	return state, true
}

// Asked returns how many neighbours were asked for.
func (w *Wire) Asked() int { return len(w.asked) }

// Missing implements engine.Wire.
func (w *Wire) Missing(dst netip.Addr, was *engine.Path) (error, bool) {
	if w.Gone != nil {
		if what := w.Gone(dst); what != nil {
			return what, true
		}
	}
	p, err := w.Path(dst)
	switch {
	case err != nil:
		return err, was != nil
	case !w.LinkUp(p):
		return syscall.ENETDOWN, was != nil
	case p.Gateway.IsValid() && w.Neighbour(p, p.Gateway) == engine.NeighbourFailed:
		return syscall.EHOSTUNREACH, p.Answers
	}
	return nil, true
}

// LinkUp implements engine.Wire.
func (w *Wire) LinkUp(*engine.Path) bool { return w.Down == nil || !w.Down() }

// Confirm implements engine.Wire.
func (w *Wire) Confirm() error {
	if w.OnConfirm == nil {
		return syscall.ENOTSUP
	}
	w.OnConfirm()
	return nil
}

// Close implements engine.Wire.
func (w *Wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return nil
}

// sender is the sending end.
type sender struct {
	wire   *Wire
	frames [engine.BatchSize][craft.FrameSize]byte
	length [engine.BatchSize]int
}

func (s *sender) Frame(i int) []byte { return s.frames[i][:] }

func (s *sender) Set(i, n int, _ netip.Addr, _ *engine.Path) { s.length[i] = n }

func (s *sender) Send(from, to int) (int, error) {
	for i := from; i < to; i++ {
		pkt := slices.Clone(s.frames[i][craft.Headroom:][:s.length[i]])
		if s.wire.SendErr != nil {
			if err := s.wire.SendErr(pkt); err != nil {
				return i - from, err
			}
		}
		s.wire.carry(pkt)
	}
	return to - from, nil
}

// carry takes a packet to the host and its answers back.
func (w *Wire) carry(pkt []byte) {
	w.mu.Lock()
	w.sent = append(w.sent, Sent{At: time.Now(), Data: pkt})
	w.mu.Unlock()
	for _, p := range w.Host(pkt) {
		if p.After <= 0 {
			w.Inject(p.Data)
			continue
		}
		time.AfterFunc(p.After, func() { w.Inject(p.Data) })
	}
}
