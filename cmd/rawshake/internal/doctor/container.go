//go:build linux && !android

package doctor

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const netRaw = 1 << unix.CAP_NET_RAW

// containerFacts say what surrounds this process.
type containerFacts struct {
	kind          string // "docker", "kubernetes" ...; "" where nothing hints at one
	hostNetwork   bool   // the interfaces look like those of a machine
	unlisted      bool   // nobody knows the interfaces
	bounded       bool   // the bounding set lacks CAP_NET_RAW
	userNamespace bool   // not the initial one
	noNewPrivs    bool
	seccomp       bool // a filter is in place
}

func (p *patient) container() containerFacts {
	f := p.files
	return containerFacts{
		kind:          f.containerKind(os.Getenv),
		hostNetwork:   p.links.onHost(),
		unlisted:      p.links.err != nil,
		bounded:       f.status("CapBnd")&netRaw == 0,
		userNamespace: !slices.Equal(strings.Fields(f.text("proc/self/uid_map")), []string{"0", "0", "4294967295"}),
		noNewPrivs:    f.status("NoNewPrivs") == 1,
		seccomp:       f.status("Seccomp") == unix.SECCOMP_MODE_FILTER,
	}
}

// containerKinds are words in the cgroup of the first process, and what they stand for.
var containerKinds = []struct{ word, kind string }{
	{"kubepods", "kubernetes"}, {"docker", "docker"}, {"libpod", "podman"}, {"crio", "cri-o"}, {"containerd", "containerd"}, {"lxc", "lxc"},
}

func (f files) containerKind(getenv func(string) string) string {
	if getenv("KUBERNETES_SERVICE_HOST") != "" {
		return "kubernetes"
	}
	groups := f.text("proc/1/cgroup")
	for _, k := range containerKinds {
		if strings.Contains(groups, k.word) {
			return k.kind
		}
	}
	switch {
	case f.exists(".dockerenv"):
		return "docker"
	case f.exists("run/.containerenv"):
		return "podman"
	}
	return ""
}

// status returns a number of /proc/self/status: capability sets are hexadecimal, the others small.
func (f files) status(key string) uint64 {
	for line := range strings.Lines(f.text("proc/self/status")) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return n
		}
	}
	return 0
}

func judgeContainer(f containerFacts) []Finding {
	const check = "container"
	var all []Finding
	add := func(level Level, text, fix string) { all = append(all, Finding{check, level, text, fix}) }
	switch {
	case f.kind != "" && f.unlisted:
		add(Info, fmt.Sprintf("this is a container (%s)", f.kind), "")
	case f.kind != "" && !f.hostNetwork:
		add(Info, fmt.Sprintf("this is a container (%s) with a network of its own: probes cross its bridge, and often the host's NAT and conntrack, which see each SYN", f.kind),
			"docker run --network host; Kubernetes hostNetwork: true")
	case f.kind != "":
		add(Info, fmt.Sprintf("this is a container (%s) on the host's network", f.kind), "")
	}
	if f.bounded {
		add(Warn, "the bounding set lacks CAP_NET_RAW: no program started from here can get it",
			"docker run --cap-add NET_RAW; Kubernetes securityContext: {capabilities: {add: [NET_RAW]}}; systemd CapabilityBoundingSet=CAP_NET_RAW")
	}
	if f.userNamespace {
		add(Info, "this is a user namespace: capabilities count only for network namespaces that belong to it", "cat /proc/self/uid_map")
	}
	if f.seccomp {
		add(Info, "a seccomp filter watches system calls: it must allow socket(AF_PACKET), socket(AF_NETLINK), socket(AF_INET, SOCK_RAW) and setsockopt", "grep Seccomp /proc/self/status")
	}
	if f.noNewPrivs {
		add(Info, "no_new_privs is set: file capabilities of programs started from here give nothing that was not permitted before", "grep NoNewPrivs /proc/self/status")
	}
	if all == nil {
		add(OK, "no container, no user namespace, no seccomp filter", "")
	}
	return all
}
