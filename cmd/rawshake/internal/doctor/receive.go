//go:build linux && !android

package doctor

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/raw"
)

// receiveFacts are what a burst over loopback came to.
type receiveFacts struct {
	err   error
	sent  int
	seen  int    // by the ring
	drops uint64 // of the ring
}

// burst is short enough for every backlog (net.core.netdev_max_backlog is 1000) and for the ring.
const burst = 8 * raw.BatchSize

// receive sends a burst to a guarded port on loopback, where nobody answers, and counts what the ring sees of it.
func (p *patient) receive() (f receiveFacts) {
	t, err := newTrial(false)
	defer t.close()
	if f.err = err; err != nil {
		return f
	}
	for f.sent < burst && f.err == nil {
		f.err = t.sendBatch(&f.sent)
	}
	if f.err != nil {
		return f
	}
	f.err = t.watchFor(patience, func(r *craft.Reply) bool {
		if r.Kind == craft.SYNACK && r.LocalPort == t.guarded() {
			f.seen++
		}
		return f.seen == f.sent
	})
	f.drops, err = t.ring.Drops()
	f.err = errors.Join(f.err, err)
	return f
}

func (t *trial) sendBatch(sent *int) error {
	for i := range raw.BatchSize {
		if err := t.forge(i, t.guarded(), 64, uint32(*sent+i)); err != nil {
			return err
		}
	}
	n, err := t.sender.Send(0, raw.BatchSize)
	*sent += n
	return err
}

func judgeReceive(f receiveFacts) []Finding {
	const check = "receive"
	switch {
	case refused(f.err):
		return one(check, Fail, firewallRefuses, firewallFix)
	case errors.Is(f.err, os.ErrPermission):
		return one(check, Info, "not tried: that needs raw sockets", "")
	case f.err != nil:
		return one(check, Fail, "the receive ring cannot be tried: "+f.err.Error(), "sudo ip link set lo up")
	case f.seen == 0:
		return one(check, Fail, fmt.Sprintf("the receive ring sees none of %d packets on loopback: something takes them before packet sockets (tc, XDP, or a netdev or ingress chain of nftables)", f.sent),
			"sudo nft list ruleset; tc filter show dev lo ingress; ip link show dev lo")
	case f.seen < f.sent:
		return one(check, Fail, fmt.Sprintf("the receive ring sees %d of %d packets on loopback (%d found it full): answers get lost on this machine", f.seen, f.sent, f.drops),
			"sudo nft list ruleset; tc filter show dev lo ingress; cat /proc/net/softnet_stat")
	}
	return one(check, OK, fmt.Sprintf("the receive ring sees %d of %d packets on loopback; it is memory of its own, net.core.rmem_max does not limit it", f.seen, f.sent), "")
}

// backlogFacts are packets that the kernel lost before any socket saw them.
type backlogFacts struct {
	dropped uint64 // of full backlogs, all processors, since boot
	device  string // the interface towards the target; "" without one
	missed  uint64 // by that interface, since it came up
}

func (p *patient) backlog() backlogFacts {
	f := backlogFacts{dropped: p.files.softnetDropped()}
	route, err := p.route()
	if err != nil {
		return f
	}
	link := p.links.byIndex(route.Interface)
	f.device, f.missed = link.Name, link.Missed
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

func judgeBacklog(f backlogFacts) []Finding {
	const check = "backlog"
	var all []Finding
	if f.dropped > 0 {
		all = append(all, Finding{check, Warn, fmt.Sprintf("the kernel dropped %d packets since boot because a processor's backlog was full", f.dropped),
			"sudo sysctl -w net.core.netdev_max_backlog=10000"})
	}
	if f.missed > 0 {
		all = append(all, Finding{check, Warn, fmt.Sprintf("%s lost %d packets since it came up because its receive ring was full", f.device, f.missed),
			"sudo ethtool -G " + f.device + " rx 4096"})
	}
	if all == nil {
		return one(check, OK, "the kernel lost no packets for want of room", "")
	}
	return all
}
