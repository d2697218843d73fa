package record

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rawshake/rawshake/match"
)

// jsonResult is the documented line as encoding/json would write it: the independent judge of the hand-written encoder.
type jsonResult struct {
	V         int      `json:"v"`
	Type      string   `json:"type"`
	TS        string   `json:"ts,omitempty"`
	Target    string   `json:"target,omitempty"`
	Addr      string   `json:"addr,omitempty"`
	Port      *uint16  `json:"port,omitempty"`
	State     string   `json:"state"`
	Reason    string   `json:"reason,omitempty"`
	RTT       *float64 `json:"rtt_us,omitempty"`
	Attempt   *int     `json:"attempt,omitempty"`
	TTL       uint8    `json:"ttl,omitempty"`
	Window    *uint16  `json:"window,omitempty"`
	MSS       uint16   `json:"mss,omitempty"`
	Options   string   `json:"options,omitempty"`
	Src       string   `json:"src,omitempty"`
	Method    string   `json:"method,omitempty"`
	ICMPType  *uint8   `json:"icmp_type,omitempty"`
	ICMPCode  *uint8   `json:"icmp_code,omitempty"`
	Responder string   `json:"responder,omitempty"`
	MTU       uint32   `json:"mtu,omitempty"`
	Error     string   `json:"error,omitempty"`
	Suspect   string   `json:"suspect,omitempty"`
	Label     string   `json:"label,omitempty"`
}

func reference(r Record) jsonResult {
	j := jsonResult{
		V: 1, Type: "result", Target: r.Name, State: r.State.String(), Reason: r.Reason.String(), TTL: r.TTL, MSS: r.MSS,
		Options: r.Options, Method: r.Method, MTU: r.MTU, Error: r.Err, Suspect: r.Suspect, Label: r.Label,
	}
	if !r.Time.IsZero() {
		j.TS = r.Time.UTC().Format("2006-01-02T15:04:05.000000000Z07:00")
	}
	if port := r.Target.Port(); port > 0 || r.Target.IsValid() {
		j.Port = &port
	}
	if r.Target.IsValid() {
		j.Addr = r.Target.Addr().String()
		if r.Name == "" {
			j.Target = r.Target.String()
		}
	}
	if r.Source.IsValid() {
		j.Src = r.Source.String()
	}
	if r.RTT > 0 {
		us := float64(r.RTT) / 1000
		j.RTT = &us
	}
	lookedUp := (r.Reason == match.NoRoute || r.Reason == match.NoNeighbour) && !r.Source.IsValid()
	if r.State != match.Unsent && !lookedUp {
		j.Attempt = &r.Attempt
	}
	if r.TTL > 0 && (r.State == match.Open || r.State == match.Closed) {
		j.Window = &r.Window
	}
	switch r.Reason {
	case match.NetUnreachable, match.HostUnreachable, match.ProtocolUnreachable, match.PortUnreachable,
		match.FragmentationNeeded, match.AdminProhibited, match.TTLExceeded, match.ParameterProblem, match.ICMPOther:
		if r.Responder.IsValid() {
			j.ICMPType, j.ICMPCode, j.Responder = &r.ICMPType, &r.ICMPCode, r.Responder.String()
		}
	}
	return j
}

