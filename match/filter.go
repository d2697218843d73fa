package match

import (
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
)

// MaxPorts is the most source ports that one filter, and so one engine, can have.
const MaxPorts = 64

// snapLength is how much of a packet the filter lets through: the longest headers of a SYN-ACK, and of an ICMPv6 error with
// the segment that it quotes, and room to spare.
const snapLength = 160

// Filter returns a classic BPF program for a packet socket that sees the network header first (SOCK_DGRAM), IPv4 or IPv6:
// it passes TCP segments to the given ports and ICMP errors about TCP segments from them. [craft.Decode] and [Claims] look
// closer; the filter keeps the host's other traffic from waking us.
func Filter(v6 bool, ports []uint16) ([]bpf.RawInstruction, error) {
	if len(ports) == 0 || len(ports) > MaxPorts {
		return nil, fmt.Errorf("receive filter for %d ports: want 1 to %d", len(ports), MaxPorts)
	}
	head := filter4
	if v6 {
		head = filter6
	}
	return bpf.Assemble(link(head, portTest(ports)))
}

// The programs below leave the port to test in A, or jump to one of two labels: a skip of `pass` goes to the port test that
// follows the program, a skip of `drop` to the end.
const (
	pass = 254
	drop = 255
)

var filter4 = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 6, Size: 2}, // no later fragments
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: drop},
	bpf.LoadMemShift{Off: 0}, // X = length of the IP header
	bpf.LoadAbsolute{Off: 9, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 1, SkipTrue: 3},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 6, SkipTrue: drop},
	bpf.LoadIndirect{Off: 2, Size: 2}, // TCP destination port
	bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: 0, SkipTrue: pass},

	bpf.LoadIndirect{Off: 0, Size: 1}, // ICMP type
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 3, SkipTrue: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 11, SkipTrue: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 12, SkipTrue: drop},
	bpf.LoadIndirect{Off: 8 + 9, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 6, SkipTrue: drop},
	bpf.LoadIndirect{Off: 8, Size: 1}, // X += length of the quoted IP header
	bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 15},
	bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 2},
	bpf.ALUOpX{Op: bpf.ALUOpAdd},
	bpf.TAX{},
	bpf.LoadIndirect{Off: 8, Size: 2}, // quoted source port
}

var filter6 = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 6, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 58, SkipTrue: 3},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 6, SkipTrue: drop},
	bpf.LoadAbsolute{Off: 40 + 2, Size: 2}, // TCP destination port
	bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: 0, SkipTrue: pass},

	bpf.LoadAbsolute{Off: 40, Size: 1}, // ICMPv6 type: errors about a packet are 1 to 4
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: drop},
	bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: 4, SkipTrue: drop},
	bpf.LoadAbsolute{Off: 40 + 8 + 6, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 6, SkipTrue: drop},
	bpf.LoadAbsolute{Off: 40 + 8 + 40, Size: 2}, // quoted source port
}

// portTest passes when A is one of the ports.
func portTest(ports []uint16) []bpf.Instruction {
	sorted := slices.Sorted(slices.Values(ports))
	prog := []bpf.Instruction{ // most of a host's traffic ends here
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: uint32(sorted[0]), SkipTrue: drop},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: uint32(sorted[len(sorted)-1]), SkipTrue: drop},
	}
	for i, p := range sorted {
		prog = append(prog, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(p), SkipTrue: uint8(len(sorted) - i)})
	}
	return append(prog, bpf.RetConstant{Val: 0}, bpf.RetConstant{Val: snapLength})
}

// link puts the two programs together and turns labels into distances.
func link(head, test []bpf.Instruction) []bpf.Instruction {
	prog := slices.Concat(head, test)
	end := len(prog) - 2 // the instruction that drops
	for i, ins := range prog {
		j, ok := ins.(bpf.JumpIf)
		if !ok || j.SkipTrue < pass {
			continue
		}
		if j.SkipTrue == pass {
			j.SkipTrue = uint8(len(head) - i - 1)
		} else {
			j.SkipTrue = uint8(end - i - 1)
		}
		prog[i] = j
	}
	return prog
}
