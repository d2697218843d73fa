//go:build linux && !android

package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"syscall"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
)

// answerFacts are what one probe of the target came to.
type answerFacts struct {
	tried      bool
	target     netip.AddrPort
	route      routeFacts
	result     rawshake.Result
	err        error
	translated netip.AddrPort // where the answer came from, if that was not the target
	stats      rawshake.Stats
}

// answer probes the target once, as `rawshake check` would. Where there is no way nothing is tried: the route says it, while the probe
// may blame the neighbour, whom the kernel forgets when the link loses its carrier.
func (p *patient) answer() (f answerFacts) {
	if p.Target.Port() == 0 || !p.Target.IsValid() || p.denied != nil {
		return f
	}
	if f.target, f.route = p.Target, p.routeTo(p.Target.Addr()); !f.route.works() {
		return f
	}
	var mu sync.Mutex
	prober, err := rawshake.New(rawshake.Config{Source: p.Source, Interface: p.Interface, Trace: func(t rawshake.TracePacket) {
		mu.Lock()
		defer mu.Unlock()
		var r craft.Reply
		if from, ok := sender(t, &r); ok && from != p.Target {
			f.translated = from
		}
	}})
	f.tried = true
	if f.err = err; err != nil {
		return f
	}
	f.result, f.err = prober.Probe(p.ctx, p.Target)
	f.stats = prober.Stats()
	prober.Close() // ends the tracing
	return f
}

// sender returns who sent a segment that came in.
func sender(t rawshake.TracePacket, r *craft.Reply) (netip.AddrPort, bool) {
	if t.Out || craft.Decode(t.Data, false, r) != nil || r.Kind == craft.ICMP {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(r.Remote, r.RemotePort), true
}

func judgeAnswer(f answerFacts) []Finding {
	const check = "answer"
	switch {
	case !f.tried:
		return nil
	case f.err != nil:
		return one(check, Fail, "the probe failed: "+f.err.Error(), openingFix(f.err, f.traceFix()))
	}
	level, text, fix := f.judgeResult()
	all := one(check, level, f.result.Target.String()+text, fix)
	if f.translated.IsValid() && f.result.State != rawshake.Unsent {
		all = append(all, Finding{"nat", Info,
			fmt.Sprintf("%v answered for %v: this host translates the address on its way out, and rawshake confirmed the answer as a connecting program would see it", f.translated, f.result.Target),
			natFix})
	}
	if f.stats.RingDrops > 0 {
		all = append(all, Finding{"receive", Warn,
			fmt.Sprintf("the receive ring dropped %d packets meanwhile: they came faster than this machine could look at them", f.stats.RingDrops), f.lossFix()})
	}
	return all
}

func (f answerFacts) judgeResult() (level Level, text, fix string) {
	r := f.result
	switch r.State {
	case rawshake.Open, rawshake.Closed:
		text = fmt.Sprintf(" is %v (%v)", r.State, r.Reason)
		if r.RTT > 0 { // otherwise it cannot be told
			text += fmt.Sprintf(" after %.3f ms", float64(r.RTT)/1e6)
		}
		return OK, text, ""
	case rawshake.Filtered:
		return Warn, " stays silent: it, or a firewall on the way, drops our SYN or its answer", f.traceFix()
	case rawshake.Unreachable:
		return f.unreachable()
	}
	return f.unsent()
}

func (f answerFacts) unreachable() (level Level, text, fix string) {
	r := f.result
	text = fmt.Sprintf(" is unreachable: %v", r.Reason)
	switch {
	case r.Reason == match.NoNeighbour:
		return Warn, text + " (nobody answers ARP or neighbour discovery for it)", "ip neighbour show " + towards(r.Target.Addr(), f.route.device)
	case r.Reply.Responder.IsValid():
		return Warn, fmt.Sprintf("%s, says %v", text, r.Reply.Responder), f.traceFix()
	}
	return Warn, text + cause(r.Err), "ip route get " + f.route.query()
}

// unsent is about this machine, so it fails.
func (f answerFacts) unsent() (level Level, text, fix string) {
	r := f.result
	text = fmt.Sprintf(" cannot be asked: %v", r.Reason) + cause(r.Err)
	switch {
	case r.Reason == match.LocalFirewall || errors.Is(r.Err, syscall.EPERM):
		return Fail, text + ": the OUTPUT firewall of this host refuses the SYN, or an IPsec policy, or IPAddressDeny= of a systemd unit", firewallFix + "; sudo ip xfrm policy"
	case r.Reason == match.GatewayDown:
		return Fail, text + ": the next hop answers neither ARP nor neighbour discovery", "ip route get " + f.route.query() + "; ip neighbour show dev " + f.route.device
	case r.Reason == match.LinkDown:
		return Fail, text, "ip link show dev " + f.route.device
	case r.Reason == match.NoBuffers:
		return Fail, text + ": the queue of the interface is full, or the table of neighbours",
			"tc -statistics qdisc show dev " + f.route.device + "; ip neighbour | wc -l; sysctl net.ipv4.neigh.default.gc_thresh3 net.ipv6.neigh.default.gc_thresh3"
	case r.Reason == match.LossOfOurs:
		return Fail, text, f.lossFix()
	}
	return Fail, text, f.traceFix()
}

// cause puts an error into parentheses.
func cause(err error) string {
	if err == nil {
		return ""
	}
	return " (" + err.Error() + ")"
}

// traceFix shows the packets of one more probe.
func (f answerFacts) traceFix() string {
	words := []string{"rawshake check --trace"}
	if f.route.from.IsValid() {
		words = append(words, "-S", f.route.from.String())
	}
	if f.route.by != "" {
		words = append(words, "-I", f.route.by)
	}
	to := f.target.String()
	if f.target.Addr().Is6() {
		to = "'" + to + "'" // brackets are a pattern to a shell
	}
	return strings.Join(append(words, to), " ")
}

// lossFix shows whether the machine is busy, and the packets that came, with those that nobody asked for.
func (f answerFacts) lossFix() string { return "uptime; " + f.traceFix() }
