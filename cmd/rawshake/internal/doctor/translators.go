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

// translations are the commands that list what is translated, by interface.
var translations = map[string]string{
	"docker0":     natFix,
	"cni0":        natFix,
	"kube-ipvs0":  "sudo ipvsadm --list --numeric",
	"cilium_host": "kubectl --namespace kube-system exec ds/cilium -- cilium-dbg service list",
}

const natFix = "sudo nft list ruleset | grep -n dnat; sudo iptables-save -t nat"

func (p *patient) translators() translatorFacts {
	return translatorFacts{p.links.names(func(i raw.Interface) bool { return translations[i.Name] != "" }), p.links.err}
}

func judgeTranslators(f translatorFacts) []Finding {
	const check = "nat"
	switch {
	case f.err != nil:
		return unlisted(check, f.err)
	case len(f.devices) == 0:
		return one(check, OK, "no sign of address translation on this host", "")
	}
	var fixes []string
	for _, device := range f.devices {
		if fix := translations[device]; !slices.Contains(fixes, fix) {
			fixes = append(fixes, fix)
		}
	}
	return one(check, Info, fmt.Sprintf("%s: published ports and service addresses are translated on this host; "+
		"rawshake finds the answers, and packet-socket sends of a scan go around the translation", strings.Join(f.devices, ", ")),
		strings.Join(fixes, "; "))
}
