package pace_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/rawshake/rawshake/scan/pace"
)

// visit is a target that was let go.
type visit struct {
	at   int64
	addr netip.Addr
}

// scan sends every target through a host limiter as a scan loop would, until all are sent, and fails unless each is
// sent once. A packet takes step ns; the first that does not fit waits in the caller's hand.
func scan(t testing.TB, l *pace.HostLimiter, targets []netip.Addr, step int64) (out []visit) {
	t.Helper()
	sent := make([]bool, len(targets))
	send := func(now int64, item uint64) {
		if sent[item] {
			t.Fatalf("target %d is sent twice", item)
		}
		sent[item] = true
		out = append(out, visit{now, targets[item]})
	}
	next, round := 0, 0
	for now := int64(1); len(out) < len(targets); now += step {
		if round++; round%1000 == 0 {
			checkHeld(t, l, next, sent)
		}
		if item, ok := l.Next(now); ok {
			send(now, item)
			continue
		}
		full := next == len(targets)
		if !full {
			switch l.Admit(now, targets[next], uint64(next)) {
			case pace.Go:
				send(now, uint64(next))
				next++
			case pace.Later:
				next++
			case pace.Full:
				full = true
			}
		}
		if full {
			due, ok := l.Due()
			if !ok {
				t.Fatalf("%d of %d targets are sent, and nothing is waited for", len(out), len(targets))
			}
			now = max(now, due-step)
		}
	}
	if _, ok := l.Next(math.MaxInt64 / 2); ok || l.Len() != 0 {
		t.Fatalf("%d targets are left in the queue", l.Len())
	}
	return out
}

// TestChargesWhileOthersWait: a reset moves the time of a host that waits, or that stands in the line of its network,
// and nothing is lost or stuck by it.
func TestChargesWhileOthersWait(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := pace.NewHostLimiter(pace.HostConfig{PerHost: 1000, PerNet: 3000 * float64(seed%2), Memory: 20, Deferred: 30})
		targets := addrs(r, 300, 2, 6)
		var out []visit
		next := 0
		for now := int64(1); len(out) < len(targets); now += 1 + r.Int64N(400_000) {
			if r.IntN(4) == 0 {
				a := targets[r.IntN(len(targets))]
				l.Charge(now, a)
			}
			if item, ok := l.Next(now); ok {
				out = append(out, visit{now, targets[item]})
			} else if next < len(targets) {
				switch l.Admit(now, targets[next], uint64(next)) {
				case pace.Go:
					out = append(out, visit{now, targets[next]})
					next++
				case pace.Later:
					next++
				}
			}
			if now > 60e9 {
				t.Fatalf("seed %d: after a minute %d of %d targets are sent", seed, len(out), len(targets))
			}
		}
		last := map[netip.Addr]int64{}
		for _, v := range out {
			if at, ok := last[v.addr]; ok && v.at-at < 899_998 {
				t.Fatalf("seed %d: two packets to %v within %d ns", seed, v.addr, v.at-at)
			}
			last[v.addr] = v.at
		}
	}
}

// checkHeld compares what the limiter says it holds with what was admitted and not sent.
func checkHeld(t testing.TB, l *pace.HostLimiter, next int, sent []bool) {
	t.Helper()
	held := slices.Sorted(l.Items())
	var want []uint64
	for i, s := range sent[:next] {
		if !s {
			want = append(want, uint64(i))
		}
	}
	if !slices.Equal(held, want) || l.Len() != len(want) {
		t.Fatalf("the limiter holds %d targets, want %d", len(held), len(want))
	}
}

// checkApart fails if two visits to what key names are closer than nine tenths of the interval, or if they came
// faster than the rate altogether.
func checkApart[K comparable](t testing.TB, about string, out []visit, rate float64, key func(netip.Addr) K) {
	t.Helper()
	if rate == 0 {
		return
	}
	interval := 1e9 / rate
	first, last, n := map[K]int64{}, map[K]int64{}, map[K]int{}
	for _, v := range out {
		k := key(v.addr)
		if at, ok := last[k]; !ok {
			first[k] = v.at
		} else if d := float64(v.at - at); d < 0.9*interval-2 {
			t.Fatalf("%s: two packets to %v within %.0f ns, the interval is %.0f", about, k, d, interval)
		}
		last[k] = v.at
		n[k]++
	}
	for k := range n {
		if span := float64(last[k] - first[k]); span < (float64(n[k]-1)-0.1)*interval-float64(n[k]) {
			t.Fatalf("%s: %d packets to %v within %.0f ns, the interval is %.0f", about, n[k], k, span, interval)
		}
	}
}

func hostOf(a netip.Addr) netip.Addr { return a }

