//go:build linux && !android

package engine_test

import (
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/internal/engine"
	"github.com/rawshake/rawshake/internal/wiretest"
	"github.com/rawshake/rawshake/match"
)

// FuzzShard plays a script of submissions, answers, forgeries, faults and time against a shard. Whatever the script says, every
// probe settles exactly once unless it is cancelled, nothing but an answer to its own SYN settles it as open, closed or
// unreachable by ICMP, and in the end the shard holds nothing.
func FuzzShard(f *testing.F) {
	rnd := rand.New(rand.NewPCG(10, 11))
	for range 60 {
		script := make([]byte, 400)
		for i := range script {
			script[i] = byte(rnd.Uint32())
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 2000 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			newPlay(t, script).run()
		})
	})
}

// play is a script on its way.
type play struct {
	t       *testing.T
	script  []byte
	shard   *engine.Shard
	wire    *wiretest.Wire
	probes  []*actor // by user
	syns    []*syn   // in the order of sending
	past    [][]byte // packets that were delivered
	wall    bool     // a firewall is up
	once    bool     // each target once at a time
	patient uint32   // engine.Patient if probes wait as long as it takes to send
	errno   error    // what sends say
	hop     engine.Neighbour
	down    bool
}

// actor is a probe.
type actor struct {
	target    netip.AddrPort
	timeout   time.Duration
	ticket    engine.Ticket
	pending   bool
	cancelled bool
	settled   int
}

// syn is a SYN on the wire, and what it justifies.
type syn struct {
	wiretest.Segment
	at       time.Time
	answered map[match.State]bool
	used     bool
}

var cast = []netip.AddrPort{
	target4, nth(target4, 1), shift(target4, 1), netip.MustParseAddrPort("192.0.2.1:40001"),
	target6, nth(target6, 1), shift(target6, 1), netip.MustParseAddrPort("[fe80::7%test0]:443"),
}

func newPlay(t *testing.T, script []byte) *play {
	p := &play{t: t, script: script}
	p.wire = wiretest.New(func(pkt []byte) []wiretest.Packet {
		if s, _ := wiretest.Parse(pkt); s.SYN {
			p.syns = append(p.syns, &syn{Segment: s, at: time.Now(), answered: map[match.State]bool{}})
		}
		return nil
	})
	p.wire.SendErr = func([]byte) error { return p.errno }
	p.wire.Hop = func(netip.Addr) engine.Neighbour { return p.hop }
	p.wire.Down = func() bool { return p.down }
	p.wire.RouteErr = func(dst netip.Addr) error {
		if p.wall && dst.Is4() {
			return syscall.EACCES
		}
		return nil
	}
	cfg := engine.Config{Ports: []uint16{40000, 40001, 40002}, Limit: 16}
	if p.byte()%2 == 0 {
		cfg.Pacer = engine.NewPace(200)
	}
	if p.byte()%3 == 0 {
		p.patient = engine.Patient
	}
	cfg.Once = p.byte()%2 == 0
	p.once = cfg.Once
	if p.byte()%2 == 0 {
		p.wire.OnConfirm = func() {}
	}
	b := p.byte()
	p.wire.OnLink, p.wire.Asks = b%2 == 0, b%4 == 0
	plan(t, 0, 100*ms, 1100*ms, 6*time.Second)(&cfg)
	var err error
	if p.shard, err = engine.New(cfg, p.wire, p); err != nil {
		t.Fatal(err)
	}
	return p
}

// byte returns the script's next byte, 0 after its end.
func (p *play) byte() byte {
	if len(p.script) == 0 {
		return 0
	}
	b := p.script[0]
	p.script = p.script[1:]
	return b
}

func (p *play) run() {
	acts := []func(){
		p.submit, p.submit, p.pass, p.pass, p.answer, p.answer, p.answer, p.forge, p.forge, p.stale, p.again, p.cancel, p.fault, p.noise,
	}
	for len(p.script) > 0 {
		acts[int(p.byte())%len(acts)]()
	}
	p.end()
}

