//go:build linux && !android

package lab

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// Fate is what a responder does with the SYNs to a target.
type Fate uint8

// The fates of a target.
const (
	Open   Fate = iota // a SYN-ACK
	Closed             // a RST that acknowledges ISN+1
	Silent             // nothing
)

// MixedFate is the fate of a target under a mixed responder: about a third each, by a hash of address and port.
func MixedFate(target netip.AddrPort) Fate { return Fate(mix(join(plain(target))) % 3) }

// Responder answers SYNs to any address and port inside the kernel, as fast as packets arrive.
type Responder struct {
	Fate   Fate // of all targets
	Mixed  bool // instead: each target has its MixedFate
	Copies int  // of each answer, besides the first
}

// Counters count the TCP segments at a responder since it was attached.
type Counters struct {
	SYN, RST, Other     uint64 // that arrived: SYN without ACK; RST; anything else
	SYNACKSent, RSTSent uint64 // answers, copies included
}

// Responding is a responder at work.
type Responding struct {
	made *made
	Stop func() // ends it before the end of t
}

// Respond takes TCP away from the host's kernel, on eth0 and until the end of t, and gives it to a responder: every SYN that arrives
// is answered, whatever its destination (see [Topology.Prefixes] to route more to the host), from TTL 64 with window 64240 and
// MSS 1460, or 1440 for IPv6, as the only option. All other segments are counted and dropped. Only IPv4 without options
// and IPv6 without extension headers are understood; what is not TCP stays with the kernel.
func (h *Host) Respond(t testing.TB, r Responder) *Responding {
	t.Helper()
	m, err := h.call("respond", respondArgs{h.Interface("eth0").Index, r}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Responding{m, m.undoAtEnd(t)}
}

// Counters reads what the responder has counted.
func (r *Responding) Counters(t testing.TB) Counters {
	t.Helper()
	var c Counters
	if err := r.made.read(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

type respondArgs struct {
	Interface int
	Responder Responder
}

func opRespond(c *call, a respondArgs) (any, error) {
	counters, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 40, MaxEntries: 1})
	if err != nil {
		return nil, fmt.Errorf("counters: %w", err)
	}
	c.undoBy(counters.Close)
	program := a.Responder.program(counters, int32(a.Interface))
	if err := c.attach(hook{index: a.Interface, priority: answerPriority}, program); err != nil {
		counters.Close()
		return nil, err
	}
	c.handle.read = func() (any, error) { return sum(counters) }
	return none{}, nil
}

// sum adds up the counters of all processors.
func sum(m *ebpf.Map) (Counters, error) {
	var each []Counters
	var total Counters
	err := m.Lookup(uint32(0), &each)
	for _, c := range each {
		total.SYN += c.SYN
		total.RST += c.RST
		total.Other += c.Other
		total.SYNACKSent += c.SYNACKSent
		total.RSTSent += c.RSTSent
	}
	return total, err
}

// Offsets in Counters.
const (
	countSYN int16 = 8 * iota
	countRST
	countOther
	countSYNACKSent
	countRSTSent
)

// What the program makes of a fate.
type answer struct {
	label   string
	flags   uint32 // of the TCP header
	window  uint32
	options bool
	count   int16
}

var (
	openAnswer   = answer{"open", 0x12, 64240, true, countSYNACKSent}
	closedAnswer = answer{"closed", 0x14, 0, false, countRSTSent}
)

// program is the responder. R6 is the context, R7 the frame, R8 a sum, R9 the counters.
func (r Responder) program(counters *ebpf.Map, index int32) asm.Instructions {
	ins := tcpOnly()
	for _, f := range families {
		ins = append(ins, f.arrive(counters)...)
		ins = append(ins, r.decide(f)...)
		for _, a := range r.answers() {
			ins = append(ins, a.rewrite(f)...)
			ins = append(ins, r.send(a, index)...)
		}
	}
	return append(ins, asm.Mov.Imm(asm.R0, shot).WithSymbol("drop"), asm.Return())
}

func (r Responder) answers() []answer {
	switch {
	case r.Mixed:
		return []answer{openAnswer, closedAnswer}
	case r.Fate == Open:
		return []answer{openAnswer}
	case r.Fate == Closed:
		return []answer{closedAnswer}
	}
	return nil
}

// arrive counts the segment and drops it unless it is a SYN.
func (f family) arrive(counters *ebpf.Map) asm.Instructions {
	const syn, rst, kind = 0x02, 0x04, 0x17 // of FIN, SYN, RST, ACK
	ins := asm.Instructions{
		asm.StoreImm(asm.RFP, -4, 0, asm.Word).WithSymbol(f.name),
		asm.LoadMapPtr(asm.R1, counters.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "drop"),
		asm.Mov.Reg(asm.R9, asm.R0),
		asm.LoadMem(asm.R2, asm.R7, f.tcp+13, asm.Byte),
		asm.And.Imm(asm.R2, kind),
		asm.JEq.Imm(asm.R2, syn, f.name+" syn"),
		asm.JSet.Imm(asm.R2, rst, f.name+" rst"),
	}
	ins = append(ins, increment(countOther)...)
	ins = append(ins, asm.Ja.Label("drop"))
	ins = append(ins, labelled(f.name+" rst", increment(countRST))...)
	ins = append(ins, asm.Ja.Label("drop"))
	return append(ins, labelled(f.name+" syn", increment(countSYN))...)
}

// decide jumps to the answer, or drops.
func (r Responder) decide(f family) asm.Instructions {
	if !r.Mixed && r.Fate == Silent {
		return asm.Instructions{asm.Ja.Label("drop")}
	}
	if !r.Mixed {
		return nil // there is one answer, and it comes next
	}
	ins := f.joinIn(asm.R8, f.dst, f.tcp+2)
	ins = append(ins, mixIn(asm.R8)...)
	return append(ins,
		asm.Mod.Imm32(asm.R8, 3),
		asm.JEq.Imm(asm.R8, int32(Closed), f.name+" closed"),
		asm.JEq.Imm(asm.R8, int32(Silent), "drop"))
}

// send puts the frame back on the link that it came from.
func (r Responder) send(a answer, index int32) asm.Instructions {
	var ins asm.Instructions
	for range r.Copies {
		ins = append(ins,
			asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, index), asm.Mov.Imm(asm.R3, 0),
			asm.FnCloneRedirect.Call())
		ins = append(ins, increment(a.count)...)
	}
	ins = append(ins, increment(a.count)...)
	return append(ins,
		asm.Mov.Imm(asm.R1, index), asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return())
}

// increment needs no atomic operation: the counter is this processor's own.
func increment(counter int16) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R1, asm.R9, counter, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R9, counter, asm.R1, asm.DWord),
	}
}

func labelled(label string, ins asm.Instructions) asm.Instructions {
	ins[0] = ins[0].WithSymbol(label)
	return ins
}
