//go:build linux && !android

package pass

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
	"github.com/rawshake/rawshake/scan/output"
	"github.com/rawshake/rawshake/scan/pace"
)

// show writes the plan, a line each for what matters.
func (p plan) show(w io.Writer) error {
	var b bytes.Buffer
	line := func(key, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s %s\n", key, fmt.Sprintf(format, args...))
	}
	line("targets", "%d at %s, %s", p.set.Size(), targets.Amount(p.set.Addresses(), "address"), families(p.set))
	for _, remark := range p.set.Remarks() {
		line("", "%s", remark)
	}
	line("order", "seed %d, shard %v: %s", p.Order.Seed, p.Order.Shard, targets.Amount(p.size, "target"))
	line("rate", "%s", p.rates())
	line("attempts", "%d within %v, at most %d targets in flight", p.Attempts, p.Timeout, p.MaxInFlight)
	line("time", "%s", p.duration())
	ways, whole, err := p.ways()
	if err != nil {
		return exit.With(exit.System, fmt.Errorf("reading routes: %w", err))
	}
	for i, way := range ways {
		line([]string{"routes", ""}[min(i, 1)], "%v", way)
	}
	if !whole {
		line("", "(by a sample of %d targets, and the first of each range)", samples)
	}
	for _, o := range p.Outputs {
		line("output", "%s", outputText(o))
	}
	if p.Checkpoint != "" {
		line("checkpoint", "%s", p.Checkpoint)
	}
	_, err = w.Write(b.Bytes())
	return exit.With(exit.System, err)
}

func families(set *targets.Set) string {
	switch four, six := set.Families(); {
	case four && six:
		return "IPv4 and IPv6"
	case six:
		return "IPv6"
	}
	return "IPv4"
}

func (p plan) rates() string {
	parts := []string{pace.FormatRate(p.rate) + " packets/s"}
	if math.IsInf(p.rate, 1) {
		parts[0] = "full speed"
	}
	if p.hostRate > 0 {
		parts = append(parts, pace.FormatRate(p.hostRate)+" a host")
	}
	if p.netRate > 0 {
		parts = append(parts, pace.FormatRate(p.netRate)+" a network (/24, /64)")
	}
	return strings.Join(parts, ", ")
}

func outputText(o output.Spec) string {
	path := o.Path
	if path == output.Stdout {
		path = "standard output"
	}
	text := path + " (" + o.Format.String()
	if o.Compress {
		text += ", zstd"
	}
	return text + ")"
}
