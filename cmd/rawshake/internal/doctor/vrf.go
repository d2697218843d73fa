//go:build linux && !android

package doctor

import (
	"fmt"
	"strings"

	"github.com/rawshake/rawshake/raw"
)

// vrfFacts say whether segments can arrive in a VRF, where a listener without a device does not find them.
type vrfFacts struct {
	devices []string
	accept  bool   // net.ipv4.tcp_l3mdev_accept
	device  string // -I, by which the guard finds its VRF itself
	err     error  // the interfaces are not known
}

func (p *patient) vrf() vrfFacts {
	f := vrfFacts{device: p.Interface, err: p.links.err}
	f.devices = p.links.names(func(i raw.Interface) bool { return i.Kind == "vrf" })
	n, _ := p.files.number("proc/sys/net/ipv4/tcp_l3mdev_accept")
	f.accept = n != 0
	return f
}

func judgeVRF(f vrfFacts) []Finding {
	const check = "vrf"
	names := strings.Join(f.devices, ", ")
	switch {
	case f.err != nil:
		return unlisted(check, f.err)
	case len(f.devices) == 0:
		return one(check, OK, "no VRF", "")
	case f.accept:
		return one(check, OK, fmt.Sprintf("VRF %s: tcp_l3mdev_accept lets guards cover it", names), "")
	case f.device != "":
		return one(check, Info, fmt.Sprintf("VRF %s: with -I %s the guard listens there", names, f.device), "")
	}
	return one(check, Warn, fmt.Sprintf("VRF %s: the kernel resets what answers there, because guards do not cover a VRF; with -I and an interface of the VRF they do", names),
		"sudo sysctl -w net.ipv4.tcp_l3mdev_accept=1")
}
