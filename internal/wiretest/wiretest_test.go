//go:build linux && !android

package wiretest_test

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
)

const ms = time.Millisecond

var syns = []wiretest.Segment{
	{From: netip.MustParseAddrPort("192.0.2.1:40000"), To: netip.MustParseAddrPort("198.51.100.7:443"), Seq: 1000, SYN: true, MSS: 1460},
	{From: netip.MustParseAddrPort("[2001:db8::1]:40000"), To: netip.MustParseAddrPort("[2001:db8::7]:443"), Seq: 1000, SYN: true, MSS: 1440},
}

// What hosts answer is what the engine's own decoder takes for an answer, checksums and all.
func TestAnswersDecode(t *testing.T) {
	for _, syn := range syns {
		for kind, host := range map[craft.Kind]wiretest.Host{craft.SYNACK: wiretest.Open, craft.RST: wiretest.Closed} {
			var r craft.Reply
			if err := craft.Decode(host(syn.Bytes())[0].Data, true, &r); err != nil {
				t.Fatal(err)
			}
			if r.Kind != kind || r.Ack != 1001 || r.Remote != syn.To.Addr() || r.LocalPort != 40000 {
				t.Errorf("%v answers with %+v", kind, r)
			}
		}
		if got := wiretest.Silent(syn.Bytes()); got != nil {
			t.Errorf("silence is %v", got)
		}
		rst := syn
		rst.SYN, rst.RST = false, true
		if got := append(wiretest.Open(rst.Bytes()), wiretest.Closed(rst.Bytes())...); got != nil {
			t.Errorf("a RST is answered with %v", got)
		}
	}
}

func TestICMPDecodes(t *testing.T) {
	for i, syn := range syns {
		router := []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8:9::1")}[i]
		for _, n := range []int{8, 20, 1000} {
			var r craft.Reply
			if err := craft.Decode(wiretest.ICMP(router, syn.Bytes(), uint8(3-2*i), 1, n), true, &r); err != nil {
				t.Fatalf("%d bytes quoted: %v", n, err)
			}
			if r.Kind != craft.ICMP || r.Seq != 1000 || r.Remote != syn.To.Addr() || r.Responder != router || r.ICMPCode != 1 {
				t.Errorf("%d bytes quoted: %+v", n, r)
			}
		}
	}
}

// arrivals has a host answer n SYNs at once and returns when answers arrive.
func arrivals(t *testing.T, syn wiretest.Segment, host wiretest.Host, n int) (at []time.Duration, all [][]byte) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := wiretest.New(host)
		began := time.Now()
		out := w.Senders()[0]
		for i := range n {
			size := copy(out.Frame(i)[craft.Headroom:], syn.Bytes())
			out.Set(i, size, syn.To.Addr(), nil)
		}
		if sent, err := out.Send(0, n); sent != n || err != nil {
			t.Fatalf("%d sent, %v", sent, err)
		}
		for range 2000 {
			synctest.Wait()
			w.Receive(1000, func(a *engine.Arrival) {
				at = append(at, time.Since(began))
				all = append(all, a.Data)
				if time.Unix(0, a.Time) != time.Now() {
					t.Errorf("stamped %v at %v", time.Unix(0, a.Time), time.Now())
				}
			})
			time.Sleep(ms)
		}
	})
	return at, all
}

func TestFaults(t *testing.T) {
	for _, syn := range syns {
		for name, c := range map[string]struct {
			host wiretest.Host
			n    int
			want []time.Duration
		}{
			"delay":      {wiretest.Delay(5*ms, wiretest.Open), 1, []time.Duration{5 * ms}},
			"duplicate":  {wiretest.Duplicate(2, 3*ms, wiretest.Delay(5*ms, wiretest.Open)), 1, []time.Duration{5 * ms, 8 * ms, 11 * ms}},
			"reorder":    {wiretest.Reorder(5*ms, wiretest.Open), 4, []time.Duration{0, 0, 5 * ms, 5 * ms}},
			"lose first": {wiretest.LoseFirst(3, wiretest.Open), 4, []time.Duration{0}},
			"by port":    {wiretest.ByPort(map[uint16]wiretest.Host{443: wiretest.Open}, wiretest.Silent), 1, []time.Duration{0}},
			"other port": {wiretest.ByPort(map[uint16]wiretest.Host{444: wiretest.Open}, wiretest.Silent), 1, nil},
		} {
			if at, _ := arrivals(t, syn, c.host, c.n); !slices.Equal(at, c.want) {
				t.Errorf("%s: answers at %v, want %v", name, at, c.want)
			}
		}
	}
}

// Every damage is seen, most by checksums.
func TestCorrupt(t *testing.T) {
	for _, syn := range syns {
		host := wiretest.Corrupt(7, wiretest.Open)
		for range 500 {
			var r craft.Reply
			if craft.Decode(host(syn.Bytes())[0].Data, true, &r) == nil {
				t.Fatalf("not seen: %+v", r)
			}
		}
	}
}

// A target loses the same packets whatever others do, about as many as it should, each way.
func TestLose(t *testing.T) {
	for _, syn := range syns {
		other := syn
		other.To = netip.AddrPortFrom(other.To.Addr().Next(), 443)
		alone, among := wiretest.Lose(0.3, 5, wiretest.Open), wiretest.Lose(0.3, 5, wiretest.Open)
		kept := 0
		for i := range 10_000 {
			for range i % 3 {
				among(other.Bytes())
			}
			a, b := alone(syn.Bytes()), among(syn.Bytes())
			if len(a) != len(b) {
				t.Fatalf("packet %d: %d answers alone, %d among others", i, len(a), len(b))
			}
			kept += len(a)
		}
		if kept < 4600 || kept > 5200 { // 0.7 × 0.7
			t.Errorf("%d of 10000 answered", kept)
		}
	}
}

func TestRingDrops(t *testing.T) {
	w := wiretest.New(wiretest.Silent)
	w.Ring = 2
	for i := range 5 {
		w.Inject([]byte{byte(i)})
	}
	var got []byte
	w.Receive(10, func(a *engine.Arrival) { got = append(got, a.Data...) })
	if w.Drops() != 3 || !slices.Equal(got, []byte{0, 1}) {
		t.Errorf("%d drops, received %v", w.Drops(), got)
	}
	w.Inject([]byte{9})
	if n := w.Receive(10, func(*engine.Arrival) {}); n != 1 {
		t.Error("the ring does not go on")
	}
}

// Wait ends for what it should end for, and nothing else.
func TestWait(t *testing.T) {
	for name, c := range map[string]struct {
		event   func(*wiretest.Wire)
		packets bool
		want    time.Duration
	}{
		"time":             {nil, true, 50 * ms},
		"wake":             {(*wiretest.Wire).Wake, false, 10 * ms},
		"packet":           {func(w *wiretest.Wire) { w.Inject(nil) }, true, 10 * ms},
		"packet unwatched": {func(w *wiretest.Wire) { w.Inject(nil) }, false, 50 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := wiretest.New(wiretest.Silent)
				if c.event != nil {
					time.AfterFunc(10*ms, func() { c.event(w) })
				}
				began := time.Now()
				w.Wait(50*ms, c.packets)
				if d := time.Since(began); d != c.want {
					t.Errorf("waited %v, want %v", d, c.want)
				}
				time.Sleep(time.Second)
			})
		})
	}
}