func marshal(t testing.TB, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

var at = time.Date(2026, 11, 20, 15, 16, 50, 123456789, time.UTC)

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// samples are one record of each kind, with the line that is promised for it.
var samples = []struct {
	name string
	r    Record
	json string
}{
	{"open", Record{
		Time: at, Name: "www.example.net:443", Target: addrPort("192.0.2.1:443"), State: match.Open, Reason: match.SYNACK,
		RTT: 412700, Attempt: 1, TTL: 57, Window: 64240, MSS: 1460, Options: "mss,sackok,ts,nop,ws",
		Source: addrPort("192.0.2.10:40123"), Method: "raw", Label: "edge",
	}, `{"v":1,"type":"result","ts":"2026-11-20T15:16:50.123456789Z","target":"www.example.net:443","addr":"192.0.2.1",` +
		`"port":443,"state":"open","reason":"syn-ack","rtt_us":412.7,"attempt":1,"ttl":57,"window":64240,"mss":1460,` +
		`"options":"mss,sackok,ts,nop,ws","src":"192.0.2.10:40123","method":"raw","label":"edge"}`},
	{"suspect", Record{
		Time: at.Truncate(time.Second), Target: addrPort("[2001:db8::1]:80"), State: match.Open, Reason: match.SYNACK,
		RTT: time.Microsecond, TTL: 255, Source: addrPort("[2001:db8::2]:40000"), Method: "raw",
		Suspect: "window 0, no options",
	}, `{"v":1,"type":"result","ts":"2026-11-20T15:16:50.000000000Z","target":"[2001:db8::1]:80","addr":"2001:db8::1",` +
		`"port":80,"state":"open","reason":"syn-ack","rtt_us":1,"attempt":0,"ttl":255,"window":0,` +
		`"src":"[2001:db8::2]:40000","method":"raw","suspect":"window 0, no options"}`},
	{"closed", Record{
		Time: at, Target: addrPort("192.0.2.1:1"), State: match.Closed, Reason: match.RST, RTT: 1500 * time.Millisecond, TTL: 64,
		Method: "raw",
	}, `{"v":1,"type":"result","ts":"2026-11-20T15:16:50.123456789Z","target":"192.0.2.1:1","addr":"192.0.2.1","port":1,` +
		`"state":"closed","reason":"rst","rtt_us":1500000,"attempt":0,"ttl":64,"window":0,"method":"raw"}`},
	{"unreachable", Record{
		Time: at, Target: addrPort("198.51.100.7:22"), State: match.Unreachable, Reason: match.FragmentationNeeded, RTT: 999,
		TTL: 250, ICMPType: 3, ICMPCode: 4, Responder: netip.MustParseAddr("203.0.113.1"), MTU: 576, Method: "raw",
		Err: "message too long",
	}, `{"v":1,"type":"result","ts":"2026-11-20T15:16:50.123456789Z","target":"198.51.100.7:22","addr":"198.51.100.7",` +
		`"port":22,"state":"unreachable","reason":"fragmentation-needed","rtt_us":0.999,"attempt":0,"ttl":250,` +
		`"method":"raw","icmp_type":3,"icmp_code":4,"responder":"203.0.113.1","mtu":576,"error":"message too long"}`},
	{"filtered", Record{Time: at, Target: addrPort("192.0.2.1:81"), State: match.Filtered, Reason: match.Timeout, Attempt: 2, Method: "raw"},
		`{"v":1,"type":"result","ts":"2026-11-20T15:16:50.123456789Z","target":"192.0.2.1:81","addr":"192.0.2.1","port":81,` +
			`"state":"filtered","reason":"timeout","attempt":2,"method":"raw"}`},
	{"unsent", Record{Time: at, Target: addrPort("192.0.2.1:0"), State: match.Unsent, Reason: match.GatewayDown},
		`{"v":1,"type":"result","ts":"2026-11-20T15:16:50.123456789Z","target":"192.0.2.1:0","addr":"192.0.2.1","port":0,` +
			`"state":"unsent","reason":"gateway-down"}`},
	{"unresolved", Record{Name: "no.such:1", Target: netip.AddrPortFrom(netip.Addr{}, 1), Reason: match.NoName},
		`{"v":1,"type":"result","target":"no.such:1","port":1,"state":"unsent","reason":"name-unresolved"}`},
	{"ICMP by connect", Record{Target: addrPort("192.0.2.1:1"), State: match.Unreachable, Reason: match.HostUnreachable, Method: "connect"},
		`{"v":1,"type":"result","target":"192.0.2.1:1","addr":"192.0.2.1","port":1,"state":"unreachable","reason":"host-unreachable",` +
			`"attempt":0,"method":"connect"}`},
	{"zone", Record{Target: netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(`we"ird`), 80), State: match.Open},
		`{"v":1,"type":"result","target":"[fe80::1%we\"ird]:80","addr":"fe80::1%we\"ird","port":80,"state":"open","attempt":0}`},
	{"hostile label", Record{Name: "a\"\\\b\f\n\r\t\x00\x1f\x7f<&>", Label: "grüße 東京 🚪 \u2028\u2029 \xff\xc3"},
		`{"v":1,"type":"result","target":"a\"\\\b\f\n\r\t\u0000\u001f` + "\x7f" + `<&>","state":"unsent",` +
			`"label":"grüße 東京 🚪 \u2028\u2029 \ufffd\ufffd"}`},
	{"no route", Record{Time: at, Target: addrPort("203.0.113.9:80"), State: match.Unreachable, Reason: match.NoRoute, Method: "raw", Err: "no route to host"},
		`{"v":1,"type":"result","ts":"2026-11-20T15:16:50.123456789Z","target":"203.0.113.9:80","addr":"203.0.113.9","port":80,` +
			`"state":"unreachable","reason":"no-route","method":"raw","error":"no route to host"}`},
	{"no route any more", Record{
		Target: addrPort("203.0.113.9:80"), State: match.Unreachable, Reason: match.NoRoute, Attempt: 1, Source: addrPort("192.0.2.10:40123"),
	}, `{"v":1,"type":"result","target":"203.0.113.9:80","addr":"203.0.113.9","port":80,"state":"unreachable","reason":"no-route",` +
		`"attempt":1,"src":"192.0.2.10:40123"}`},
	{"no neighbour", Record{Target: addrPort("192.0.2.99:80"), State: match.Unreachable, Reason: match.NoNeighbour, Method: "raw"},
		`{"v":1,"type":"result","target":"192.0.2.99:80","addr":"192.0.2.99","port":80,"state":"unreachable","reason":"no-neighbour","method":"raw"}`},
}

