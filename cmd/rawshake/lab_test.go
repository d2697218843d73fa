//go:build linux && !android

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
	"github.com/rawshake/rawshake/internal/lab"
)

// as runs the command in the prober's namespace with other privileges than those of the body.
func as(t *testing.T, n *lab.Net, who lab.Privilege, args ...string) outcome {
	t.Helper()
	return inRole(t, n, who, "command", args...)
}

// executable is what the command names in its advice.
func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// line is what tests look at in a JSON line of any type.
type line struct {
	Type, Target, State, Reason, Src, Method, Responder, Error string
	Addr                                                       netip.Addr
	Port, Window, MSS                                          uint16
	TTL                                                        uint8
	Attempt                                                    int
	RTT                                                        any `json:"rtt_us"`
	ICMPType                                                   int `json:"icmp_type"`
	ICMPCode                                                   int `json:"icmp_code"`
	Sent, Received                                             int
	Loss                                                       float64
}

// lines reads JSON lines, by target.
func lines(t *testing.T, text string) map[string]line {
	t.Helper()
	all := map[string]line{}
	for text := range strings.Lines(text) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		all[l.Target] = l
	}
	return all
}

func ep(a netip.Addr, port uint16) string { return netip.AddrPortFrom(a, port).String() }

// TestLabCheckVerdicts asks one peer in every way that it can answer, in both families.
func TestLabCheckVerdicts(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		peer.Drop(t, 82)
		peer.Reject(t, 83, lab.AdminProhibited)
		peer.Reject(t, 83, lab.AdminProhibited6)
		dead := netip.MustParseAddr("10.77.1.99")
		args := []string{"check", "-J", "-p", "80-83", peer.V4.String(), peer.V6.String(), ep(dead, 80), "203.0.113.9:80"}
		o := tool(t, args...)
		o.want(t, 1)
		got := lines(t, o.stdout)
		if len(got) != 10 {
			t.Errorf("%d records:\n%s", len(got), o.stdout)
		}
		for _, a := range []netip.Addr{peer.V4, peer.V6} {
			for port, want := range map[uint16]string{80: "open syn-ack", 81: "closed rst", 82: "filtered timeout", 83: "unreachable admin-prohibited"} {
				if l := got[ep(a, port)]; l.State+" "+l.Reason != want || l.Method != "raw" || l.Addr != a || l.Port != port {
					t.Errorf("%v port %d: %+v, want %s", a, port, l, want)
				}
			}
			open := got[ep(a, 80)]
			if open.TTL != 64 || open.Window == 0 || open.MSS == 0 || open.Attempt != 0 || open.RTT == 0.0 {
				t.Errorf("%+v", open)
			}
			if l := got[ep(a, 83)]; l.Responder != a.String() || l.ICMPCode == 0 {
				t.Errorf("%+v", l)
			}
			if l := got[ep(a, 82)]; l.RTT != nil || l.Attempt == 0 {
				t.Errorf("%+v", l)
			}
		}
		if l := got[ep(dead, 80)]; l.State != "unreachable" || l.Reason != "no-neighbour" {
			t.Errorf("dead neighbour: %+v", l)
		}
		if l := got["203.0.113.9:80"]; l.State != "unreachable" || l.Reason != "no-route" {
			t.Errorf("no route: %+v", l)
		}
		expectUntried(t, o.stdout)
	})
}

// expectUntried fails where a JSON line counts an attempt though the routing table let nothing be sent.
func expectUntried(t *testing.T, text string) {
	t.Helper()
	n := 0
	for line := range strings.Lines(text) {
		if strings.Contains(line, `"reason":"no-route"`) {
			if n++; strings.Contains(line, `"attempt"`) {
				t.Errorf("%s", line)
			}
		}
	}
	if n == 0 {
		t.Error("no line is about a missing route")
	}
}

func TestLabCheckText(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		o := tool(t, "check", "--parallel", "1", ep(peer.V4, 80), ep(peer.V4, 81))
		o.want(t, 1)
		contains(t, masked(o.stdout, nil),
			"10.77.1.2:80           open         syn-ack  N ms  ttl 64  win 64240  mss 1460\n",
			"10.77.1.2:81           closed       rst  N ms  ttl 64  win 0\n")
		golden(t, "stderr", o.stderr, "2 probes: 1 open, 1 closed\n")
	})
}

