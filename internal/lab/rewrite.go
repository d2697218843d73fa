//go:build linux && !android

package lab

import (
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// rewrite makes the frame of a SYN into its answer. It gives the frame its new length first, so that every offset is a
// constant, and sums the checksums up on the way. R8 is the sum.
func (a answer) rewrite(f family) asm.Instructions {
	tcpLength := int32(20)
	if a.options {
		tcpLength = 24
	}
	total := int32(f.tcp) + tcpLength
	ins := asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6).WithSymbol(f.name + " " + a.label),
		asm.Mov.Imm(asm.R2, total), asm.Mov.Imm(asm.R3, 0),
		asm.FnSkbChangeTail.Call(),
		asm.JNE.Imm(asm.R0, 0, "drop"),
	}
	ins = append(ins, readable(total, "drop")...)
	ins = append(ins, swapMACs()...)
	ins = append(ins, f.swapAddresses()...)
	if f.name == "v4" {
		ins = append(ins, header4(20+tcpLength)...)
	} else {
		ins = append(ins, header6(tcpLength)...)
	}
	return append(ins, a.segment(f, tcpLength)...)
}

func swapMACs() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R1, asm.R7, 0, asm.Word), asm.LoadMem(asm.R2, asm.R7, 4, asm.Half),
		asm.LoadMem(asm.R3, asm.R7, 6, asm.Word), asm.LoadMem(asm.R4, asm.R7, 10, asm.Half),
		asm.StoreMem(asm.R7, 0, asm.R3, asm.Word), asm.StoreMem(asm.R7, 4, asm.R4, asm.Half),
		asm.StoreMem(asm.R7, 6, asm.R1, asm.Word), asm.StoreMem(asm.R7, 10, asm.R2, asm.Half),
	}
}

// swapAddresses begins the sum.
func (f family) swapAddresses() asm.Instructions {
	ins := asm.Instructions{asm.Mov.Imm(asm.R8, 0)}
	for i := range f.words {
		src, dst := f.src+4*i, f.dst+4*i
		ins = append(ins,
			asm.LoadMem(asm.R1, asm.R7, src, asm.Word), asm.LoadMem(asm.R2, asm.R7, dst, asm.Word),
			asm.StoreMem(asm.R7, dst, asm.R1, asm.Word), asm.StoreMem(asm.R7, src, asm.R2, asm.Word),
			asm.Add.Reg(asm.R8, asm.R1), asm.Add.Reg(asm.R8, asm.R2))
	}
	return ins
}

// header4 writes the IPv4 header but for the addresses: don't fragment, TTL 64. The sum of the addresses stays in R8.
func header4(length int32) asm.Instructions {
	words := []uint32{0x4500<<16 | uint32(length), 0x4000, 64<<24 | unix.IPPROTO_TCP<<16}
	ins := asm.Instructions{asm.Mov.Reg(asm.R3, asm.R8)}
	for i, w := range words {
		ins = append(ins, storeWord(ether+4*int16(i), w)...)
		ins = append(ins, asm.Add.Reg(asm.R3, asm.R1))
	}
	ins = append(ins, fold(asm.R3)...)
	return append(ins, asm.StoreMem(asm.R7, ether+10, asm.R3, asm.Half))
}

// header6 writes the IPv6 header but for the addresses: no flow label, hop limit 64.
func header6(payload int32) asm.Instructions {
	ins := storeWord(ether, 6<<28)
	return append(ins, storeWord(ether+4, uint32(payload)<<16|unix.IPPROTO_TCP<<8|64)...)
}

// segment writes the TCP header and completes the sum, to which R8 already holds the addresses' part.
func (a answer) segment(f family, length int32) asm.Instructions {
	const ports, seq, ack, offset, sum, options = 0, 4, 8, 12, 16, 20
	ins := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R7, f.tcp+ports, asm.Word), // swap the ports
		asm.Mov.Reg32(asm.R3, asm.R2), asm.LSh.Imm32(asm.R3, 16), asm.RSh.Imm32(asm.R2, 16), asm.Or.Reg32(asm.R2, asm.R3),
		asm.StoreMem(asm.R7, f.tcp+ports, asm.R2, asm.Word),
		asm.Add.Reg(asm.R8, asm.R2),
		asm.LoadMem(asm.R3, asm.R7, f.tcp+seq, asm.Word), // acknowledge the ISN
		asm.HostTo(asm.BE, asm.R3, asm.Word), asm.Add.Imm32(asm.R3, 1), asm.HostTo(asm.BE, asm.R3, asm.Word),
		asm.StoreMem(asm.R7, f.tcp+ack, asm.R3, asm.Word),
		asm.Add.Reg(asm.R8, asm.R3),
	}
	if a.flags&0x02 == 0 {
		ins = append(ins, asm.Mov.Imm(asm.R2, 0)) // a RST that answers a SYN has sequence number 0 (RFC 9293, 3.10.7.1)
	}
	ins = append(ins,
		asm.Mul.Imm32(asm.R2, signed(mulAddr)), // the peer's ISN, from the ports
		asm.StoreMem(asm.R7, f.tcp+seq, asm.R2, asm.Word),
		asm.Add.Reg(asm.R8, asm.R2))
	constant := []uint32{uint32(length)<<26 | a.flags<<16 | a.window, 0}
	if a.options {
		mss := uint32(1460)
		if f.name == "v6" {
			mss = 1440
		}
		constant = append(constant, 2<<24|4<<16|mss)
	}
	for i, w := range constant {
		ins = append(ins, storeWord(f.tcp+offset+4*int16(i), w)...)
		ins = append(ins, asm.Add.Reg(asm.R8, asm.R1))
	}
	ins = append(ins, // the rest of the pseudo-header
		asm.LoadImm(asm.R1, int64(be32(unix.IPPROTO_TCP)), asm.DWord), asm.Add.Reg(asm.R8, asm.R1),
		asm.LoadImm(asm.R1, int64(be32(uint32(length))), asm.DWord), asm.Add.Reg(asm.R8, asm.R1))
	ins = append(ins, fold(asm.R8)...)
	return append(ins, asm.StoreMem(asm.R7, f.tcp+sum, asm.R8, asm.Half))
}

// storeWord writes a number in network order and leaves what was written in R1, to be summed.
func storeWord(at int16, v uint32) asm.Instructions {
	return asm.Instructions{
		asm.LoadImm(asm.R1, int64(be32(v)), asm.DWord),
		asm.StoreMem(asm.R7, at, asm.R1, asm.Word),
	}
}

// fold makes an Internet checksum of a sum of 32-bit words (RFC 1071): the byte order does not matter. It spoils R1.
func fold(sum asm.Register) asm.Instructions {
	ins := asm.Instructions{
		asm.Mov.Reg(asm.R1, sum), asm.RSh.Imm(asm.R1, 32),
		asm.Mov.Reg32(sum, sum), asm.Add.Reg(sum, asm.R1),
	}
	for range 3 {
		ins = append(ins,
			asm.Mov.Reg(asm.R1, sum), asm.RSh.Imm(asm.R1, 16),
			asm.And.Imm(sum, 0xffff), asm.Add.Reg(sum, asm.R1))
	}
	return append(ins, asm.Xor.Imm(sum, 0xffff))
}
