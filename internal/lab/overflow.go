//go:build linux && !android

package lab

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"
)

// overflowing is how many packets more than a backlog holds [Host.Overflow] puts there.
const overflowing = 100

// Overflow makes a processor's backlog of received packets overflow, once: a packet on its way out of eth0 is taken away, and comes in
// again as often as a backlog has room and a hundred times more. All that happens within the one call that sends it, which is why
// nothing can empty the backlog meanwhile. The packets are for the host at the other end, so that nobody here answers any. What the
// kernel counts of it (the second column of /proc/net/softnet_stat) is the machine's, and stays until it boots.
func (h *Host) Overflow(t testing.TB) {
	t.Helper()
	h.do(t, "overflow", h.Interface("eth0").Index, nil)
}

func opOverflow(c *call, index int) (any, error) {
	room, err := backlogRoom()
	if err != nil {
		return nil, err
	}
	if err := c.attach(hook{index, true, answerPriority}, multiply(index, room+overflowing)); err != nil {
		return nil, err
	}
	undo := c.handle.undo
	c.handle = nil
	return none{}, errors.Join(c.node.sendAnything(index), undo())
}

// backlogRoom reads net.core.netdev_max_backlog, which this process sees, and no other network namespace.
func backlogRoom() (n int32, err error) {
	const most = 20000 // the verifier walks through each round of a loop
	b, err := os.ReadFile("/proc/sys/net/core/netdev_max_backlog")
	if err != nil {
		return 0, err
	}
	if _, err := fmt.Sscan(string(b), &n); err != nil {
		return 0, err
	}
	if n > most {
		return 0, fmt.Errorf("net.core.netdev_max_backlog is %s, and at most %d can be filled", strings.TrimSpace(string(b)), most)
	}
	return n, nil
}

// multiply is a program that has each packet come in n times instead of going out.
func multiply(index int, n int32) asm.Instructions {
	const ingress = 1 // BPF_F_INGRESS
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.Mov.Imm(asm.R7, n),
		asm.Mov.Reg(asm.R1, asm.R6).WithSymbol("again"),
		asm.Mov.Imm(asm.R2, int32(index)),
		asm.Mov.Imm(asm.R3, ingress),
		asm.FnCloneRedirect.Call(),
		asm.Sub.Imm(asm.R7, 1),
		asm.JNE.Imm(asm.R7, 0, "again"),
		asm.Mov.Imm(asm.R0, stolen),
		asm.Return(),
	}
}

// sendAnything has a packet for the neighbour leave by eth0. It takes a packet socket, because a neighbour's address may have to be asked
// for, and there may be no room for it among those of other namespaces.
func (n *node) sendAnything(index int) error {
	f, err := n.packetSocket(packetArgs{Interface: index})
	if err != nil {
		return err
	}
	defer f.Close()
	e := n.top.ends(n.name)[0]
	header := append([]byte{0x45}, make([]byte, 19)...)
	return packetConn{f}.send(header, e.mac(), e.other().mac())
}
