package match

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"
)

// Addr is an address as a table stores it: 4 bytes of IPv4 or 16 of IPv6.
type Addr interface{ [4]byte | [16]byte }

// ID names a slot of a table.
type ID uint32

// Slot is a pending probe: 32 bytes for IPv4, 48 for IPv6, and no pointers, so that the garbage collector never looks at a
// million of them.
type Slot[A Addr] struct {
	// meta packs, from the low end: 38 bits time of the last send in units of 64 ns, or before the first one the tick of SetAsked,
	// 6 bits generation, 4 bits attempt, 8 bits source port index, 8 bits flags.
	meta uint64
	prev uint32 // list of the timer bucket; the first points back at its bucket
	next uint32 // list of the timer bucket, or of free slots
	// Final is the tick at which the verdict is due; before the first send, that at which the probe has waited for its turn as long
	// as its timeout.
	Final uint32
	// User is the caller's own: who waits, or what the target is called.
	User uint32
	addr A
	// Port is the target's port.
	Port uint16
	// route packs 10 bits path index and 6 bits lateness of the last attempt, see SetSent.
	route uint16
}

// The flags of a slot.
const (
	flagLive = 1 << iota
	// FlagSent says that an attempt is on the wire.
	FlagSent
	// FlagDropped says that the receive ring lost packets while the probe was pending.
	FlagDropped
	// FlagExtra says that the extra attempt for such a loss was given.
	FlagExtra
	// FlagHeld says that the probe holds its source port in the ledger.
	FlagHeld
	// FlagStale says that a stale half-open connection at the target was reset once.
	FlagStale
	// FlagQueued says that the next attempt waits for its turn to be sent.
	FlagQueued
	// FlagVague says that it cannot be told exactly enough for an RTT when an attempt left.
	FlagVague
)

const (
	sentBits  = 38
	sentMask  = 1<<sentBits - 1
	sentUnit  = 64 * time.Nanosecond
	genShift  = sentBits
	attShift  = genShift + genBits
	portShift = attShift + 4
	flagShift = portShift + 8

	// MaxPaths is the number of paths that slots can tell apart.
	MaxPaths  = 1 << 10
	pathMask  = MaxPaths - 1
	lateShift = 10
	lateUnit  = 256 * time.Microsecond
	lateMax   = 1<<6 - 1
)

// Is reports whether all the flags are set.
func (s *Slot[A]) Is(flags uint64) bool { return s.meta>>flagShift&flags == flags }

// Live reports whether the slot holds a pending probe.
func (s *Slot[A]) Live() bool { return s.Is(flagLive) }

// Set sets flags.
func (s *Slot[A]) Set(flags uint64) { s.meta |= flags << flagShift }

// Clear clears flags.
func (s *Slot[A]) Clear(flags uint64) { s.meta &^= flags << flagShift }

// Attempt returns the number of the last attempt; the first is 0.
func (s *Slot[A]) Attempt() int { return int(s.meta >> attShift & 15) }

// SetAttempt stores the number of the last attempt.
func (s *Slot[A]) SetAttempt(n int) { s.meta = s.meta&^(15<<attShift) | uint64(n&15)<<attShift }

// PortIndex returns which of our source ports the last attempt left from.
func (s *Slot[A]) PortIndex() int { return int(s.meta >> portShift & 255) }

// SetPortIndex stores which of our source ports the last attempt left from.
func (s *Slot[A]) SetPortIndex(i int) { s.meta = s.meta&^(255<<portShift) | uint64(i&255)<<portShift }

// Path returns the index of the path.
func (s *Slot[A]) Path() int { return int(s.route & pathMask) }

// SetPath stores the index of the path.
func (s *Slot[A]) SetPath(i int) { s.route = s.route&^pathMask | uint16(i&pathMask) }

func (s *Slot[A]) gen() uint8 { return uint8(s.meta>>genShift) & genMask }

func (s *Slot[A]) setGen(g uint8) {
	s.meta = s.meta&^(genMask<<genShift) | uint64(g&genMask)<<genShift
}

// SetAsked stores from which tick on the probe waits for its turn, until the first SetSent takes the place.
func (s *Slot[A]) SetAsked(tick uint32) { s.meta = s.meta&^sentMask | uint64(tick) }

// Asked returns what SetAsked stored.
func (s *Slot[A]) Asked() uint32 { return uint32(s.meta & sentMask) }

// SetSent stores when the last attempt left, on the caller's monotonic clock, and how much later than planned after the one
// before, so that RTTs of both can be told.
func (s *Slot[A]) SetSent(at, late time.Duration) {
	s.meta = s.meta&^sentMask | uint64(at/sentUnit)&sentMask
	units := late / lateUnit
	if units < 0 || units > lateMax {
		units = lateMax
	}
	s.route = s.route&pathMask | uint16(units)<<lateShift
}

// Since returns the time from the last attempt's send until now, modulo 4.8 hours. A now before the send gives a negative time.
func (s *Slot[A]) Since(now time.Duration) time.Duration {
	d := (uint64(now/sentUnit) - s.meta) & sentMask
	return time.Duration(int64(d<<(64-sentBits))>>(64-sentBits)) * sentUnit
}

// RTT returns the time from the send of the given attempt until now: exact for the last one, within 128 µs for the one
// before it, and within the lateness of the sends between for older ones. It is 0 if the last send was not by plan, earlier or
// 16 ms later: then it cannot be told.
func (s *Slot[A]) RTT(now time.Duration, attempt int, plan *Plan) time.Duration {
	rtt := s.Since(now)
	if last := s.Attempt(); attempt < last {
		late := s.route >> lateShift
		if late == lateMax {
			return 0
		}
		rtt += plan.Between(attempt, last) + time.Duration(late)*lateUnit + lateUnit/2
	}
	return max(rtt, 0)
}

// Addr returns the target's address, without a zone.
func (s *Slot[A]) Addr() netip.Addr { return toAddr(s.addr) }

func toAddr[A Addr](a A) netip.Addr {
	switch a := any(a).(type) {
	case [4]byte:
		return netip.AddrFrom4(a)
	case [16]byte:
		return netip.AddrFrom16(a)
	}
	panic("unreachable")
}

func fromAddr[A Addr](ip netip.Addr) (a A) {
	switch p := any(&a).(type) {
	case *[4]byte:
		*p = ip.As4()
	case *[16]byte:
		*p = ip.As16()
	}
	return a
}

// hash mixes an address and a port for the ledger. It folds a product of 128 bits (as wyhash does), because neighbours differ
// in the last bytes, which are the highest bits of a word.
func hash(ip netip.Addr, port uint16) uint64 {
	a, b := uint64(port), uint64(0)
	if ip.Is4() {
		word := ip.As4()
		b = uint64(binary.LittleEndian.Uint32(word[:]))
	} else {
		words := ip.AsSlice() // inlined and on the stack; As16 costs 15 ns more
		a ^= binary.LittleEndian.Uint64(words[:8])
		b = binary.LittleEndian.Uint64(words[8:])
	}
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xbf58476d1ce4e5b9)
	hi, lo = bits.Mul64(hi^lo, 0x94d049bb133111eb)
	return hi ^ lo
}