// TestLabCheckTrace: each packet is a line on stderr and a packet in the file, as it was on the wire.
func TestLabCheckTrace(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		listener := peer.Listen(t, 80)
		wire := peer.Capture(t)
		for _, v6 := range []bool{false, true} {
			at := netip.AddrPortFrom(peer.Addr(v6), 80)
			path := filepath.Join(t.TempDir(), "x.pcapng")
			o := tool(t, "check", "--trace", "--pcap", path, at.String())
			o.want(t, 0)
			packets := wire.Expect(t, at, lab.SYN(), lab.SYNACK(), lab.RST())
			traced := strings.Split(strings.TrimSpace(o.stderr), "\n")
			if len(traced) != 3 {
				t.Fatalf("trace:\n%s", o.stderr)
			}
			for i, want := range []string{"  out  ", "  in   ", "  out  "} {
				contains(t, traced[i], want, " ms", at.String(), "seq "+strconv.Itoa(int(packets[i].TCP.Seq)))
			}
			contains(t, traced[0], "0.000 ms", "> "+at.String()+" SYN seq ", "<mss ")
			contains(t, traced[1], at.String()+" > ", " SYN-ACK seq ", "ttl 64", "<mss ")
			contains(t, traced[2], "> "+at.String()+" RST seq ")
			comparePcap(t, path, packets)
		}
		if accepted := listener.Accepted(); accepted != 0 {
			t.Errorf("accept returned %d times", accepted)
		}
	})
}

// comparePcap holds the file to what was captured on the wire. Checksums of the peer's kernel may be unfinished there and here.
func comparePcap(t *testing.T, path string, want []lab.Packet) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range want {
		data, info, err := r.ReadPacketData()
		if err != nil || !bytes.Equal(data, p.Data) {
			t.Errorf("packet %d is % x, %v, want % x", i, data, err, p.Data)
		}
		if d := info.Timestamp.Sub(p.Time).Abs(); d > time.Second {
			t.Errorf("packet %d is off by %v", i, d)
		}
	}
	if _, _, err := r.ReadPacketData(); !errors.Is(err, io.EOF) {
		t.Errorf("one packet too many: %v", err)
	}
}

// TestLabCheckNames: the first address of a name, or each; what does not resolve is exit code 2.
func TestLabCheckNames(t *testing.T) {
	top := lab.Topology{Files: map[string]string{
		"/etc/hosts":       "10.77.1.2 two.example four.example\nfd77:0:0:1::2 two.example\n10.77.1.3 two.example\n",
		"/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", // where nobody listens
	}}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Listen(t, 80)
		for _, test := range []struct {
			args string
			code int
			want []string // in any order
		}{
			{"-4 two.example:80", 0, []string{"two.example:80 10.77.1.2 open"}},
			{"-6 two.example:80", 0, []string{"two.example:80 fd77:0:0:1::2 open"}},
			{"-4 Four.Example -p 80,81", 1, []string{"Four.Example:80 10.77.1.2 open", "Four.Example:81 10.77.1.2 closed"}},
			{"--all-addresses -t 100ms two.example:80", 4, []string{ // nobody has the third address, and this machine does not know it yet
				"two.example:80 10.77.1.2 open", "two.example:80 fd77:0:0:1::2 open", "two.example:80 10.77.1.3 unsent"}},
			{"-6 four.example:80", 2, []string{"four.example:80 invalid IP unsent"}},
			{"four.example:80 no.example:80", 2, []string{"four.example:80 10.77.1.2 open", "no.example:80 invalid IP unsent"}},
		} {
			o := tool(t, append([]string{"check", "-J"}, strings.Fields(test.args)...)...)
			if o.code != test.code {
				t.Errorf("%s: exit code %d, want %d\n%s", test.args, o.code, test.code, o.stderr)
			}
			var got []string
			for text := range strings.Lines(o.stdout) {
				var l line
				if err := json.Unmarshal([]byte(text), &l); err != nil {
					t.Fatal(err)
				}
				got = append(got, l.Target+" "+l.Addr.String()+" "+l.State)
			}
			if len(got) != len(test.want) {
				t.Errorf("%s: %q, want %q", test.args, got, test.want)
			}
			contains(t, strings.Join(got, "\n"), test.want...)
		}
	})
}

