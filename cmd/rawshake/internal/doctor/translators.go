//go:build linux && !android

package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rawshake/rawshake/raw"
)

// translatorFacts name interfaces of programs that translate addresses on the way out of this host.
type translatorFacts struct {
	devices []string
	err     error // the interfaces are not known
}

func (p *patient) translators() translatorFacts {
	known := []string{"kube-ipvs0", "docker0", "cni0", "cilium_host"}
	return translatorFacts{p.links.names(func(i raw.Interface) bool { return slices.Contains(known, i.Name) }), p.links.err}
}

func judgeTranslators(f translatorFacts) []Finding {
	const check = "nat"
	switch {
	case f.err != nil:
		return unlisted(check, f.err)
	case len(f.devices) == 0:
		return one(check, OK, "no sign of address translation on this host", "")
	}
	return one(check, Info, fmt.Sprintf("%s: published ports and service addresses are translated on this host; "+
		"rawshake finds the answers, and packet-socket sends of a scan go around the translation", strings.Join(f.devices, ", ")),
		"sudo nft list ruleset | grep -n dnat; sudo iptables-save -t nat")
}
