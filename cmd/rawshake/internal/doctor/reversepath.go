//go:build linux && !android

package doctor

import (
	"fmt"
	"strings"
)

// reversePathFacts name the interfaces with a strict reverse path filter.
type reversePathFacts struct{ strict []string }

// reversePath reads rp_filter, of which the larger of "all" and the interface's own counts (Documentation/networking/ip-sysctl.rst).
func (p *patient) reversePath() (f reversePathFacts) {
	const conf = "proc/sys/net/ipv4/conf/"
	all, _ := p.files.number(conf + "all/rp_filter")
	for _, name := range p.files.interfaces() {
		own, ok := p.files.number(conf + name + "/rp_filter")
		if ok && name != "lo" && max(own, all) == 1 {
			f.strict = append(f.strict, name)
		}
	}
	return f
}

func judgeReversePath(f reversePathFacts) []Finding {
	const check = "rp_filter"
	if len(f.strict) == 0 {
		return one(check, OK, "no strict reverse path filter", "")
	}
	return one(check, Info, fmt.Sprintf("%s: a strict reverse path filter drops what comes back by another interface than the route's; "+
		"rawshake sees such answers, programs that connect do not", strings.Join(f.strict, ", ")), "sudo sysctl -w net.ipv4.conf.all.rp_filter=2")
}