// TestLabCheckPath: the caller picks the source address and the interface.
func TestLabCheckPath(t *testing.T) {
	top := lab.Topology{Links: []lab.Link{{A: "prober", B: "peer"}, {A: "prober", B: "peer"}}}
	lab.Test(t, top, func(t *testing.T, n *lab.Net) {
		peer, prober := n.Host("peer"), n.Prober()
		peer.Listen(t, 80)
		second := netip.MustParseAddr("10.77.1.50")
		prober.AddAddress(t, "eth0", netip.PrefixFrom(second, 24))
		o := tool(t, "check", "-J", "-S", second.String(), ep(peer.V4, 80))
		o.want(t, 0)
		if src := lines(t, o.stdout)[ep(peer.V4, 80)].Src; !strings.HasPrefix(src, second.String()+":") {
			t.Errorf("src is %s", src)
		}
		other := peer.Interfaces[1]
		local := netip.AddrPortFrom(other.LinkLocal.WithZone("eth1"), 80).String()
		for _, args := range [][]string{
			{"-I", "eth1", ep(other.V4, 80)}, {local}, {"-p", "80", other.LinkLocal.WithZone("eth1").String()}, {"-I", "eth1", ep(other.LinkLocal, 80)},
		} {
			o := tool(t, append([]string{"check", "-J"}, args...)...)
			if o.code != 0 || !strings.Contains(o.stdout, `"state":"open"`) {
				t.Errorf("%q: %+v", args, o)
			}
		}
		wire := peer.Capture(t)
		o = tool(t, "check", "-J", "-S", peer.V4.String(), ep(peer.V4, 80))
		o.want(t, 3)
		contains(t, o.stderr, "-S "+peer.V4.String()+" is not an address of this host", "ip addr")
		o = tool(t, "check", "-J", "-S", second.String(), ep(peer.V6, 80))
		o.want(t, 3)
		contains(t, o.stderr, "an IPv6 address, but -S allows IPv4 only")
		wire.ExpectNothingElse(t)
	})
}

// TestLabCheckPackets: the flags say what packets look like, and how close together they are.
func TestLabCheckPackets(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		peer.Drop(t, 82)
		for _, v6 := range []bool{false, true} {
			wire := peer.Capture(t)
			o := tool(t, "check", "--ttl", "9", "--tos", "0x48", "--mark", "7", "--syn-options", "linux", "--source-ports", "41000-41015", ep(peer.Addr(v6), 80))
			o.want(t, 0)
			syn := wire.Expect(t, netip.AddrPortFrom(peer.Addr(v6), 80), lab.SYN(), lab.SYNACK(), lab.RST())[0]
			tos := syn.Data[1]
			if v6 {
				tos = syn.Data[0]<<4 | syn.Data[1]>>4
			}
			if port := syn.Src.Port(); syn.TTL != 9 || tos != 0x48 || port < 41000 || port > 41015 || len(syn.TCP.Options) != 5 {
				t.Errorf("TOS %#x, %+v", tos, syn)
			}
			wire.Close()
		}
		o := tool(t, "check", "-J", "-t", "600ms", "--attempts", "3", ep(peer.V4, 82))
		o.want(t, 1)
		if l := lines(t, o.stdout)[ep(peer.V4, 82)]; l.State != "filtered" || l.Attempt != 2 {
			t.Errorf("%+v", l)
		}
		for _, args := range [][]string{{"check", "-I", "lo"}, {"scan", "-I", "lo", "--show", "all", "--checkpoint", "off", "-o", "jsonl:-"}} {
			o := tool(t, append(args, ep(peer.V4, 80))...)
			contains(t, o.stdout+o.stderr, "unreachable", "no-route")
		}
		o = tool(t, "scan", "--source-ports", "41000-41003", "--checkpoint", "off", ep(peer.V4, 80))
		o.want(t, 3)
		contains(t, o.stderr, "rawshake scan: --source-ports: it takes 8 source ports, and the range 41000-41003 has 4: widen it to 8 or more")
	})
}

// TestLabFiguresOnce: where both outputs are one, as after 2>&1, the figures of a scan stand there once.
func TestLabFiguresOnce(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		for joined, want := range map[bool]int{true: 1, false: 2} {
			cmd, stdout, stderr := command(t, nil, "scan", "--show", "all", "--checkpoint", "off", "--progress", "off", ep(peer.V4, 81))
			if joined {
				cmd.Stderr = cmd.Stdout
			}
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s%s", err, stdout, stderr)
			}
			if got := strings.Count(stdout.String()+stderr.String(), "1 of 1 target"); got != want {
				t.Errorf("joined %v: the figures stand there %d times:\n%s%s", joined, got, stdout, stderr)
			}
		}
	})
}

