//go:build linux && !android

package doctor

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/rawshake/rawshake/raw"
)

// frameFacts say how a scan would send by an interface.
type frameFacts struct {
	device string
	err    error // of AF_XDP
}

// frames opens what a scan's first lane would open for each interface; nothing is sent.
func (p *patient) frames() (all []frameFacts) {
	if p.denied != nil {
		return nil
	}
	seen := map[int]bool{}
	for _, route := range p.byFrames() {
		if seen[route.Interface] {
			continue
		}
		seen[route.Interface] = true
		s, err := raw.OpenXDP(route.Interface, 0, 0)
		if err == nil {
			err = s.Close()
		}
		all = append(all, frameFacts{p.links.byIndex(route.Interface).Name, err})
	}
	return all
}

// byFrames returns the routes of the subject that scans use whole frames for.
func (p *patient) byFrames() (all []raw.Route) {
	ways := elsewhere()
	if p.Target.IsValid() {
		ways = ways[:0]
		ways = append(ways, p.Target.Addr())
	}
	for _, dst := range ways {
		if r, err := p.lookup(dst); err == nil && r.Kind == raw.Link {
			all = append(all, r)
		}
	}
	return all
}

func judgeFrames(all []frameFacts) []Finding {
	var findings []Finding
	for _, f := range all {
		level, text, fix := judgeFrame(f)
		findings = append(findings, Finding{"frames", level, text, fix})
	}
	return findings
}

func judgeFrame(f frameFacts) (level Level, text, fix string) {
	slower := fmt.Sprintf("scans through %s send by packet sockets, where AF_XDP would take a quarter less time for each packet: ", f.device)
	switch {
	case f.err == nil:
		return OK, fmt.Sprintf("scans through %s send by AF_XDP", f.device), ""
	case errors.Is(f.err, syscall.ENOPROTOOPT):
		return Info, slower + "it needs Linux 6.17", "uname -r"
	case errors.Is(f.err, syscall.EAFNOSUPPORT):
		return Info, slower + "the kernel has none, or a seccomp filter refuses it (in a systemd unit, RestrictAddressFamilies= without AF_XDP)", "grep Seccomp: /proc/self/status"
	case errors.Is(f.err, syscall.ENOBUFS):
		return Info, slower + "too little memory may be locked", "sudo prlimit --pid $$ --memlock=8388608:8388608"
	case errors.Is(f.err, syscall.EBUSY):
		return Info, slower + "another AF_XDP socket has transmit queue 0", "sudo ss --xdp --processes"
	}
	return Info, slower + f.err.Error(), "ethtool --driver " + f.device
}
