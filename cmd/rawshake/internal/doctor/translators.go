//go:build linux && !android

package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// translatorFacts name interfaces of programs that translate addresses on the way out of this host.
type translatorFacts struct{ devices []string }

func (p *patient) translators() (f translatorFacts) {
	for _, name := range p.files.interfaces() {
		if slices.Contains([]string{"kube-ipvs0", "docker0", "cni0", "cilium_host"}, name) {
			f.devices = append(f.devices, name)
		}
	}
	return f
}

func judgeTranslators(f translatorFacts) []Finding {
	const check = "nat"
	if len(f.devices) == 0 {
		return one(check, OK, "no sign of address translation on this host", "")
	}
	return one(check, Info, fmt.Sprintf("%s: published ports and service addresses are translated on this host; "+
		"rawshake finds the answers, and packet-socket sends of a scan go around the translation", strings.Join(f.devices, ", ")),
		"sudo nft list ruleset | grep -n dnat; sudo iptables-save -t nat")
}
