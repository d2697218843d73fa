//go:build linux && !android

package doctor

import (
	"fmt"
	"strings"

	"github.com/rawshake/rawshake/raw"
)

// backlogFacts are packets that the kernel lost before any socket saw them.
type backlogFacts struct {
	dropped uint64          // of full backlogs, all processors, since boot
	size    int             // net.core.netdev_max_backlog; 0: only the host's network namespace shows it
	full    []raw.Interface // hardware whose receive ring was full
}

func (p *patient) backlog() backlogFacts {
	f := backlogFacts{dropped: p.files.softnetDropped()}
	f.size, _ = p.files.number("proc/sys/net/core/netdev_max_backlog")
	for _, i := range p.links.all {
		if i.Hardware && i.Missed > 0 { // others have no ring: a GRE tunnel counts there what came out of order
			f.full = append(f.full, i)
		}
	}
	return f
}

// softnetDropped adds up the second column of /proc/net/softnet_stat (softnet_seq_show, net/core/net-procfs.c).
func (f files) softnetDropped() (total uint64) {
	for line := range strings.Lines(f.text("proc/net/softnet_stat")) {
		var processed, dropped uint64
		if n, _ := fmt.Sscanf(line, "%x %x", &processed, &dropped); n == 2 {
			total += dropped
		}
	}
	return total
}

// largeBacklog is what the fix asks for. Where it is in force the drops may be from before, as the count goes on until the next boot.
const largeBacklog = 10000

func judgeBacklog(f backlogFacts) []Finding {
	const check = "backlog"
	var all []Finding
	if f.dropped > 0 {
		all = append(all, judgeDropped(check, f))
	}
	for _, i := range f.full {
		all = append(all, Finding{check, Warn,
			fmt.Sprintf("%s lost %d packets since it came up because its receive ring was full; with a larger one the count stays where it is", i.Name, i.Missed),
			fmt.Sprintf("sudo ethtool -G %[1]s rx $(ethtool -g %[1]s | awk '/^RX:/ { print $2; exit }')", i.Name)})
	}
	if all == nil {
		return one(check, OK, "the kernel lost no packets for want of room", "")
	}
	return all
}

func judgeDropped(check string, f backlogFacts) Finding {
	text := fmt.Sprintf("the kernel dropped %d packets since boot because a processor's backlog was full", f.dropped)
	fix := fmt.Sprintf("sudo sysctl -w net.core.netdev_max_backlog=%d", largeBacklog)
	switch {
	case f.size >= largeBacklog:
		return Finding{check, Info, fmt.Sprintf("%s; it holds %d by now, so look whether the second column still grows", text, f.size), "cat /proc/net/softnet_stat"}
	case f.size == 0:
		text += "; its size is the host's: set it there, outside of this network namespace"
	}
	return Finding{check, Warn, text, fix}
}
