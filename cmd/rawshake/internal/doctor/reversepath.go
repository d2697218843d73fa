//go:build linux && !android

package doctor

import (
	"fmt"
	"strings"

	"github.com/rawshake/rawshake/raw"
)

// reversePathFacts name the interfaces with a strict reverse path filter.
type reversePathFacts struct {
	strict []string
	err    error // the interfaces are not known
}

// reversePath reads rp_filter, of which the larger of "all" and the interface's own counts (Documentation/networking/ip-sysctl.rst).
func (p *patient) reversePath() reversePathFacts {
	const conf = "proc/sys/net/ipv4/conf/"
	all, _ := p.files.number(conf + "all/rp_filter")
	strict := p.links.names(func(i raw.Interface) bool {
		own, ok := p.files.number(conf + i.Name + "/rp_filter")
		return ok && i.Name != "lo" && max(own, all) == 1
	})
	return reversePathFacts{strict, p.links.err}
}

func judgeReversePath(f reversePathFacts) []Finding {
	const check = "rp_filter"
	switch {
	case f.err != nil:
		return unlisted(check, f.err)
	case len(f.strict) == 0:
		return one(check, OK, "no strict reverse path filter", "")
	}
	return one(check, Info, fmt.Sprintf("%s: a strict reverse path filter drops what comes back by another interface than the route's; "+
		"rawshake sees such answers, programs that connect do not", strings.Join(f.strict, ", ")), "sudo sysctl -w net.ipv4.conf.all.rp_filter=2")
}