func netOf(a netip.Addr) netip.Prefix {
	bits := 24
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

func checkScan(t testing.TB, about string, c pace.HostConfig, targets []netip.Addr, step int64) []visit {
	t.Helper()
	out := scan(t, pace.NewHostLimiter(c), targets, step)
	checkApart(t, about+" hosts", out, max(0, c.PerHost), hostOf)
	checkApart(t, about+" nets", out, max(0, c.PerNet), netOf)
	return out
}

// addrs returns n random addresses of some hosts in some networks, of both families.
func addrs(r *rand.Rand, n, nets, hosts int) []netip.Addr {
	list := make([]netip.Addr, n)
	for i := range list {
		net, host := byte(r.IntN(nets)), byte(r.IntN(hosts))
		list[i] = netip.AddrFrom4([4]byte{10, 0, net, host})
		if net%2 == 1 {
			list[i] = netip.AddrFrom16([16]byte{0x20, 0x01, 0xd, 0xb8, 0, 0, 0, net, 15: host})
		}
	}
	return list
}

func TestHostRates(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		for _, c := range []pace.HostConfig{
			{},
			{PerHost: 100},
			{PerNet: 300},
			{PerHost: 50, PerNet: 400},
			{PerHost: 1000, PerNet: 100},
			{PerHost: 50, PerNet: 400, Deferred: 3},
			{PerHost: 50, PerNet: 400, Memory: 5},
			{PerHost: 50, PerNet: 400, Memory: 1, Deferred: 1},
			{PerHost: -1, PerNet: math.Inf(1)},
		} {
			targets := addrs(r, 600, 1+r.IntN(6), 1+r.IntN(40))
			checkScan(t, fmt.Sprintf("seed %d, %+v", seed, c), c, targets, 1+r.Int64N(300_000))
		}
	}
}

// TestOneHostOnAllPorts: everything but the first must wait, and the queue is much smaller than that.
func TestOneHostOnAllPorts(t *testing.T) {
	targets := slices.Repeat(addrs(rand.New(rand.NewPCG(1, 1)), 1, 1, 1), 65535)
	out := checkScan(t, "", pace.HostConfig{PerHost: 1000, Deferred: 500}, targets, 1000)
	if span := out[len(out)-1].at; span < 65.4e9 || span > 65.6e9 {
		t.Errorf("65535 packets at 1000 a second took %.2f s", float64(span)/1e9)
	}
}

// TestRatesAreReached: with enough to do the limits are used, not only kept.
func TestRatesAreReached(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, test := range []struct {
		c    pace.HostConfig
		want float64 // seconds for 20 000 targets: 100 hosts in each of 4 networks
	}{
		{pace.HostConfig{PerNet: 1000}, 5},
		{pace.HostConfig{PerHost: 10}, 5},
		{pace.HostConfig{PerHost: 20, PerNet: 1000}, 5},
	} {
		var targets []netip.Addr
		for net := range byte(4) {
			for host := range byte(100) {
				targets = append(targets, slices.Repeat([]netip.Addr{netip.AddrFrom4([4]byte{10, 0, net, host})}, 50)...)
			}
		}
		r.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
		out := checkScan(t, fmt.Sprint(test.c), test.c, targets, 1000)
		if took := float64(out[len(out)-1].at) / 1e9; took > 1.1*test.want {
			t.Errorf("%+v: %.2f s, want about %g", test.c, took, test.want)
		}
	}
}

// TestOthersDoNotWait: while one host waits for its time, others go.
func TestOthersDoNotWait(t *testing.T) {
	l := pace.NewHostLimiter(pace.HostConfig{PerHost: 1, PerNet: 1000})
	busy, other := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	for i := range uint64(50) {
		want := pace.Later
		if i == 0 {
			want = pace.Go
		}
		if got := l.Admit(0, busy, i); got != want {
			t.Fatalf("target %d: %v", i, got)
		}
	}
	if got := l.Admit(2e6, other, 100); got != pace.Go {
		t.Errorf("another host of the network: %v", got)
	}
}

// TestNewcomersStandInLine: a host that is new does not overtake those of its network that wait.
func TestNewcomersStandInLine(t *testing.T) {
	l := pace.NewHostLimiter(pace.HostConfig{PerHost: 1000, PerNet: 10})
	host := func(i byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, i}) }
	l.Admit(0, host(1), 1)
	l.Admit(0, host(2), 2)
	l.Admit(0, host(3), 3)
	if _, ok := l.Next(50e6); ok {
		t.Error("a target goes before its time")
	}
	if got := l.Admit(100e6, host(4), 4); got != pace.Later {
		t.Errorf("a newcomer: %v", got)
	}
	var order []uint64
	for now := int64(100e6); now < 500e6; now += 1e6 {
		if item, ok := l.Next(now); ok {
			order = append(order, item)
		}
	}
	if want := []uint64{2, 3, 4}; !slices.Equal(order, want) {
		t.Errorf("they went in the order %v, want %v", order, want)
	}
}

