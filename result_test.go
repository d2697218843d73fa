package rawshake_test

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
)

func TestResultString(t *testing.T) {
	target := netip.MustParseAddrPort("192.0.2.1:443")
	for _, test := range []struct {
		r    rawshake.Result
		want string
	}{
		{rawshake.Result{Target: target, State: rawshake.Open, Reason: rawshake.ReasonSYNACK, RTT: 413 * time.Microsecond},
			"192.0.2.1:443 is open (syn-ack) after 413µs"},
		{rawshake.Result{Target: target, State: rawshake.Closed, Reason: rawshake.ReasonRST, RTT: time.Millisecond, Attempt: 1, Err: syscall.ECONNREFUSED},
			"192.0.2.1:443 is closed (rst) after 1ms, after 2 SYNs"},
		{rawshake.Result{Target: target, State: rawshake.Unreachable, Reason: rawshake.ReasonAdminProhibited, Err: syscall.EHOSTUNREACH,
			Reply: rawshake.Reply{Responder: netip.MustParseAddr("198.51.100.1")}},
			"192.0.2.1:443 is unreachable (admin-prohibited), says 198.51.100.1: " + syscall.EHOSTUNREACH.Error()},
		{rawshake.Result{Target: target, State: rawshake.Filtered, Reason: rawshake.ReasonTimeout, Attempt: 3}, "192.0.2.1:443 is filtered (timeout), after 4 SYNs"},
		{rawshake.Result{Target: target, Reason: rawshake.ReasonGatewayDown}, "192.0.2.1:443 is unsent (gateway-down)"},
		{rawshake.Result{}, "invalid AddrPort is unsent"},
	} {
		if got := test.r.String(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
