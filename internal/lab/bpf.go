//go:build linux && !android

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The BPF programs of the lab hang on the clsact queueing discipline of an interface, which kernels have since 4.5.

// hook is a place for a program.
type hook struct {
	index    int // of the interface
	egress   bool
	priority uint16 // lower runs first
}

const (
	deafPriority = 1 + iota
	losePriority
	answerPriority
)

// What a program returns (linux/pkt_cls.h).
const (
	next   = -1 // go on with the next program
	shot   = 2  // drop
	stolen = 4  // drop, and let the sender take it for sent
)

// attach hangs a program on a hook of the host until the operation is undone.
func (c *call) attach(h hook, program asm.Instructions) error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: program, License: "Apache-2.0"})
	if err != nil {
		return fmt.Errorf("load the BPF program: %+v", err)
	}
	defer p.Close() // the filter holds it
	filter, err := c.node.hang(h, p)
	if err != nil {
		return fmt.Errorf("attach the BPF program: %w", err)
	}
	nl, before := c.nl, c.handle
	c.undoBy(func() error {
		err := nl.FilterDel(filter)
		if before != nil {
			err = errors.Join(err, before.undo())
		}
		return err
	})
	return nil
}

func (n *node) hang(h hook, p *ebpf.Program) (netlink.Filter, error) {
	qdisc := &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: h.index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT},
		QdiscType:  "clsact",
	}
	if err := n.nl.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, err
	}
	parent := uint32(netlink.HANDLE_MIN_INGRESS)
	if h.egress {
		parent = netlink.HANDLE_MIN_EGRESS
	}
	filter := &netlink.BpfFilter{
		FilterAttrs:  netlink.FilterAttrs{LinkIndex: h.index, Parent: parent, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: h.priority},
		Fd:           p.FD(),
		Name:         "lab",
		DirectAction: true,
	}
	return filter, n.nl.FilterAdd(filter)
}

// Offsets in struct __sk_buff.
const (
	skbData    = 76
	skbDataEnd = 80
)

// ether is the length of the link header, and the offset of the IP header.
const ether = 14

// family is where the fields of a TCP segment are, from the start of the frame.
type family struct {
	name     string
	kind     uint16 // of the link header
	proto    int16  // the byte that says TCP
	src, dst int16
	words    int16 // of an address
	tcp      int16
}

var families = []family{
	{"v4", unix.ETH_P_IP, ether + 9, ether + 12, ether + 16, 1, ether + 20},
	{"v6", unix.ETH_P_IPV6, ether + 6, ether + 8, ether + 24, 4, ether + 40},
}

// tcpOnly begins a program: R6 is the context and R7 the frame. It jumps to the family's name for a TCP segment without IP options
// or extension headers whose fixed header can be read, and goes on with the next program for everything else.
func tcpOnly() asm.Instructions {
	ins := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	ins = append(ins, readable(ether+20, "pass")...)
	ins = append(ins, asm.LoadMem(asm.R1, asm.R7, 12, asm.Half))
	for _, f := range families {
		ins = append(ins, asm.JEq.Imm(asm.R1, int32(be16(f.kind)), "is "+f.name))
	}
	ins = append(ins, asm.Mov.Imm(asm.R0, next).WithSymbol("pass"), asm.Return())
	for _, f := range families {
		ins = append(ins, f.isTCP()...)
	}
	return ins
}

func (f family) isTCP() asm.Instructions {
	ins := readable(int32(f.tcp)+20, "pass")
	ins[0] = ins[0].WithSymbol("is " + f.name)
	if f.name == "v4" {
		ins = append(ins,
			asm.LoadMem(asm.R1, asm.R7, ether, asm.Byte),
			asm.JNE.Imm(asm.R1, 0x45, "pass"))
	}
	return append(ins,
		asm.LoadMem(asm.R1, asm.R7, f.proto, asm.Byte),
		asm.JNE.Imm(asm.R1, unix.IPPROTO_TCP, "pass"),
		asm.Ja.Label(f.name))
}

// readable loads the frame to R7 and jumps unless it has this many bytes.
func readable(length int32, otherwise string) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R7, asm.R6, skbData, asm.Word),
		asm.LoadMem(asm.R1, asm.R6, skbDataEnd, asm.Word),
		asm.Mov.Reg(asm.R2, asm.R7),
		asm.Add.Imm(asm.R2, length),
		asm.JGT.Reg(asm.R2, asm.R1, otherwise),
	}
}

// dropTCP is a program that does just that.
func dropTCP() asm.Instructions {
	ins := tcpOnly()
	for _, f := range families {
		ins = append(ins, asm.Mov.Imm(asm.R0, shot).WithSymbol(f.name), asm.Return())
	}
	return ins
}

// be16 and be32 give numbers in network order, as a program on this machine loads them.
func be16(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

func be32(v uint32) uint32 {
	return binary.NativeEndian.Uint32(binary.BigEndian.AppendUint32(nil, v))
}

// The hash by which programs decide, on one side in Go and on the other in BPF: of an address, whose 32-bit words are first joined
// by exclusive or, of a port and of a salt.

const (
	mulAddr = 0x9e3779b1
	mulPort = 0x85ebca77
	mulMix  = 0xc2b2ae3d
)

// join is the first half: the address word and the port, distinct for neighbouring addresses.
func join(a netip.AddrPort) uint32 {
	var word uint32
	for b := a.Addr().AsSlice(); len(b) > 0; b = b[4:] {
		word ^= binary.BigEndian.Uint32(b)
	}
	return word + uint32(a.Port())*mulPort
}

func mix(h uint32) uint32 {
	h *= mulAddr
	h ^= h >> 15
	h *= mulMix
	return h ^ h>>13
}

// joinIn does join in dst for the address at addr and the port at port; it spoils R1.
func (f family) joinIn(dst asm.Register, addr, port int16) asm.Instructions {
	ins := asm.Instructions{asm.LoadMem(dst, asm.R7, addr, asm.Word)}
	for i := int16(1); i < f.words; i++ {
		ins = append(ins, asm.LoadMem(asm.R1, asm.R7, addr+4*i, asm.Word), asm.Xor.Reg32(dst, asm.R1))
	}
	return append(ins,
		asm.HostTo(asm.BE, dst, asm.Word),
		asm.LoadMem(asm.R1, asm.R7, port, asm.Half),
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.Mul.Imm32(asm.R1, signed(mulPort)),
		asm.Add.Reg32(dst, asm.R1))
}

// mixIn does mix in dst; it spoils R1.
func mixIn(dst asm.Register) asm.Instructions {
	return asm.Instructions{
		asm.Mul.Imm32(dst, signed(mulAddr)),
		asm.Mov.Reg32(asm.R1, dst), asm.RSh.Imm32(asm.R1, 15), asm.Xor.Reg32(dst, asm.R1),
		asm.Mul.Imm32(dst, signed(mulMix)),
		asm.Mov.Reg32(asm.R1, dst), asm.RSh.Imm32(asm.R1, 13), asm.Xor.Reg32(dst, asm.R1),
	}
}

func signed(v uint32) int32 { return int32(v) }
