//go:build linux && !android

package doctor

import "fmt"

// conntrackFacts say how full the connection table is.
type conntrackFacts struct {
	loaded     bool
	count, max int
	hosts      bool // the limit is the host's, and this network namespace may only read it
}

func (p *patient) conntrack() (f conntrackFacts) {
	var hasCount, hasMax bool
	const limit = "proc/sys/net/netfilter/nf_conntrack_max"
	f.count, hasCount = p.files.number("proc/sys/net/netfilter/nf_conntrack_count")
	f.max, hasMax = p.files.number(limit)
	f.loaded, f.hosts = hasCount && hasMax, p.files.readOnly(limit)
	return f
}

func judgeConntrack(f conntrackFacts) []Finding {
	const check = "conntrack"
	if !f.loaded {
		return one(check, OK, "no connection tracking", "")
	}
	return []Finding{judgeTable(check, f), {check, Info,
		"firewall rules are not examined, doctor leaves them to you. One that drops INVALID packets does not hide answers, because the receive ring comes before the firewall",
		"sudo nft list ruleset | grep -n invalid"}}
}

func judgeTable(check string, f conntrackFacts) Finding {
	if f.max <= 0 { // no limit (nf_conntrack_core.c)
		return Finding{check, OK, fmt.Sprintf("%d connections tracked, without a limit", f.count), ""}
	}
	percent := f.count * 100 / f.max
	text := fmt.Sprintf("the connection table holds %d of %d (%d %%)", f.count, f.max, percent)
	if percent < 80 {
		return Finding{check, OK, text, ""}
	}
	level := Warn
	if percent < 95 {
		text += ": each SYN takes an entry for two minutes, and a full table drops packets"
	} else {
		level, text = Fail, text+": the kernel drops packets of new connections, our SYNs too"
	}
	if f.hosts {
		text += "; the limit is the host's: set it there, outside of this network namespace"
	}
	return Finding{check, level, text, fmt.Sprintf("sudo sysctl -w net.netfilter.nf_conntrack_max=%d", 4*f.max)}
}
