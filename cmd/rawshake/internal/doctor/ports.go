//go:build linux && !android

package doctor

import (
	"fmt"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/raw"
)

// portFacts say where source ports come from.
type portFacts struct {
	first, last int
	reserved    string // net.ipv4.ip_local_reserved_ports
	err         error  // of taking as many as a prober does
}

func (p *patient) ports() portFacts {
	f := portFacts{reserved: p.files.text("proc/sys/net/ipv4/ip_local_reserved_ports")}
	fmt.Sscan(p.files.text("proc/sys/net/ipv4/ip_local_port_range"), &f.first, &f.last) // unread: 0, which judgePorts knows
	guard, err := raw.OpenGuard(false, raw.PortRange{}, match.MaxPorts, "")
	if f.err = err; err == nil {
		guard.Close()
	}
	return f
}

// fewPorts is a range in which a prober's ports and those of the machine's own connections get in each other's way.
const fewPorts = 1024

func judgePorts(f portFacts) []Finding {
	const check, widen = "ports", `sudo sysctl -w net.ipv4.ip_local_port_range="32768 60999"`
	size := f.last - f.first + 1
	switch {
	case f.err != nil:
		return one(check, Fail, fmt.Sprintf("%d source ports are needed and cannot be had: %v", match.MaxPorts, f.err), openingFix(f.err, widen))
	case f.first == 0:
		return one(check, OK, fmt.Sprintf("%d source ports are free", match.MaxPorts), "")
	case size < fewPorts:
		return one(check, Warn, fmt.Sprintf("the range of source ports is narrow, %d to %d: a prober takes %d of %d", f.first, f.last, match.MaxPorts, size), widen)
	}
	text := fmt.Sprintf("source ports come from %d to %d", f.first, f.last)
	if f.reserved != "" {
		text += " without " + f.reserved
	}
	return one(check, OK, text, "")
}
