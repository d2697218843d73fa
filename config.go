package rawshake

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
)

// Defaults of a zero [Config].
const (
	// DefaultTimeout has room for four attempts and for the kernel's three tries at a dead neighbour.
	DefaultTimeout     = 4 * time.Second
	DefaultMaxInFlight = 1 << 20
	// MaxAttempts bounds [Config.Attempts]. The attempt has four bits in the ISN, and the last of the 16 that they tell apart
	// is kept for one beyond the plan, as after a loss of our own.
	MaxAttempts = match.MaxAttempts
)

// Style names the TCP options that a SYN carries.
type Style = craft.Style

// The styles. Every one carries at least MSS except [NoOptions], on which about 2 % of hosts stay silent.
const (
	MSSOnly   = craft.MSSOnly
	Linux     = craft.Linux
	Windows   = craft.Windows
	BSD       = craft.BSD
	NoOptions = craft.NoOptions
)

// PortRange is a range of TCP ports, both ends included. The zero value leaves the choice to the kernel.
type PortRange struct{ First, Last uint16 }

// Config says how a [Prober] probes. The zero value is ready for use. It is copied, and never written to.
type Config struct {
	// Method chooses raw packets, connect(2), or raw where the privilege is there. If zero, MethodRaw.
	Method Method

	// Timeout is the time that a target has to answer, from its first SYN on, with all attempts; see [Prober.Probe] for the wait
	// before that SYN, and for what may come on top. If zero, DefaultTimeout. If negative, every probe is filtered at once. More
	// than 14 days count as 14 days.
	Timeout time.Duration

	// Attempts is the most SYNs that a silent target gets. If zero, as many as Schedule has room for within Timeout.
	// It is at most MaxAttempts; negative is an error.
	Attempts int

	// Schedule says when attempts leave, counted from the first, ascending. If nil, at 0, 1, 2, 3 s and so on.
	Schedule []time.Duration

	// Source is the address that SYNs leave from. If invalid, the routing table chooses. Targets of the other family
	// end unsent with reason no-source.
	Source netip.Addr

	// Interface is the name of the interface that SYNs leave from. If empty, the routing table chooses.
	Interface string

	// SourcePorts are the ports that the prober takes its own from. If zero, the kernel chooses.
	//
	// With raw packets it owns 64 of them, or fewer if the range is smaller, and parts them among up to four processors. Each
	// probe of an address and port needs one to itself: so at most 64 of one target are on the wire at a time, and on four
	// processors 16 by each. Further ones wait until a port comes free, as [Prober.Probe] says; when the target has not answered
	// anybody for a second, or for half of the timeout, they share ports, which does no harm with a silent one.
	SourcePorts PortRange

	// TTL is the time to live, or hop limit, of what is sent. If zero, 64.
	TTL uint8
	// TOS is the type-of-service or traffic-class byte of what is sent. If zero, 0.
	TOS uint8
	// Mark is the SO_MARK of what is sent, for policy routing. If zero, none. CAP_NET_RAW suffices from Linux 5.17 on; before,
	// it takes CAP_NET_ADMIN.
	Mark uint32

	// Layer says by what kind of socket packets leave. If zero, LayerIP.
	Layer Layer

	// Options chooses the TCP options of the SYN. If zero, MSSOnly.
	Options Style

	// Rate is the most packets (SYN and RST, with LayerEthernet also what asks for link addresses) a second; what is above waits for its
	// turn, later attempts before first ones. If zero or negative, there is no limit.
	Rate float64

	// MaxInFlight is the most probes pending at once; further ones wait. If zero or negative, DefaultMaxInFlight.
	MaxInFlight int

	// Allow is the scope. If empty, there is none. Else, no packet, RST included, is sent to an address outside these prefixes, and
	// such a target ends unsent with reason out-of-scope.
	Allow []netip.Prefix

	// Logger is told what an operator wants to know when sockets are opened: that MethodAuto found no raw ones, that the guard is
	// incomplete (docs/capabilities.md). Checkers of one configuration share sockets, and so the lines, until the last of them has
	// been gone for two seconds. If nil, nothing is logged.
	Logger *slog.Logger

	// Trace, if not nil, is called for every packet sent and received, in order, one at a time, on the goroutine that moves
	// packets: it must be quick. MethodConnect has no packets to show.
	Trace func(TracePacket)
}

// TracePacket is a packet of ours on the wire.
type TracePacket struct {
	Time time.Time // when it was sent, or the kernel's receive stamp
	Out  bool      // true for what we sent
	Data []byte    // the IP packet, without a link header; valid during the call
}

// copied returns c with slices of its own: what the caller does with its own afterwards changes nothing.
func (c Config) copied() Config {
	c.Schedule, c.Allow = slices.Clone(c.Schedule), slices.Clone(c.Allow)
	return c
}

// timeout returns the timeout in force.
func (c Config) timeout() time.Duration {
	if c.Timeout == 0 {
		return DefaultTimeout
	}
	return c.Timeout
}

// maxInFlight returns the bound in force.
func (c Config) maxInFlight() int {
	if c.MaxInFlight <= 0 {
		return DefaultMaxInFlight
	}
	return c.MaxInFlight
}

// plan returns the schedule of attempts in force.
func (c Config) plan() (match.Plan, error) {
	if c.Attempts < 0 || c.Attempts > MaxAttempts {
		return match.Plan{}, fmt.Errorf("Config.Attempts is %d: want 1 to %d, or 0 for what the timeout has room for", c.Attempts, MaxAttempts)
	}
	plan, err := match.NewPlan(c.Schedule, c.Attempts)
	if err != nil {
		return plan, fmt.Errorf("Config.Schedule: %w", err)
	}
	return plan, nil
}

// check finds what no engine could work with.
func (c Config) check() error {
	if _, err := c.plan(); err != nil {
		return err
	}
	if err := c.Layer.check(c.Mark); err != nil {
		return err
	}
	_, unknown := craft.ParseStyle(c.Options.String())
	switch {
	case unknown != nil:
		return fmt.Errorf("Config.Options is %v: want MSSOnly, Linux, Windows, BSD or NoOptions", c.Options)
	case int(c.Method) >= len(methodNames):
		return fmt.Errorf("Config.Method is %d: want MethodRaw, MethodConnect or MethodAuto", c.Method)
	case c.SourcePorts.First > c.SourcePorts.Last:
		return fmt.Errorf("Config.SourcePorts is %d to %d: the first port must not be above the last", c.SourcePorts.First, c.SourcePorts.Last)
	case c.SourcePorts.First == 0 && c.SourcePorts.Last != 0:
		return fmt.Errorf("Config.SourcePorts is 0 to %d: port 0 cannot be a source", c.SourcePorts.Last)
	}
	for i, p := range c.Allow {
		if !p.IsValid() {
			return fmt.Errorf("Config.Allow[%d] is not a valid prefix", i)
		}
	}
	return nil
}

// allows reports whether the scope lets a packet go to dst.
func (c Config) allows(dst netip.Addr) bool {
	if len(c.Allow) == 0 {
		return true
	}
	dst = dst.WithZone("")
	for _, p := range c.Allow {
		if p.Contains(dst) {
			return true
		}
	}
	return false
}
