//go:build linux && !android

package demo

import (
	"sync"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/packetlog"
	"github.com/rawshake/rawshake/craft"
)

// exchange collects the packets of one probe.
type exchange struct {
	mu      sync.Mutex
	packets []packet
}

type packet struct {
	at   time.Time
	out  bool
	data []byte
	kind craft.Kind
}

// add is the prober's trace.
func (e *exchange) add(p rawshake.TracePacket) {
	var r craft.Reply
	kind := craft.Other
	if craft.Decode(p.Data, false, &r) == nil {
		kind = r.Kind
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.packets = append(e.packets, packet{p.Time, p.Out, append([]byte(nil), p.Data...), kind})
}

func (e *exchange) begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.packets = nil
}

// settle waits for our reset of an open port, which leaves only after the verdict is recorded.
func (e *exchange) settle(s rawshake.State) {
	for end := time.Now().Add(time.Second); s == rawshake.Open && !e.hasReset() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

func (e *exchange) hasReset() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.packets {
		if p.out && p.kind == craft.RST {
			return true
		}
	}
	return false
}

// show prints each packet with its meaning.
func (e *exchange) show(w *writer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, p := range e.packets {
		w.printf("%s\n%24s%s\n", packetlog.Line(p.at.Sub(e.packets[0].at), p.out, p.data), "", meaning(p, i))
	}
}

// meaning says what packet number i of an exchange is for.
func meaning(p packet, i int) string {
	switch {
	case p.out && p.kind == craft.SYN && i == 0:
		return "we ask, with a SYN from a port that is guarded against our own kernel"
	case p.out && p.kind == craft.SYN:
		return "no answer: we ask again, from another port"
	case p.out && p.kind == craft.RST:
		return "we reset it at once, instead of the ACK that would complete the handshake"
	case p.kind == craft.SYNACK:
		return "the target's kernel answers: somebody listens"
	case p.kind == craft.RST:
		return "the target's kernel refuses: nobody listens"
	}
	return "not part of a usual exchange"
}