func TestQueueIsBounded(t *testing.T) {
	l := pace.NewHostLimiter(pace.HostConfig{PerHost: 1, Deferred: 5})
	a := netip.MustParseAddr("10.0.0.1")
	for i, want := range []pace.Admission{pace.Go, pace.Later, pace.Later, pace.Later, pace.Later, pace.Later, pace.Full, pace.Full} {
		if got := l.Admit(0, a, uint64(i)); got != want {
			t.Errorf("target %d: %v, want %v", i, got, want)
		}
	}
	if item, ok := l.Next(2e9); !ok || item != 1 || l.Len() != 4 {
		t.Errorf("the first that comes back is %d, %v; %d are left", item, ok, l.Len())
	}
	if got := l.Admit(2e9, a, 6); got != pace.Later {
		t.Errorf("with a free place: %v", got)
	}
}

func TestSizeOfNetworks(t *testing.T) {
	for _, test := range []struct {
		a, b string
		c    pace.HostConfig
		same bool
	}{
		{"10.0.0.1", "10.0.0.255", pace.HostConfig{}, true},
		{"10.0.0.1", "10.0.1.1", pace.HostConfig{}, false},
		{"10.0.0.1", "10.0.1.1", pace.HostConfig{Bits4: 16}, true},
		{"10.0.0.1", "::ffff:10.0.0.2", pace.HostConfig{}, true},
		{"2001:db8::1", "2001:db8::ffff:0:0:1", pace.HostConfig{}, true},
		{"2001:db8::1", "2001:db8:0:1::1", pace.HostConfig{}, false},
		{"2001:db8::1", "2001:db8:0:1::1", pace.HostConfig{Bits6: 48}, true},
		{"2001:db8::1", "2001:db8::2", pace.HostConfig{Bits6: 128}, false},
	} {
		test.c.PerNet = 1
		l := pace.NewHostLimiter(test.c)
		l.Admit(0, netip.MustParseAddr(test.a), 0)
		if got := l.Admit(0, netip.MustParseAddr(test.b), 1); (got == pace.Later) != test.same {
			t.Errorf("%s and %s with %+v: %v", test.a, test.b, test.c, got)
		}
	}
}

func TestResetsCountForTheHost(t *testing.T) {
	l := pace.NewHostLimiter(pace.HostConfig{PerHost: 10})
	a := netip.MustParseAddr("10.0.0.1")
	if got := l.Admit(0, a, 1); got != pace.Go {
		t.Fatal(got)
	}
	l.Charge(0, a)
	l.Admit(0, a, 2)
	if due, ok := l.Due(); !ok || due < 190e6 || due > 200e6 {
		t.Errorf("after a packet and a reset the next is due at %d ns", due)
	}
	l.Charge(1, a) // while it waits
	if _, ok := l.Next(250e6); ok {
		t.Error("the next goes as if there had been no second reset")
	}
	if item, ok := l.Next(300e6); !ok || item != 2 {
		t.Errorf("after two resets: %d, %v", item, ok)
	}
}

// TestFullMemory: more hosts than are remembered are held back and then let go.
func TestFullMemory(t *testing.T) {
	l := pace.NewHostLimiter(pace.HostConfig{PerHost: 1, Memory: 10})
	for i := range 10 {
		if got := l.Admit(0, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 0); got != pace.Go {
			t.Fatalf("host %d: %v", i, got)
		}
	}
	eleventh := netip.MustParseAddr("10.0.0.11")
	if got := l.Admit(0, eleventh, 0); got != pace.Full {
		t.Errorf("the eleventh host: %v", got)
	}
	if due, ok := l.Due(); !ok || due <= 0 {
		t.Errorf("due at %d, %v", due, ok)
	}
	if got := l.Admit(2e9, eleventh, 0); got != pace.Go {
		t.Errorf("the eleventh host, two seconds later: %v", got)
	}
	if _, ok := l.Due(); ok {
		t.Error("something is waited for")
	}
}

func TestAdmissionWords(t *testing.T) {
	if got := fmt.Sprint(pace.Go, pace.Later, pace.Full); got != "go later full" {
		t.Error(got)
	}
}

func FuzzHostLimiter(f *testing.F) {
	f.Add(uint64(1), uint16(100), uint16(1000), uint8(10), uint8(10))
	f.Fuzz(func(t *testing.T, seed uint64, perHost, perNet uint16, memory, queue uint8) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := pace.HostConfig{PerHost: float64(perHost), PerNet: float64(perNet), Memory: int(memory), Deferred: int(queue)}
		checkScan(t, fmt.Sprint(c), c, addrs(r, 200, 1+r.IntN(5), 1+r.IntN(50)), 1+r.Int64N(1e6))
	})
}

func BenchmarkAdmit(b *testing.B) {
	for _, hosts := range []uint32{1 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			l := pace.NewHostLimiter(pace.HostConfig{PerHost: 1000, PerNet: 1e5})
			now, i := int64(0), uint32(0)
			for b.Loop() {
				now += 1000
				x := i * 2654435761 % hosts
				l.Admit(now, netip.AddrFrom4([4]byte{10, byte(x >> 16), byte(x >> 8), byte(x)}), 0)
				l.Next(now)
				i++
			}
		})
	}
}
