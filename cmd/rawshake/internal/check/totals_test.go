package check

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/record"
)

var (
	a = netip.MustParseAddrPort("192.0.2.1:443")
	b = netip.MustParseAddrPort("192.0.2.2:443")
)

func result(target netip.AddrPort, s rawshake.State, why match.Reason, rtt time.Duration) rawshake.Result {
	return rawshake.Result{Target: target, State: s, Reason: why, RTT: rtt}
}

func (t *totals) add(host int, results ...rawshake.Result) {
	for _, r := range results {
		t.begin(endpointKey{host, r.Target}, "")
		t.verdict(endpointKey{host, r.Target}, r)
	}
}

func TestExitCode(t *testing.T) {
	open := result(a, rawshake.Open, match.SYNACK, 1)
	for _, test := range []struct {
		name       string
		results    []rawshake.Result
		unresolved uint64
		want       exit.Code
	}{
		{"nothing", nil, 0, exit.OK},
		{"open", []rawshake.Result{open}, 0, exit.OK},
		{"closed", []rawshake.Result{result(a, rawshake.Closed, match.RST, 1)}, 0, exit.NotOpen},
		{"filtered", []rawshake.Result{open, result(b, rawshake.Filtered, match.Timeout, 0)}, 0, exit.NotOpen},
		{"unreachable", []rawshake.Result{result(a, rawshake.Unreachable, match.NoRoute, 0)}, 0, exit.NotOpen},
		{"open once of two", []rawshake.Result{result(a, rawshake.Filtered, match.Timeout, 0), open}, 0, exit.OK},
		{"unresolved", []rawshake.Result{open}, 1, exit.Unresolved},
		{"unresolved and closed", []rawshake.Result{result(a, rawshake.Closed, match.RST, 1)}, 1, exit.Unresolved},
		{"firewall", []rawshake.Result{open, result(b, rawshake.Unsent, match.LocalFirewall, 0)}, 1, exit.System},
		{"gateway", []rawshake.Result{result(b, rawshake.Unsent, match.GatewayDown, 0)}, 0, exit.System},
		{"ring", []rawshake.Result{open, result(b, rawshake.Unsent, match.LossOfOurs, 0)}, 1, exit.Incomplete},
		{"ring, open later", []rawshake.Result{result(a, rawshake.Unsent, match.LossOfOurs, 0), open}, 0, exit.Incomplete},
		{"overload", []rawshake.Result{result(b, rawshake.Unsent, match.Overload, 0)}, 0, exit.Incomplete},
	} {
		t.Run(test.name, func(t *testing.T) {
			sum := totals{unresolved: test.unresolved}
			sum.add(0, test.results...)
			if got := sum.code(); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}

// TestSummaries: what was not sent is no loss of the target's; what was named twice is two.
func TestSummaries(t *testing.T) {
	var sum totals
	ms := time.Millisecond
	sum.add(1, result(b, rawshake.Open, match.SYNACK, 2*ms))
	sum.add(0,
		result(a, rawshake.Open, match.SYNACK, 10*ms), result(a, rawshake.Closed, match.RST, 20*ms),
		result(a, rawshake.Filtered, match.Timeout, 0), result(a, rawshake.Unreachable, match.HostUnreachable, 5*ms),
		result(a, rawshake.Unsent, match.LossOfOurs, 0))
	sum.add(2, result(a, rawshake.Filtered, match.Timeout, 0))
	sum.begin(endpointKey{2, a}, "") // and no more is heard of it
	all := sum.summaries(time.Time{}, every)
	want := []record.Summary{
		{Target: "192.0.2.1:443", Addr: a, Sent: 4, Received: 2, Min: 10 * ms, Avg: 15 * ms, Max: 20 * ms, Mdev: 5 * ms, P95: 20 * ms,
			Verdicts: [match.NumStates]uint64{match.Open: 1, match.Closed: 1, match.Filtered: 1, match.Unreachable: 1, match.Unsent: 1}},
		{Target: "192.0.2.2:443", Addr: b, Sent: 1, Received: 1, Min: 2 * ms, Avg: 2 * ms, Max: 2 * ms, P95: 2 * ms,
			Verdicts: [match.NumStates]uint64{match.Open: 1}},
		{Target: "192.0.2.1:443", Addr: a, Sent: 2, Pending: 1, Verdicts: [match.NumStates]uint64{match.Filtered: 1}},
	}
	if len(all) != len(want) {
		t.Fatalf("%d summaries", len(all))
	}
	for i := range want {
		if all[i] != want[i] {
			t.Errorf("summary %d is %+v, want %+v", i, all[i], want[i])
		}
	}
	if loss := all[0].Loss(); loss != 0.5 {
		t.Errorf("loss %v", loss)
	}
	if pending := sum.summaries(time.Time{}, (*endpoint).unsettled); len(pending) != 1 || pending[0] != want[2] {
		t.Errorf("pending: %+v", pending)
	}
	const text = "192.0.2.1:443 : sent 4, answered 2, loss 50.0% (1 open, 1 closed, 1 unreachable, 1 filtered, 1 unsent), " +
		"min/avg/max/mdev = 10.000/15.000/20.000/5.000 ms\n"
	if got := string(all[0].AppendText(nil)); got != text {
		t.Errorf("%q, want %q", got, text)
	}
}

// TestSummaryUntimed: an answer whose time cannot be told is an answer, and no time of 0.
func TestSummaryUntimed(t *testing.T) {
	var sum totals
	ms := time.Millisecond
	sum.add(0,
		result(a, rawshake.Open, match.SYNACK, 10*ms), result(a, rawshake.Open, match.SYNACK, 0),
		result(a, rawshake.Closed, match.RST, 0), result(a, rawshake.Open, match.SYNACK, 20*ms), result(a, rawshake.Filtered, match.Timeout, 0))
	want := record.Summary{Target: "192.0.2.1:443", Addr: a, Sent: 5, Received: 4, Min: 10 * ms, Avg: 15 * ms, Max: 20 * ms, Mdev: 5 * ms, P95: 20 * ms,
		Verdicts: [match.NumStates]uint64{match.Open: 3, match.Closed: 1, match.Filtered: 1}}
	if got := sum.summaries(time.Time{}, every)[0]; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestTotalsString(t *testing.T) {
	for _, test := range []struct {
		results    []rawshake.Result
		unresolved uint64
		want       string
	}{
		{nil, 0, "0 probes"},
		{[]rawshake.Result{result(a, rawshake.Open, match.SYNACK, 1)}, 0, "1 probe: 1 open"},
		{[]rawshake.Result{result(a, rawshake.Filtered, match.Timeout, 0), result(a, rawshake.Open, match.SYNACK, 1), result(b, rawshake.Unsent, match.NoSource, 0)}, 2,
			"3 probes: 1 open, 1 filtered, 1 unsent, 2 targets not resolved"},
		{nil, 1, "0 probes: 1 target not resolved"},
	} {
		sum := totals{unresolved: test.unresolved}
		sum.add(0, test.results...)
		if got := sum.String(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

// TestInterruptedString: what has no verdict is not forgotten.
func TestInterruptedString(t *testing.T) {
	var sum totals
	sum.add(0, result(a, rawshake.Open, match.SYNACK, 1))
	sum.begin(endpointKey{1, b}, "")
	sum.miss(1)
	if got, want := sum.String(), "2 probes: 1 open, 1 pending, 1 target not asked"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestRecord(t *testing.T) {
	r := rawshake.Result{
		Target: a, State: rawshake.Unreachable, Reason: match.FragmentationNeeded, RTT: 412700, Attempt: 1,
		Reply:  rawshake.Reply{TTL: 63, ICMPType: 3, ICMPCode: 4, Responder: netip.MustParseAddr("198.51.100.1"), MTU: 1400},
		Source: netip.MustParseAddrPort("192.0.2.9:40000"), Method: rawshake.MethodRaw,
		Time: time.Unix(1_795_000_000, 5), Err: syscall.EMSGSIZE,
	}
	rec := Record(r, "www.example:443")
	want := `{"v":1,"type":"result","ts":"2026-11-18T11:06:40.000000005Z","target":"www.example:443","addr":"192.0.2.1","port":443,` +
		`"state":"unreachable","reason":"fragmentation-needed","rtt_us":412.7,"attempt":1,"ttl":63,"src":"192.0.2.9:40000","method":"raw",` +
		`"icmp_type":3,"icmp_code":4,"responder":"198.51.100.1","mtu":1400,"error":"message too long"}`
	if got := string(rec.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	closed := Record(rawshake.Result{Target: a, State: rawshake.Closed, Reason: match.RST, Err: syscall.ECONNREFUSED}, "")
	if closed.Err != "" {
		t.Errorf("a closed port has the error %q", closed.Err)
	}
	o := outcome{name: "none.example:1", target: netip.AddrPortFrom(netip.Addr{}, 1), label: "edge", dns: errors.New("no such host")}
	lost := o.record()
	if got := string(lost.AppendJSON(nil)); !strings.Contains(got,
		`"target":"none.example:1","port":1,"state":"unsent","reason":"name-unresolved","error":"no such host","label":"edge"`) {
		t.Errorf("%s", got)
	}
}
