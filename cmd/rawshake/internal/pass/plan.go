//go:build linux && !android

package pass

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/term"
	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/scan/pace"
)

// plan is what a pass is going to do.
type plan struct {
	*Options
	set                     *targets.Set
	size                    uint64  // targets of this shard
	rate, hostRate, netRate float64 // packets a second; rate is +Inf without a limit, the others are 0
	hash                    string
}

// consentAbove is the most targets that a scan from a terminal asks without --yes.
const consentAbove = 1 << 20

func newPlan(o *Options, set *targets.Set) (p plan, err error) {
	p = plan{Options: o, set: set, size: o.Order.Shard.Size(set.Size()), hash: hashOf(set, o.Lasting)}
	if err := p.somethingLeft(); err != nil {
		return p, err
	}
	if o.Resume != nil {
		if err := o.Resume.Check(p.hash); err != nil {
			return p, exit.Usagef("--resume: %w", err)
		}
		if n := len(o.Resume.Lanes); o.MaxInFlight < n {
			return p, exit.Usagef("--max-inflight %d: the scan began with %d threads, each of which has a target on its way: give %d or more",
				o.MaxInFlight, n, n)
		}
	}
	if err := p.readRates(); err != nil {
		return p, exit.With(exit.Usage, err)
	}
	return p, o.distinctFiles()
}

// somethingLeft fails when nothing may be sent to any target, unless there are names without an address, to which nobody meant that.
func (p plan) somethingLeft() error {
	switch {
	case p.set.Size() > p.set.Outside, len(p.set.Unresolved()) > 0 && !p.DryRun:
		return nil
	case p.Resume != nil && p.Targets.ReadsStdin():
		return exit.Usagef("nothing came by standard input, and the targets of this scan did: pipe them in again, as in `rawshake scan --resume %s < FILE`",
			quoted(p.ResumeFile))
	}
	return exit.With(nothingCode(p.set), fmt.Errorf("there is nothing to scan: %s", nothingLeft(p.set)))
}

// nothingLeft says where all targets went.
func nothingLeft(set *targets.Set) string {
	if all := set.Remarks(); len(all) > 0 {
		return all[len(all)-1]
	}
	return "no target is named"
}

// nothingCode is the exit code of that: names that do not resolve have a code of their own.
func nothingCode(set *targets.Set) exit.Code {
	if len(set.Unresolved()) > 0 {
		return exit.Unresolved
	}
	return exit.Usage
}

// readRates turns the rates into packets a second.
func (p *plan) readRates() (err error) {
	wire := wireBytes(p.Style, p.set)
	read := func(text string) float64 {
		rate, e := pace.ParseRate(text, wire)
		if err == nil {
			err = e
		}
		return rate
	}
	p.rate = read(p.Rate)
	p.hostRate, p.netRate = limitOf(p.HostRate, read), limitOf(p.NetRate, read)
	return err
}

// limitOf reads the rate of a host or a network; 0 is none.
func limitOf(text string, read func(string) float64) float64 {
	if text == "" {
		return 0
	}
	if rate := read(text); !math.IsInf(rate, 1) {
		return rate
	}
	return 0
}

// wireBytes is how large the largest SYN to the targets is on an Ethernet.
func wireBytes(style rawshake.Style, set *targets.Set) int {
	source := netip.AddrFrom4([4]byte{192, 0, 2, 1})
	if _, six := set.Families(); six {
		source = netip.MustParseAddr("2001:db8::1")
	}
	syn, err := craft.NewSYN(craft.Spec{Source: source, Style: style})
	if err != nil {
		panic(err) // the style was parsed, and the source is a good one
	}
	return pace.WireBytes(syn.Len())
}

// consent fails when somebody at a terminal is about to start a long scan and has not said yes.
func (p plan) consent() error {
	probes := math.Round(p.left())
	if p.Yes || p.Resume != nil || probes <= consentAbove || !term.IsTerminal(p.Stderr) {
		return nil
	}
	return exit.Usagef("this is %.0f probes, %s: add --yes to start, or --dry-run to see what would happen", probes, p.duration())
}

// share is the part of all targets that is still to be gone through: an even sample.
func (p plan) share() float64 {
	if p.size == 0 {
		return 0
	}
	part := float64(p.size) / float64(p.set.Size())
	if p.Resume != nil && p.Resume.Run.Targets > 0 {
		part *= 1 - float64(p.Resume.Run.Done())/float64(p.Resume.Run.Targets)
	}
	return part
}

// left estimates how many targets are still to be asked.
func (p plan) left() float64 { return p.share() * float64(p.set.Size()-p.set.Outside) }

// busy is targets under one limit, in SYNs a second.
type busy struct{ targets, rate float64 }

// limits are the rate of all, and those of the host and of the network that have the most targets.
func (p plan) limits() []busy {
	all := []busy{{p.left(), p.rate}}
	if p.hostRate > 0 {
		all = append(all, busy{p.most(p.set.Densest(32, 128)), p.hostRate})
	}
	if p.netRate > 0 {
		all = append(all, busy{p.most(p.set.Densest(pace.DefaultBits4, pace.DefaultBits6)), p.netRate})
	}
	return all
}

// most estimates how many of the targets of hosts or networks with so many the unluckiest still has: three deviations above the mean.
func (p plan) most(targets uint64) float64 {
	mean := p.share() * float64(targets)
	return min(mean+3*math.Sqrt(mean), float64(targets), p.left())
}

// times estimate the duration: when every target answers its first SYN at once and closed, and when none answers. A SYN that is
// repeated delays a new one, and the time behind the last is the part of the timeout that one attempt has.
func (p plan) times() (least, most float64) {
	left := p.left()
	if left <= 0 {
		return 0, 0
	}
	attempts, timeout := float64(p.Attempts), p.Timeout.Seconds()
	for _, l := range p.limits() {
		least = max(least, (l.targets-1)/l.rate)
		most = max(most, (attempts*l.targets-1)/l.rate+timeout/attempts)
	}
	return least, max(most, least+timeout, math.Ceil(left/float64(p.MaxInFlight))*timeout)
}

// duration says how long it will take.
func (p plan) duration() string {
	least, most := p.times()
	if math.IsInf(p.rate, 1) && least < soon {
		return fmt.Sprintf("as fast as this machine sends, about %s if nothing answers", span(most))
	}
	return fmt.Sprintf("%s if everything answers, %s if nothing does", span(least), span(most))
}

// soon is a time in seconds below which nobody wants to know more.
const soon = 0.1

// span writes seconds for people.
func span(seconds float64) string {
	const minute, hour, day = 60, 3600, 86400
	switch {
	case seconds < soon:
		return "under 0.1s"
	case seconds < minute:
		return fmt.Sprintf("%.1fs", seconds)
	case seconds < day:
		return time.Duration(seconds * 1e9).Round(time.Second).String()
	case seconds < 36500*day:
		return fmt.Sprintf("%.0f days and %.0f hours", math.Floor(seconds/day), math.Floor(math.Mod(seconds, day)/hour))
	}
	return fmt.Sprintf("%.0f years", seconds/(365.25*day))
}
