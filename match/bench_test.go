package match

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// BenchmarkTable is what a table of 2^20 probes costs each of them: its slot, its timer, its ISN and the way back from it.
func BenchmarkTable(b *testing.B) {
	b.Run("v4", func(b *testing.B) {
		benchmarkTable[[4]byte](b, func(i uint32) netip.Addr { return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, i))) })
	})
	b.Run("v6", func(b *testing.B) {
		benchmarkTable[[16]byte](b, func(i uint32) netip.Addr {
			a := [16]byte{0x20, 0x01, 0x0d, 0xb8}
			binary.BigEndian.PutUint32(a[12:], i)
			return netip.AddrFrom16(a)
		})
	})
}

func benchmarkTable[A Addr](b *testing.B, addr func(uint32) netip.Addr) {
	const n = 1 << 20
	tab := NewTable[A](n)
	isns := make([]uint32, n)
	const stride = 0x9e3779b1 // odd: answers come in another order
	add := func(i uint32) {
		id, _ := tab.Add(netip.AddrPortFrom(addr(i), 80))
		tab.Arm(id, i%1000+1)
		isns[i] = send(tab, id, 0, 1)
	}
	b.Run("add", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if i%n == 0 {
				tab = NewTable[A](n)
			}
			add(uint32(i % n))
		}
	})
	tab = NewTable[A](n)
	for i := range uint32(n) {
		add(i)
	}
	b.Run("find", func(b *testing.B) {
		for i := uint32(0); b.Loop(); i++ {
			k := i * stride % n
			if _, _, m := tab.Find(isns[k], 1, addr(k), 80); m != Pending {
				b.Fatal(k, m)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		for i := uint32(0); b.Loop(); i++ {
			k := i * stride % n
			id, _, m := tab.Find(isns[k], 1, addr(k), 80)
			if m != Pending {
				b.Fatal(k, m)
			}
			tab.Remove(id)
			add(k)
		}
	})
}