func (p *play) submit() {
	b := p.byte()
	if p.shard.Room() == 0 {
		return
	}
	timeout := []time.Duration{ms, 50 * ms, 300 * ms, 2 * time.Second, 7 * time.Second, 0}[int(b/8)%6]
	a := &actor{target: cast[b%8], timeout: timeout}
	for _, other := range p.probes {
		if p.once && other.pending && other.target == a.target {
			return
		}
	}
	p.probes = append(p.probes, a)
	p.shard.Refresh()
	a.ticket, a.pending = p.shard.Submit(a.target, uint32(len(p.probes)-1)|p.patient, p.shard.Now(), timeout, b >= 128)
}

// pass has time pass, and the shard move.
func (p *play) pass() {
	time.Sleep([]time.Duration{0, ms, 10 * ms, 90 * ms, 500 * ms, 1200 * ms, 5 * time.Second}[p.byte()%7])
	p.step()
}

func (p *play) step() {
	for i := 0; p.shard.Step(); i++ {
		if i == 1000 {
			p.t.Fatal("there is always something to do")
		}
	}
	if p.shard.Armed() != p.shard.Len() {
		p.t.Fatalf("%d of %d probes are on a timer", p.shard.Armed(), p.shard.Len())
	}
	if n := p.shard.Len(); n > 0 && p.shard.Idle() < 0 {
		p.t.Fatalf("%d probes wait for nothing", n)
	}
}

// pick returns one of the last SYNs.
func (p *play) pick() *syn {
	n := int(p.byte()) % 16
	if n >= len(p.syns) {
		return nil
	}
	return p.syns[len(p.syns)-1-n]
}

func (p *play) deliver(pkt []byte, translated bool) {
	p.past = append(p.past, pkt)
	if translated {
		p.wire.InjectTranslated(pkt)
	} else {
		p.wire.Inject(pkt)
	}
}

// answer has a target, or a router, answer one of the last SYNs.
func (p *play) answer() {
	s, b := p.pick(), p.byte()
	if s == nil {
		return
	}
	var pkt []byte
	switch b % 4 {
	case 0, 1:
		s.answered[match.Open] = true
		pkt = s.SYNACK().Bytes()
	case 2:
		s.answered[match.Closed] = true
		pkt = changed(s.Refusal(), func(r *wiretest.Segment) { r.Ack -= uint32(b / 128) }).Bytes()
	case 3:
		s.answered[match.Unreachable] = true
		s.answered[match.Unsent] = true // by our own kernel: the gateway is down
		e := icmpErrors(s.To)
		from := router(s.To)
		if b >= 192 {
			from = s.From.Addr()
		}
		pkt = wiretest.ICMP(from, s.Bytes(), e[int(b/4)%len(e)].typ, e[int(b/4)%len(e)].code, 8)
	}
	p.deliver(pkt, b&32 != 0)
}

// forge has something arrive that comes near to an answer.
func (p *play) forge() {
	s, b := p.pick(), p.byte()
	if s == nil {
		return
	}
	shape := changed(s.SYNACK(), func(r *wiretest.Segment) {
		if b&1 != 0 {
			r.SYN, r.RST = false, true
		}
		switch b / 2 % 8 {
		case 0:
			r.Ack += 1 + uint32(p.byte())
		case 1:
			r.Ack -= 2 + uint32(p.byte())
		case 2:
			r.Ack = uint32(p.byte())
		case 3:
			r.From = shift(r.From, 7)
		case 4:
			r.From = netip.AddrPortFrom(router(r.From), r.From.Port())
		case 5:
			r.To = otherPort(r.To)
		case 6:
			r.To = nth(r.To, 1)
		case 7:
			r.ACK = false
		}
	})
	p.deliver(shape.Bytes(), b&32 != 0)
}

// stale has a target answer with a bare ACK.
func (p *play) stale() {
	if s := p.pick(); s != nil {
		p.deliver(wiretest.Segment{From: s.To, To: s.From, Seq: 3, Ack: 4, ACK: true}.Bytes(), false)
	}
}

// again repeats a packet that was delivered before.
func (p *play) again() {
	if b := int(p.byte()); b < len(p.past) {
		p.wire.Inject(p.past[len(p.past)-1-b])
	}
}