// TestLabCheckUnprivileged: one sentence and a fix, exit code 4, and nothing on the wire: never a silent connect.
func TestLabCheckUnprivileged(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		listener, wire := peer.Listen(t, 80), peer.Capture(t)
		binary := executable(t)
		for who, says := range map[lab.Privilege][]string{
			lab.Nobody:   {"user 65534 has no CAP_NET_RAW", "\n    sudo setcap cap_net_raw+p " + binary + "\n", "--method connect"},
			lab.Confined: {"not in the bounding set", "docker run --cap-add NET_RAW"},
		} {
			for _, args := range [][]string{{"check", ep(peer.V4, 80)}, {"demo"}} {
				o := as(t, n, who, args...)
				o.want(t, 4)
				contains(t, o.stderr, "rawshake "+args[0]+": no permission to open raw sockets: ", "To mend it:")
				if args[0] == "check" {
					contains(t, o.stderr, says...)
				}
				if o.stdout != "" || strings.Count(o.stderr, "\n") > 8 {
					t.Errorf("stdout %q, stderr:\n%s", o.stdout, o.stderr)
				}
			}
		}
		kept := filepath.Join(t.TempDir(), "old.pcapng")
		if err := os.WriteFile(kept, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		as(t, n, lab.Nobody, "check", "--pcap", kept, ep(peer.V4, 80)).want(t, 4)
		if b, err := os.ReadFile(kept); string(b) != "old" || err != nil {
			t.Errorf("a check that could not begin made the old file %q, %v", b, err)
		}
		wire.ExpectNothingElse(t)

		o := as(t, n, lab.Nobody, "check", "--method", "auto", "--trace", ep(peer.V4, 80))
		o.want(t, 0)
		contains(t, o.stdout, " open ", "by connect")
		contains(t, o.stderr, "rawshake check: no raw sockets: probing with connect, which completes handshakes: ", "--trace and --pcap stay empty")
		o = as(t, n, lab.Nobody, "check", "--method", "connect", ep(peer.V4, 80))
		o.want(t, 0)
		if accepted := listener.Accepted(); accepted != 2 {
			t.Errorf("accept returned %d times", accepted)
		}
	})
}

// TestLabCheckInterruptRaw: a signal ends a wait for silence at once.
func TestLabCheckInterruptRaw(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		peer.Drop(t, 82)
		cmd, stdout, stderr := command(t, nil, "check", ep(peer.V4, 82), ep(peer.V4, 80), "-t", "1h")
		first := &firstWrite{w: stdout, written: make(chan struct{})}
		cmd.Stdout = first
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-first.written
		start := time.Now()
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if took, code := time.Since(start), cmd.ProcessState.ExitCode(); took > time.Second || code != 130 {
			t.Errorf("exit code %d after %v", code, took)
		}
		unasked := "interrupted after 1 probe: 1 open, 1 target not asked\n" // on a machine that is busy
		if stderr.String() != unasked {
			golden(t, "stderr", stderr.String(), "10.77.1.2:82 : sent 1, answered 0, pending 1\ninterrupted after 2 probes: 1 open, 1 pending\n")
		}
	})
}

// TestLabCheckOurFault: what this machine could not do is told apart from what the target did.
func TestLabCheckOurFault(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		n.Prober().Nft(t, "chain out { type filter hook output priority 0; tcp dport 80 drop; }")
		o := tool(t, "check", ep(peer.V4, 80), ep(peer.V4, 81))
		o.want(t, 4)
		contains(t, masked(o.stdout, nil), "10.77.1.2:80           unsent       local-firewall  error: operation not permitted\n", "10.77.1.2:81           closed ")
	})
}

