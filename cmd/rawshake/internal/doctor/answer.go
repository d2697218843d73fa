//go:build linux && !android

package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/craft"
	"github.com/rawshake/rawshake/match"
)

// answerFacts are what one probe of the target came to.
type answerFacts struct {
	tried      bool
	result     rawshake.Result
	err        error
	translated netip.AddrPort // where the answer came from, if that was not the target
	stats      rawshake.Stats
}

// answer probes the target once, as `rawshake check` would. By a link without carrier nothing is tried: the route says it, while the probe
// may blame the neighbour, whom the kernel forgets with the link.
func (p *patient) answer() (f answerFacts) {
	if p.Target.Port() == 0 || !p.Target.IsValid() || !p.privileged || p.routeTo(p.Target.Addr()).cut() {
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
		return one(check, Fail, "the probe failed: "+f.err.Error(), "")
	}
	level, text, fix := judgeResult(f.result)
	all := one(check, level, text, fix)
	if f.translated.IsValid() && f.result.State != rawshake.Unsent {
		all = append(all, Finding{"nat", Info,
			fmt.Sprintf("%v answered for %v: this host translates the address on its way out, and rawshake confirmed the answer as a connecting program would see it", f.translated, f.result.Target),
			"sudo nft list ruleset | grep -n dnat; sudo iptables-save -t nat"})
	}
	if f.stats.RingDrops > 0 {
		all = append(all, Finding{"receive", Warn, fmt.Sprintf("the receive ring dropped %d packets meanwhile", f.stats.RingDrops), ""})
	}
	return all
}

func judgeResult(r rawshake.Result) (level Level, text, fix string) {
	to := r.Target.String()
	switch r.State {
	case rawshake.Open, rawshake.Closed:
		text = fmt.Sprintf("%s is %v (%v)", to, r.State, r.Reason)
		if r.RTT > 0 { // otherwise it cannot be told
			text += fmt.Sprintf(" after %.3f ms", float64(r.RTT)/1e6)
		}
		return OK, text, ""
	case rawshake.Filtered:
		return Warn, to + " stays silent: it, or a firewall on the way, drops our SYN or its answer", "rawshake check --trace " + to
	case rawshake.Unreachable:
		return unreachable(r, to)
	}
	return unsent(r, to)
}

func unreachable(r rawshake.Result, to string) (level Level, text, fix string) {
	text = fmt.Sprintf("%s is unreachable: %v", to, r.Reason)
	switch {
	case r.Reason == match.NoNeighbour:
		return Warn, text + " (nobody answers ARP or neighbour discovery for it)", "ip neighbour show " + r.Target.Addr().String()
	case r.Reply.Responder.IsValid():
		return Warn, fmt.Sprintf("%s, says %v", text, r.Reply.Responder), "rawshake check --trace " + to
	}
	return Warn, text, "ip route get " + r.Target.Addr().String()
}

// unsent is about this machine, so it fails.
func unsent(r rawshake.Result, to string) (level Level, text, fix string) {
	text = fmt.Sprintf("%s cannot be asked: %v", to, r.Reason)
	if r.Err != nil {
		text += " (" + r.Err.Error() + ")"
	}
	switch {
	case r.Reason == match.LocalFirewall || errors.Is(r.Err, syscall.EPERM):
		return Fail, text + ": the OUTPUT firewall of this host refuses the SYN", "sudo nft list ruleset; sudo iptables-save"
	case r.Reason == match.GatewayDown:
		return Fail, text + ": the next hop answers neither ARP nor neighbour discovery", "ip route get " + r.Target.Addr().String() + "; ip neighbour"
	case r.Reason == match.LinkDown:
		return Fail, text, "ip link"
	}
	return Fail, text, "rawshake check --trace " + to
}