func TestRecordJSON(t *testing.T) {
	for _, test := range samples {
		t.Run(test.name, func(t *testing.T) {
			if got := string(test.r.AppendJSON(nil)); got != test.json {
				t.Errorf("got  %s\nwant %s", got, test.json)
			}
			if want := marshal(t, reference(test.r)); want != test.json {
				t.Errorf("encoding/json writes %s\nthe promise is      %s", want, test.json)
			}
		})
	}
}

// FuzzRecordJSON holds the encoder against encoding/json over arbitrary records, byte for byte.
func FuzzRecordJSON(f *testing.F) {
	f.Add("www.example.net:443", "label", "raw", int64(1795195010123456789), int64(412700), []byte{192, 0, 2, 1}, uint64(0x01bb0139fac00001))
	f.Add("\xff\u2028\"", "\x00\\", "é", int64(-1), int64(1), []byte{0x20, 1, 0xd, 0xb8, 15: 1}, uint64(0xffffffffffffffff))
	f.Fuzz(func(t *testing.T, name, label, text string, ns, rtt int64, addr []byte, bits uint64) {
		ip, _ := netip.AddrFromSlice(addr)
		if ip.Is6() {
			ip = ip.WithZone(text)
		}
		r := Record{
			Name: name, Label: label, Suspect: text, Options: text, Err: label, Method: text,
			Time: time.Unix(0, ns), RTT: time.Duration(rtt % 1e15), Target: netip.AddrPortFrom(ip, uint16(bits)),
			State: match.State(bits >> 16 % uint64(match.NumStates)), Reason: match.Reason(bits >> 20 % uint64(match.NumReasons)),
			Attempt: int(bits >> 28 & 15), TTL: uint8(bits >> 32), Window: uint16(bits >> 40), MSS: uint16(bits >> 48),
			ICMPType: uint8(bits >> 8), ICMPCode: uint8(bits >> 16), Responder: ip, MTU: uint32(bits >> 32), Source: addrPort("10.0.0.1:1"),
		}
		got, want := string(r.AppendJSON(nil)), marshal(t, reference(r))
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		// Behind other bytes and into spare capacity, where an in-place escape could go wrong.
		const before = "before"
		if got := string(r.AppendJSON(append(make([]byte, 0, 64), before...))); got != before+want {
			t.Errorf("appended: got %s\nwant %s", got, before+want)
		}
	})
}

