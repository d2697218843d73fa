//go:build linux && !android

package doctor

import (
	"errors"
	"fmt"
	"os"

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
	t, err := p.newTrial(false)
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

// takersFix shows who can take packets before packet sockets see them.
const takersFix = "sudo nft list ruleset; tc filter show dev lo ingress; ip link show dev lo; sudo bpftool net show dev lo"

func judgeReceive(f receiveFacts) []Finding {
	const check = "receive"
	switch {
	case refused(f.err):
		return one(check, Fail, firewallRefuses, firewallFix)
	case errors.Is(f.err, os.ErrPermission):
		return one(check, Info, "not tried: that needs raw sockets", openingFix(f.err, watchFix))
	case errors.Is(f.err, errLoopbackDown):
		return one(check, Fail, "the receive ring cannot be tried: "+f.err.Error(), loopbackFix)
	case noAddress(f.err):
		return one(check, Fail, "the receive ring cannot be tried: this host has no IPv4 on loopback", guardFacts{}.addressFix())
	case f.err != nil:
		return one(check, Fail, "the receive ring cannot be tried: "+f.err.Error(), openingFix(f.err, watchFix))
	case f.seen == 0:
		return one(check, Fail, fmt.Sprintf("the receive ring sees none of %d packets on loopback: something takes them before packet sockets (tc, XDP, or a netdev or ingress chain of nftables)", f.sent),
			takersFix)
	case f.seen < f.sent:
		return one(check, Fail, fmt.Sprintf("the receive ring sees %d of %d packets on loopback (%d found it full): answers get lost on this machine", f.seen, f.sent, f.drops),
			takersFix+"; cat /proc/net/softnet_stat")
	}
	return one(check, OK, fmt.Sprintf("the receive ring sees %d of %d packets on loopback; it is memory of its own, net.core.rmem_max does not limit it", f.seen, f.sent), "")
}
