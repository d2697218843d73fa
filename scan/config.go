//go:build linux && !android

package scan

import (
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/order"
	"github.com/rawshake/rawshake/scan/target"
)

// Defaults of a zero [Config].
const (
	DefaultRate     = 10_000
	DefaultTimeout  = 3 * time.Second
	DefaultAttempts = 2
	DefaultInFlight = 1 << 20
	DefaultOutage   = 30 * time.Second
)

// Config says what to scan, and how. It is copied, and never written to.
type Config struct {
	// Targets are what is asked. They must not be nil.
	Targets *target.Space
	// Seed gives the order: the same seed, the same order.
	Seed uint64
	// Shard is the part of the order that is scanned. The zero value is all of it.
	Shard order.Shard

	// Rate is the most packets a second: SYN, RST, and what asks for link addresses of targets on the link. If zero, DefaultRate. If
	// negative, as many as the machine can send.
	Rate float64
	// HostRate is the most SYNs a second to one address. If zero, there is no limit of its own.
	HostRate float64
	// NetRate is the most SYNs a second to one /24 of IPv4 or one /64 of IPv6. If zero, there is no limit of its own.
	NetRate float64
	// MaxInFlight is the most targets that wait for an answer at a time; the rate yields to it. If zero, DefaultInFlight.
	MaxInFlight int

	// Timeout is the time that a target has to answer, from its first SYN on, with all attempts. If zero, DefaultTimeout.
	Timeout time.Duration
	// Attempts is the most SYNs that a silent target gets, spread evenly over Timeout. If zero, DefaultAttempts.
	Attempts int
	// Outage is how long the scan waits when our side of the network is not there any more: an interface that it sends by is down, gone
	// or without carrier, or takes no packets, a gateway does not answer, targets have lost their route. When it is back the scan goes on
	// by itself; if it is not, Run ends with an *OutageError. If zero, DefaultOutage. If negative, the scan does not wait: what cannot be asked is
	// unsent.
	Outage time.Duration

	Source      netip.Addr         // that SYNs leave from; if invalid, the routing table chooses
	Interface   string             // that SYNs leave from; if empty, the routing table chooses
	SourcePorts rawshake.PortRange // that our ports come from; if zero, the kernel chooses
	TTL, TOS    uint8              // if TTL is zero, 64
	Mark        uint32             // SO_MARK; whole frames are not routed by it, so it makes LayerIP the default
	Layer       rawshake.Layer     // by what kind of socket packets leave; if zero, LayerEthernet
	Options     rawshake.Style     // TCP options of the SYN

	// Scope, if not nil, is asked for the destination of every packet, RST included.
	Scope func(netip.Addr) bool

	// Lanes is how many threads send and receive. If zero, one for low rates, else one for each CPU, at most 8 and MaxInFlight.
	Lanes int
	// RingFrames is how many packets each receive ring holds, of which a lane has one for each family. If zero, 16384, or the lane's share of
	// 32768 if that is less, but at least 4096: lanes share the answers.
	RingFrames int
	// Keep, if not nil, says which verdicts are handed over. All are counted.
	Keep func(match.State) bool
	// Logger is told, when the scan opens, what it lacks: a complete guard, see docs/capabilities.md. If nil, nothing is logged.
	Logger *slog.Logger
	// Trace, if not nil, is called for every packet, by each lane for its own, perhaps at the same time.
	Trace func(rawshake.TracePacket)
	// Resume goes on where a State says that another scan of the same targets and order stopped. It is not to be changed while this
	// one runs.
	Resume *State

	// openWires replaces the kernel in tests: wires and source ports for so many lanes.
	openWires func(lanes int) ([]engine.Wire, [][]uint16, error)
}

// oneLane is up to which rate one lane is enough.
const oneLane = 100_000

func (c Config) lanes() int {
	switch {
	case c.Resume != nil:
		return len(c.Resume.Lanes)
	case c.Lanes > 0:
		return c.Lanes
	case c.rate() > 0 && c.rate() <= oneLane:
		return 1
	}
	return max(1, min(runtime.GOMAXPROCS(0), 8, c.inFlight()))
}

// rate returns the packets a second in force; 0 means no limit.
func (c Config) rate() float64 {
	switch {
	case c.Rate == 0:
		return DefaultRate
	case c.Rate < 0:
		return 0
	}
	return c.Rate
}

func (c Config) timeout() time.Duration {
	if c.Timeout == 0 {
		return DefaultTimeout
	}
	return c.Timeout
}

func (c Config) attempts() int {
	if c.Attempts == 0 {
		return DefaultAttempts
	}
	return c.Attempts
}

// outage returns how long to wait for our side of the network; 0: not at all.
func (c Config) outage() time.Duration {
	if c.Outage == 0 {
		return DefaultOutage
	}
	return max(c.Outage, 0)
}

func (c Config) inFlight() int {
	if c.MaxInFlight == 0 {
		return DefaultInFlight
	}
	return c.MaxInFlight
}

// ringFrames returns the size of a receive ring, with n lanes.
func (c Config) ringFrames(n int) int {
	if c.RingFrames > 0 {
		return c.RingFrames
	}
	return min(16384, max(4096, 32768/n))
}

// plan spreads the attempts evenly over the timeout.
func (c Config) plan() (match.Plan, error) {
	n := c.attempts()
	if n < 1 || n > match.MaxAttempts {
		return match.Plan{}, fmt.Errorf("%d attempts: want 1 to %d", n, match.MaxAttempts)
	}
	at := make([]time.Duration, n)
	for i := range at {
		at[i] = c.timeout() * time.Duration(i) / time.Duration(n)
	}
	return match.NewPlan(at, n)
}

func (c Config) check() error {
	switch {
	case c.Targets == nil:
		return fmt.Errorf("Config.Targets is nil: compile a target.Spec")
	case c.Timeout < 0:
		return fmt.Errorf("Config.Timeout is %v: want a positive time, or 0 for %v", c.Timeout, DefaultTimeout)
	case c.Layer > rawshake.LayerEthernet:
		return fmt.Errorf("Config.Layer is %v: want LayerIP or LayerEthernet", c.Layer)
	case c.Layer == rawshake.LayerEthernet && c.Mark != 0:
		return fmt.Errorf("Config.Mark is %d, and Config.Layer ethernet: whole frames are not routed by their mark; use LayerIP", c.Mark)
	case c.MaxInFlight < 0:
		return fmt.Errorf("Config.MaxInFlight is %d: want a positive number, or 0 for %d", c.MaxInFlight, DefaultInFlight)
	case c.inFlight()/c.lanes() > match.MaxSlots:
		return fmt.Errorf("Config.MaxInFlight is %d: a lane holds at most %d", c.MaxInFlight, match.MaxSlots)
	case c.inFlight() < c.lanes():
		return fmt.Errorf("Config.MaxInFlight is %d, less than the %d lanes", c.MaxInFlight, c.lanes())
	}
	if _, err := craft.ParseStyle(c.Options.String()); err != nil {
		return fmt.Errorf("Config.Options is %v: want MSSOnly, Linux, Windows, BSD or NoOptions of package rawshake", c.Options)
	}
	_, err := c.plan()
	return err
}
