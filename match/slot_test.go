package match

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
	"unsafe"
)

func TestSlotSize(t *testing.T) {
	if n := unsafe.Sizeof(Slot[[4]byte]{}); n > 32 {
		t.Errorf("a slot for IPv4 has %d bytes, want 32 at most", n)
	}
	if n := unsafe.Sizeof(Slot[[16]byte]{}); n > 48 {
		t.Errorf("a slot for IPv6 has %d bytes, want 48 at most", n)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Slot[[4]byte]](), reflect.TypeFor[Slot[[16]byte]]()} {
		if hasPointers(typ) {
			t.Errorf("%v holds pointers: the garbage collector would look at each", typ)
		}
	}
}

func hasPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return hasPointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if hasPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	}
	return t.Kind() > reflect.Complex128
}

// Every field of a slot keeps its value while all others change.
func TestSlotFieldsAreApart(t *testing.T) {
	var s Slot[[4]byte]
	set := func(ones bool) {
		v := 0
		if ones {
			v = 1<<16 - 1
		}
		s.SetAttempt(v)
		s.SetPortIndex(v)
		s.SetPath(v)
		s.setGen(uint8(v))
	}
	set(true)
	if s.Attempt() != 15 || s.PortIndex() != 255 || s.Path() != MaxPaths-1 || s.gen() != genMask {
		t.Errorf("attempt %d, port %d, path %d, generation %d", s.Attempt(), s.PortIndex(), s.Path(), s.gen())
	}
	if s.Is(flagLive) || s.Is(FlagQueued) || s.Since(0) != 0 {
		t.Error("they spill into flags or time")
	}
	s.SetAsked(1<<32 - 1)
	if s.Asked() != 1<<32-1 || s.Attempt() != 15 || s.gen() != genMask {
		t.Errorf("asked at %d, attempt %d, generation %d", s.Asked(), s.Attempt(), s.gen())
	}
	s.SetSent((1<<sentBits-1)*sentUnit, time.Hour)
	s.Set(flagLive | FlagSent | FlagDropped | FlagExtra | FlagHeld | FlagStale | FlagQueued | FlagVague)
	set(false)
	if s.Attempt() != 0 || s.PortIndex() != 0 || s.Path() != 0 || s.gen() != 0 {
		t.Error("time or flags spill into the rest")
	}
	for f := uint64(flagLive); f <= FlagVague; f <<= 1 {
		if !s.Is(f) {
			t.Errorf("flag %b is lost", f)
		}
		s.Clear(f)
		if s.Is(f) {
			t.Errorf("flag %b stays", f)
		}
	}
	if s.meta>>flagShift != 0 || s.Since(0) != sentUnit { // that time is 64 ns before 0, modulo
		t.Errorf("flags %b, since %v", s.meta>>flagShift, s.Since(0))
	}
}

func TestSince(t *testing.T) {
	const round = (1 << sentBits) * sentUnit // 4.88 h
	var s Slot[[4]byte]
	for _, at := range []time.Duration{0, 12345 * sentUnit, round - sentUnit, round, 1000 * 24 * time.Hour / sentUnit * sentUnit} {
		s.SetSent(at, 0)
		for _, d := range []time.Duration{0, sentUnit, time.Second, 2 * time.Hour, -sentUnit, -time.Second, -2 * time.Hour} {
			if at+d < 0 {
				continue
			}
			if got := s.Since(at + d); got != d {
				t.Errorf("sent at %v, %v later is %v", at, d, got)
			}
		}
	}
	s.SetSent(time.Second, 0)
	if got := s.Since(time.Second + round/2 + time.Second); got >= 0 {
		t.Errorf("more than half a round later is %v", got)
	}
}

func TestRTT(t *testing.T) {
	plan, err := NewPlan([]time.Duration{0, time.Second, 3 * time.Second, 6 * time.Second}, 0)
	if err != nil {
		t.Fatal(err)
	}
	const at = 100 * time.Second
	for _, c := range []struct {
		last, answered int
		late           time.Duration
		want, within   time.Duration
	}{
		{0, 0, 0, 20 * time.Millisecond, 0},
		{3, 3, 5 * time.Millisecond, 20 * time.Millisecond, 0},
		{1, 0, 0, 1020 * time.Millisecond, 128 * time.Microsecond},
		{1, 0, 5 * time.Millisecond, 1025 * time.Millisecond, 128 * time.Microsecond},
		{2, 1, 15 * time.Millisecond, 2035 * time.Millisecond, 128 * time.Microsecond},
		{2, 0, time.Millisecond, 3021 * time.Millisecond, 128 * time.Microsecond},
		{1, 0, -100 * time.Microsecond, 1020 * time.Millisecond, 128 * time.Microsecond},
		{1, 0, -900 * time.Millisecond, 0, 0}, // earlier than planned
		{1, 0, 15900 * time.Microsecond, 1035900 * time.Microsecond, 128 * time.Microsecond},
		{1, 0, 16500 * time.Microsecond, 0, 0},                   // later than can be told
		{4, 3, 0, 20 * time.Millisecond, 128 * time.Microsecond}, // an attempt beyond the plan
		{4, 2, 0, 3020 * time.Millisecond, 128 * time.Microsecond},
	} {
		var s Slot[[4]byte]
		s.SetPath(MaxPaths - 1)
		s.SetAttempt(c.last)
		s.SetSent(at, c.late)
		got := s.RTT(at+20*time.Millisecond, c.answered, &plan)
		if d := (got - c.want).Abs(); d > c.within {
			t.Errorf("attempt %d answered after %d, %v late: RTT %v, want %v within %v", c.answered, c.last, c.late, got, c.want, c.within)
		}
		if s.Path() != MaxPaths-1 || s.Attempt() != c.last {
			t.Errorf("path %d, attempt %d", s.Path(), s.Attempt())
		}
		if got := s.RTT(at-time.Minute, c.last, &plan); got != 0 {
			t.Errorf("an answer stamped before its SYN has RTT %v", got)
		}
	}
}

func TestSlotAddr(t *testing.T) {
	v4 := NewTable[[4]byte](1)
	v6 := NewTable[[16]byte](1)
	a4, a6 := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("fe80::7%eth0")
	id4, _ := v4.Add(netip.AddrPortFrom(a4, 443))
	id6, _ := v6.Add(netip.AddrPortFrom(a6, 443))
	if got := v4.Slot(id4).Addr(); got != a4 {
		t.Errorf("%v became %v", a4, got)
	}
	if got := v6.Slot(id6).Addr(); got != a6.WithZone("") {
		t.Errorf("%v became %v, want it without the zone", a6, got)
	}
}
