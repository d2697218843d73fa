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
	p = plan{Options: o, set: set, size: o.Order.Shard.Size(set.Size()), hash: hashOf(set, o.Flags)}
	if err := p.somethingLeft(); err != nil {
		return p, err
	}
	if o.Resume != nil {
		if err := o.Resume.Check(p.hash); err != nil {
			return p, exit.Usagef("--resume: %w", err)
		}
	}
	if err := p.readRates(); err != nil {
		return p, exit.With(exit.Usage, err)
	}
	return p, o.distinctFiles()
}

// somethingLeft fails when there are no targets, not even such whose names have no address: those are records, too.
func (p plan) somethingLeft() error {
	switch {
	case p.set.Size() > 0, len(p.set.Unresolved()) > 0 && !p.DryRun:
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
	if p.Yes || p.Resume != nil || p.size <= consentAbove || !term.IsTerminal(p.Stderr) {
		return nil
	}
	return exit.Usagef("this is %d probes, %s: add --yes to start, or --dry-run to see what would happen", p.size, p.duration())
}

// times estimate the duration: when every target answers its first SYN at once and closed, and when none answers.
func (p plan) times() (least, most float64) {
	if p.size == 0 {
		return 0, 0
	}
	n := float64(p.size) * (1 - float64(p.set.Outside)/float64(p.set.Size()))
	least = n / p.rate
	if p.hostRate > 0 { // the targets of a shard are spread evenly over the hosts
		least = max(least, n/float64(p.set.Addresses())/p.hostRate)
	}
	timeout := p.Timeout.Seconds()
	most = max(least, float64(p.Attempts)*n/p.rate, n*timeout/float64(p.MaxInFlight)) + timeout
	return least, most
}

// duration says how long it will take.
func (p plan) duration() string {
	least, most := p.times()
	if math.IsInf(p.rate, 1) {
		return fmt.Sprintf("as fast as this machine sends, about %s if nothing answers", span(most))
	}
	return fmt.Sprintf("%s if everything answers, %s if nothing does", span(least), span(most))
}

// span writes seconds for people.
func span(seconds float64) string {
	const minute, hour, day = 60, 3600, 86400
	switch {
	case seconds < 0.1:
		return "no time"
	case seconds < minute:
		return fmt.Sprintf("%.1fs", seconds)
	case seconds < day:
		return time.Duration(seconds * 1e9).Round(time.Second).String()
	case seconds < 36500*day:
		return fmt.Sprintf("%.0f days and %.0f hours", math.Floor(seconds/day), math.Floor(math.Mod(seconds, day)/hour))
	}
	return fmt.Sprintf("%.0f years", seconds/(365.25*day))
}
