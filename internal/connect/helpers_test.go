package connect

import (
	"context"
	"iter"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/rawshake/rawshake/match"
)

// dialing returns a Prober that a function makes the connections of.
func dialing(t *testing.T, c Config, dial dialFunc) *Prober {
	t.Helper()
	p := newProber(c, dial)
	t.Cleanup(func() { p.Close() })
	return p
}

// after returns a dialFunc that succeeds after d(target), or is silent if that is negative.
func after(d func(target netip.AddrPort) time.Duration) dialFunc {
	return func(ctx context.Context, _, target netip.AddrPort) (handshake, error) {
		wait := d(target)
		if wait < 0 {
			<-ctx.Done()
			return handshake{}, os.ErrDeadlineExceeded
		}
		if !sleep(ctx, wait) {
			return handshake{}, os.ErrDeadlineExceeded
		}
		return handshake{remote: target}, nil
	}
}

func never(netip.AddrPort) time.Duration  { return -1 }
func atOnce(netip.AddrPort) time.Duration { return 0 }

// failing returns a dialFunc that always fails.
func failing(err error) dialFunc {
	return func(context.Context, netip.AddrPort, netip.AddrPort) (handshake, error) { return handshake{}, err }
}

// hosts yields n targets 127.0.x.y:80, and counts those it has given away if taken is not nil.
func hosts(n int, taken *int) iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		for i := range n {
			if taken != nil {
				*taken++
			}
			if !yield(host(i)) {
				return
			}
		}
	}
}

func host(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(i >> 8), byte(i)}), 80)
}

// open returns a Prober with real sockets.
func open(t *testing.T, c Config) *Prober {
	t.Helper()
	p, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func probe(t *testing.T, p *Prober, addr string, timeout time.Duration) Verdict {
	t.Helper()
	v, err := p.Probe(t.Context(), netip.MustParseAddrPort(addr), timeout)
	if err != nil {
		t.Fatalf("%s: %v", addr, err)
	}
	return v
}

// want fails unless a verdict has this state, reason and error.
func want(t *testing.T, v Verdict, state match.State, reason match.Reason, err error) {
	t.Helper()
	if v.State != state || v.Reason != reason || v.Err != err {
		t.Errorf("%v is %v, %v, %v; want %v, %v, %v", v.Target, v.State, v.Reason, v.Err, state, reason, err)
	}
}