func (p *play) cancel() {
	if len(p.probes) == 0 {
		return
	}
	user := int(p.byte()) % len(p.probes)
	if a := p.probes[user]; a.pending {
		p.shard.Cancel(a.ticket, uint32(user)|p.patient)
		a.cancelled = a.settled == 0 // it may have settled as its batch was sent
		a.pending = false
	}
}

// fault breaks or mends something of ours.
func (p *play) fault() {
	b := p.byte()
	switch b % 8 {
	case 0:
		p.errno = []error{nil, syscall.ENOBUFS, syscall.EPERM, syscall.ENETUNREACH, syscall.EIO}[b/8%5]
	case 1:
		p.wire.Ring = int(b / 8 % 3)
	case 2:
		p.hop = engine.Neighbour(b / 8 % 3)
	case 3:
		p.down = b >= 128
	case 4:
		p.wall = b >= 128
	default:
		p.mend()
	}
}

func (p *play) mend() {
	p.errno, p.wire.Ring, p.hop, p.down, p.wall = nil, 0, engine.NeighbourKnown, false, false
}

// noise has bytes of the script arrive.
func (p *play) noise() {
	n := min(int(p.byte()), len(p.script))
	p.wire.Inject(p.script[:n])
	p.script = p.script[n:]
}

// end lets time pass until all is settled, if need be with nothing broken: some probes wait for that.
func (p *play) end() {
	if p.patient != 0 {
		p.mend()
	}
	for i := 0; p.shard.Len() > 0; i++ {
		if i > 1000 {
			p.t.Fatalf("%d probes never settle", p.shard.Len())
		}
		time.Sleep(10 * ms)
		p.step()
	}
	var total uint64
	for user, a := range p.probes {
		if a.settled != 1 && !(a.cancelled && a.settled == 0) {
			p.t.Errorf("probe %d of %v settled %d times, cancelled %v", user, a.target, a.settled, a.cancelled)
		}
		total += uint64(a.settled)
	}
	for _, n := range p.shard.Count().Verdicts {
		total -= n
	}
	if n := p.shard.Held() + p.shard.Armed(); n != 0 {
		p.t.Errorf("%d held, %d timers", p.shard.Held(), p.shard.Armed())
	}
	if total != 0 {
		p.t.Errorf("%d verdicts were not counted", int64(total))
	}
	for _, target := range cast {
		if p.shard.Holds(target) {
			p.t.Errorf("a port is still taken for %v", target)
		}
	}
}

// Settle implements engine.Sink.
func (p *play) Settle(user uint32, v *engine.Verdict) {
	a := p.probes[user&^engine.Patient]
	a.pending = false
	if a.settled++; a.settled > 1 || a.cancelled || v.Target != a.target {
		p.t.Errorf("probe %d of %v settles %d times, cancelled %v, as %v %v", user, a.target, a.settled, a.cancelled, v.Target, v.State)
	}
	byICMP := v.Responder.IsValid()
	if v.State == match.Open || v.State == match.Closed || byICMP {
		p.justify(v)
	}
	if v.State == match.Filtered && v.Attempt == 0 && a.timeout > 0 {
		p.heard(v, a.timeout)
	}
}

// heard checks that a target that was silent after one SYN had the whole timeout to answer it.
func (p *play) heard(v *engine.Verdict, timeout time.Duration) {
	for _, s := range p.syns {
		if s.From == v.Source && s.To.Addr() == v.Target.Addr().WithZone("") && s.To.Port() == v.Target.Port() && time.Since(s.at) >= timeout {
			return
		}
	}
	p.t.Errorf("%v is filtered with a timeout of %v, and was not asked so long ago", v.Target, timeout)
}

// justify finds the SYN that was answered so. Each can settle one probe.
func (p *play) justify(v *engine.Verdict) {
	for _, s := range p.syns {
		if s.From == v.Source && s.To.Addr() == v.Target.Addr().WithZone("") && s.To.Port() == v.Target.Port() && s.answered[v.State] && !s.used {
			s.used = true
			return
		}
	}
	p.t.Errorf("%v is %v %v, from %v: no SYN was answered so", v.Target, v.State, v.Reason, v.Source)
}