// TestLabCheckOwnLoss: the command is stopped while packets for it arrive that its ring cannot hold, then once more during the
// extra attempt that it makes for such a loss. Now it cannot know whether the target answered, and says so.
func TestLabCheckOwnLoss(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		asked := make(chan lab.Packet, 16)
		script := peer.Script(t, func(p lab.Packet) []lab.Answer {
			asked <- p
			return nil
		})
		cmd, stdout, stderr := command(t, nil, "check", "-J", "--attempts", "1", "-t", "500ms", ep(peer.V4, 80))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wrong := (<-asked).PeerRST()
		wrong.Ack += 1000 // it answers nothing of ours, and the filter lets it in
		flood := wrong.Bytes()
		for _, pause := range []time.Duration{600 * time.Millisecond, 1200 * time.Millisecond} {
			cmd.Process.Signal(syscall.SIGSTOP)
			for range 20000 { // the ring holds 16384
				script.Send(flood)
			}
			time.Sleep(pause) // until the probe's time is over
			cmd.Process.Signal(syscall.SIGCONT)
			if pause < time.Second {
				<-asked // the extra attempt
			}
		}
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 5 {
			t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
		}
		contains(t, stdout.String(), `"state":"unsent","reason":"own-loss"`)
		contains(t, stderr.String(), "our receive ring dropped ", "probes asked once more: 1; without a verdict (reason own-loss): 1\n")
	})
}

// TestLabCheckSummary: loss is the target's silence.
func TestLabCheckSummary(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Listen(t, 80)
		peer.Drop(t, 82)
		o := tool(t, "check", "-c", "4", "--period", "20ms", "-t", "200ms", "-J", ep(peer.V4, 80), ep(peer.V6, 82))
		o.want(t, 1)
		got := lines(t, o.stdout) // the summaries come last
		if l := got[ep(peer.V4, 80)]; l.Type != "summary" || l.Sent != 4 || l.Received != 4 || l.Loss != 0 {
			t.Errorf("%+v", l)
		}
		if l := got[ep(peer.V6, 82)]; l.Type != "summary" || l.Sent != 4 || l.Received != 0 || l.Loss != 1 || l.RTT != nil {
			t.Errorf("%+v", l)
		}
		o = tool(t, "check", "-c", "4", "--period", "20ms", "-t", "200ms", ep(peer.V4, 82))
		o.want(t, 1)
		golden(t, "stderr", o.stderr, "10.77.1.2:82 : sent 4, answered 0, loss 100.0% (4 filtered)\n")
	})
}

func TestLabDemo(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		wire := n.Prober().CaptureOn(t, "eth0")
		o := tool(t, "demo")
		o.want(t, 0)
		for _, host := range []string{"127.0.0.1:", "[::1]:"} {
			for _, verdict := range []string{"open         syn-ack", "closed       rst", "filtered     timeout"} {
				found := false
				for text := range strings.Lines(o.stdout) {
					found = found || strings.HasPrefix(text, "  "+host) && strings.Contains(text, verdict)
				}
				if !found {
					t.Errorf("no %q of %s in\n%s", verdict, host, o.stdout)
				}
			}
		}
		for what, want := range map[string]int{
			" SYN seq ": 2 * (1 + 1 + 3), " SYN-ACK seq ": 2, " RST seq ": 2, " RST-ACK seq ": 2, "accept() returned 0 times": 2,
		} {
			if got := strings.Count(o.stdout, what); got != want {
				t.Errorf("%q stands %d times, want %d:\n%s", what, got, want, o.stdout)
			}
		}
		golden(t, "stderr", o.stderr, "")
		wire.ExpectNothingElse(t)

		n.Prober().Sysctl(t, "net/ipv6/conf/all/disable_ipv6", "1")
		o = tool(t, "demo")
		o.want(t, 0)
		contains(t, o.stdout, "No IPv6 on this host's loopback")
	})
}

// TestLabInterruptOthers: a signal ends the demo and the doctor too.
func TestLabInterruptOthers(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		peer := n.Host("peer")
		peer.Drop(t, 82) // doctor waits for it
		for _, args := range [][]string{{"demo"}, {"doctor", ep(peer.V4, 82)}} {
			cmd, stdout, stderr := command(t, nil, args...)
			first := &firstWrite{w: stdout, written: make(chan struct{})}
			cmd.Stdout = first
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-first.written
			start := time.Now()
			cmd.Process.Signal(os.Interrupt)
			cmd.Wait()
			if took, code := time.Since(start), cmd.ProcessState.ExitCode(); took > 2*time.Second || code != 130 || stderr.Len() > 0 {
				t.Errorf("%q: exit code %d after %v, stderr %q", args, code, took, stderr)
			}
		}
	})
}