func TestSummaryJSON(t *testing.T) {
	var tally Tally
	for _, us := range []int{100, 200, 300} {
		tally.Answered(time.Duration(us) * time.Microsecond)
	}
	tally.Lost()
	s := tally.Summary(`a"b:1`, at)
	want := `{"v":1,"type":"summary","ts":"2026-11-20T15:16:50.123456789Z","target":"a\"b:1","sent":4,"received":3,"loss":0.25,"open":0,"closed":0,"unreachable":0,"filtered":0,"unsent":0,` +
		`"rtt_us":{"min":100,"avg":200,"max":300,"mdev":81.65,"p95":300}}`
	if got := string(s.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	pending := Summary{Target: "x:1", Addr: addrPort("192.0.2.1:1"), Sent: 3, Pending: 3, Verdicts: [match.NumStates]uint64{match.Unsent: 2}}
	want = `{"v":1,"type":"summary","target":"x:1","addr":"192.0.2.1","port":1,"sent":3,"received":0,"pending":3,` +
		`"open":0,"closed":0,"unreachable":0,"filtered":0,"unsent":2}`
	if got := string(pending.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	none := Summary{Target: "192.0.2.1:1", Sent: 2}
	want = `{"v":1,"type":"summary","target":"192.0.2.1:1","sent":2,"received":0,"loss":1,"open":0,"closed":0,"unreachable":0,"filtered":0,"unsent":0}`
	if got := string(none.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestRunJSON compares with the keys that the issue names, in its order.
func TestRunJSON(t *testing.T) {
	r := Run{
		Time: at, Targets: 10, ProbesSent: 1000, SendTime: 300 * time.Millisecond, Open: 1, Closed: 2, Unreachable: 3, Filtered: 3,
		Unsent: 1, Duplicates: 6, Ignored: 7, RingDrops: 8, SendErrors: 9, RSTSent: 11, Seed: 12, Shard: "2/3", Complete: true,
	}
	want := marshal(t, struct {
		V           int     `json:"v"`
		Type        string  `json:"type"`
		TS          string  `json:"ts"`
		Targets     int     `json:"targets"`
		ProbesSent  int     `json:"probes_sent"`
		SendSeconds float64 `json:"send_seconds"`
		RatePPS     float64 `json:"rate_pps"`
		Open        int     `json:"open"`
		Closed      int     `json:"closed"`
		Unreachable int     `json:"unreachable"`
		Filtered    int     `json:"filtered"`
		Unsent      int     `json:"unsent"`
		Duplicates  int     `json:"duplicates"`
		Ignored     int     `json:"ignored"`
		RingDrops   int     `json:"ring_drops"`
		SendErrors  int     `json:"send_errors"`
		RSTSent     int     `json:"rst_sent"`
		Seed        int     `json:"seed"`
		Shard       string  `json:"shard"`
		Complete    bool    `json:"complete"`
	}{1, "run", "2026-11-20T15:16:50.123456789Z", 10, 1000, 0.3, 3330, 1, 2, 3, 3, 1, 6, 7, 8, 9, 11, 12, "2/3", true})
	if got := string(r.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r.Reasons.Add(match.Unreachable, "no-route", 2)
	r.Reasons.Add(match.Unsent, "link-down", 1)
	r.Reasons.Add(match.Unreachable, "no-route", 1)
	want = strings.Replace(want, `,"complete"`, `,"reasons":{"unreachable":{"no-route":3},"unsent":{"link-down":1}},"complete"`, 1)
	if got := string(r.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if r.Done() != r.Targets {
		t.Errorf("Done() = %d, want %d", r.Done(), r.Targets)
	}
	if idle := string((&Run{}).AppendJSON(nil)); !json.Valid([]byte(idle)) || !strings.Contains(idle, `"rate_pps":0,`) {
		t.Errorf("a run that sent nothing: %s", idle)
	}
}

func TestRunCount(t *testing.T) {
	var r Run
	for s := range match.NumStates {
		for range s + 1 {
			r.Count(s)
		}
	}
	got := [match.NumStates]uint64{
		match.Open: r.Open, match.Closed: r.Closed, match.Unreachable: r.Unreachable, match.Filtered: r.Filtered, match.Unsent: r.Unsent,
	}
	for s, n := range got {
		if n != uint64(s)+1 {
			t.Errorf("%v counted %d times, want %d", match.State(s), n, s+1)
		}
	}
}

func TestNoAllocs(t *testing.T) {
	buf := make([]byte, 0, 4096)
	fields := AllFields()
	var text Text
	for _, test := range samples {
		for name, encode := range map[string]func(){
			"JSON": func() { test.r.AppendJSON(buf) },
			"CSV":  func() { test.r.AppendCSV(buf, fields) },
			"text": func() { text.AppendRecord(buf, &test.r) },
		} {
			if n := testing.AllocsPerRun(100, encode); n != 0 {
				t.Errorf("%s of %s allocates %v times", name, test.name, n)
			}
		}
	}
}

func benchmarkRecords(b *testing.B, encode func(dst []byte, r *Record) []byte) {
	buf := make([]byte, 0, 4096)
	for _, i := range []int{0, 2, 4, len(samples) - 1} {
		b.Run(samples[i].name, func(b *testing.B) {
			r := samples[i].r
			b.ReportAllocs()
			for b.Loop() {
				buf = encode(buf[:0], &r)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	benchmarkRecords(b, func(dst []byte, r *Record) []byte { return r.AppendJSON(dst) })
}

func BenchmarkAppendCSV(b *testing.B) {
	fields := AllFields()
	benchmarkRecords(b, func(dst []byte, r *Record) []byte { return r.AppendCSV(dst, fields) })
}

func BenchmarkAppendText(b *testing.B) {
	var text Text
	benchmarkRecords(b, func(dst []byte, r *Record) []byte { return text.AppendRecord(dst, r) })
}

// TestRunSeconds: no digit that the clock does not have. 1.551 s is one of the times that Duration.Seconds makes longer.
func TestRunSeconds(t *testing.T) {
	r := Run{SendTime: 1551 * time.Millisecond, ProbesSent: 2}
	if got := string(r.AppendJSON(nil)); !strings.Contains(got, `"send_seconds":1.551,`) {
		t.Error(got)
	}
	if got := string(r.AppendText(nil)); !strings.Contains(got, " in 1.551 s, ") {
		t.Error(got)
	}
}
