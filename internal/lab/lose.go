//go:build linux && !android

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// Loss loses TCP segments on their way into a host and out of it, ahead of whatever answers there. Whether the n-th segment to
// (or from) a target is lost depends on the seed, the target and n alone, so a test can know which attempt gets through: see
// [Loss.Answered]. It needs no time, port or sequence number, and repeats in every run.
type Loss struct {
	In, Out float64 // per cent
	Seed    uint32
}

// counts is the number of counters by which a loss knows its n. The counter of a target is found by its address and port: a block of
// addresses with one port does not collide up to this size. Where targets share a counter, the rate holds but Answered does not.
const counts = 1 << 20

const (
	saltIn  = 0x1b873593
	saltOut = 0xe6546b64
)

// lost says whether the n-th segment (from 0) between the prober and the target is lost.
func (l Loss) lost(target netip.AddrPort, n uint32, perCent float64, salt uint32) bool {
	return mix(join(plain(target))^mix(n^l.Seed^salt)) < threshold(perCent)
}

// Answered says which of the attempts (from 0) at a target the prober sees answered first, where each SYN that comes in is
// answered by one segment; -1 if none is. It holds for the first probe of the target.
func (l Loss) Answered(target netip.AddrPort, attempts int) int {
	out := uint32(0)
	for attempt := range attempts {
		if l.lost(target, uint32(attempt), l.In, saltIn) {
			continue
		}
		if !l.lost(target, out, l.Out, saltOut) {
			return attempt
		}
		out++
	}
	return -1
}

func threshold(perCent float64) uint32 {
	return uint32(min(max(perCent, 0)/100*(1<<32), 1<<32-1))
}

// Lose makes the host's eth0 lose TCP segments until the end of t.
func (h *Host) Lose(t testing.TB, l Loss) (undo func()) {
	t.Helper()
	return h.do(t, "lose", loseArgs{h.Interface("eth0").Index, l}, nil)
}

// Deafen makes an interface of the host take nothing in, ARP and neighbour discovery included, until the end of t: a host that has
// died, on a link that has not.
func (h *Host) Deafen(t testing.TB, name string) (undo func()) {
	t.Helper()
	return h.do(t, "deafen", h.Interface(name).Index, nil)
}

func opDeafen(c *call, index int) (any, error) {
	return none{}, c.attach(hook{index, false, deafPriority}, asm.Instructions{asm.Mov.Imm(asm.R0, shot), asm.Return()})
}

type loseArgs struct {
	Interface int
	Loss      Loss
}

func opLose(c *call, a loseArgs) (any, error) {
	in, err := newCounts()
	if err != nil {
		return nil, err
	}
	out, err := newCounts()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	// The programs hold the maps.
	defer in.Close()
	defer out.Close()
	l := a.Loss
	return none{}, errors.Join(
		c.attach(hook{a.Interface, false, losePriority}, l.program(in, false)),
		c.attach(hook{a.Interface, true, losePriority}, l.program(out, true)))
}

func newCounts() (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: counts})
	if err != nil {
		return nil, fmt.Errorf("counts of the loss: %w", err)
	}
	return m, nil
}

// program is one direction of the loss. R6 is the context, R7 the frame, R8 the joined target.
func (l Loss) program(counts *ebpf.Map, out bool) asm.Instructions {
	ins := tcpOnly()
	for _, f := range families {
		addr, port := f.dst, f.tcp+2
		if out {
			addr, port = f.src, f.tcp
		}
		ins = append(ins, labelled(f.name, f.joinIn(asm.R8, addr, port))...)
		ins = append(ins, asm.Ja.Label("count"))
	}
	perCent, salt := l.In, uint32(saltIn)
	if out {
		perCent, salt = l.Out, saltOut
	}
	ins = append(ins, countIn(counts)...)
	ins = append(ins, asm.Xor.Imm32(asm.R2, signed(l.Seed^salt)))
	ins = append(ins, mixIn(asm.R2)...)
	ins = append(ins, asm.Xor.Reg32(asm.R2, asm.R8))
	ins = append(ins, mixIn(asm.R2)...)
	return append(ins,
		asm.Mov.Imm(asm.R0, next),
		asm.JGE.Imm32(asm.R2, signed(threshold(perCent)), "end"),
		asm.Mov.Imm(asm.R0, shot),
		asm.Return().WithSymbol("end"))
}

// countIn fetches and increments the target's counter: R2 is n.
func countIn(m *ebpf.Map) asm.Instructions {
	fetchAdd := asm.FetchAdd.Mem(asm.R0, asm.R2, asm.Word, 0)
	fetchAdd.Constant = 1 // BPF_FETCH, which cilium/ebpf 0.22.0 loses when it encodes the instruction
	return asm.Instructions{
		asm.Mov.Reg32(asm.R1, asm.R8).WithSymbol("count"),
		asm.And.Imm(asm.R1, counts-1),
		asm.StoreMem(asm.RFP, -4, asm.R1, asm.Word),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.Mov.Imm(asm.R2, 1),
		fetchAdd,
	}
}
