package output

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/record"
)

var update = flag.Bool("update", false, "write the golden files anew")

var start = time.Date(2026, 11, 20, 15, 16, 50, 0, time.UTC)

var meta = Meta{
	Version: "0.1.0", Args: `rawshake scan -p 80,443 --rate 10k "x<y>"`, Start: start, Method: "raw", Services: "80,443", Ports: 2,
}

// records has one of each kind; the two ports of 192.0.2.1 stand apart.
func records() []record.Record {
	at := start.Add(1500 * time.Millisecond)
	source := netip.MustParseAddrPort("10.0.0.1:40000")
	return []record.Record{
		{Time: at, Name: "www.example.net:80", Target: netip.MustParseAddrPort("192.0.2.1:80"), State: match.Filtered, Reason: match.Timeout,
			Attempt: 2, Source: source, Method: "raw", Label: "edge <1>"},
		{Time: at, Target: netip.MustParseAddrPort("[2001:db8::7]:443"), State: match.Closed, Reason: match.RST, RTT: 250 * time.Microsecond,
			TTL: 64, Method: "raw"},
		{Time: at, Name: "www.example.net:443", Target: netip.MustParseAddrPort("192.0.2.1:443"), State: match.Open, Reason: match.SYNACK,
			RTT: 412700, TTL: 57, Window: 64240, MSS: 1460, Options: "mss,sackok,ts,nop,ws", Source: source, Method: "raw", Label: "edge <1>"},
		{Time: at, Target: netip.MustParseAddrPort("198.51.100.7:80"), State: match.Unreachable, Reason: match.HostUnreachable,
			RTT: 3 * time.Second, TTL: 250, ICMPType: 3, ICMPCode: 1, Responder: netip.MustParseAddr("203.0.113.1"), Method: "raw"},
		{Time: at, Target: netip.MustParseAddrPort("192.0.2.9:80"), State: match.Open, Reason: match.SYNACK, RTT: time.Millisecond,
			TTL: 255, Source: source, Method: "raw", Suspect: "window 0/no options"},
		{Time: at, Target: netip.MustParseAddrPort("[fe80::1%eth0]:80"), State: match.Unsent, Reason: match.LinkDown, Err: "network is down"},
		{Time: at, Name: "no.such:80", State: match.Unsent, Err: "no such host"},
	}
}

var run = record.Run{
	Time: start.Add(2 * time.Second), Targets: 7, ProbesSent: 9, SendTime: time.Second, Open: 2, Closed: 1, Unreachable: 1, Filtered: 1,
	Unsent: 2, RSTSent: 2, Seed: 7, Shard: "1/1", Complete: true,
}

// writeAll runs a whole output in a directory of its own and returns the path.
func writeAll(t *testing.T, name string, write func(s *Set)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	specs, err := ParseSpecs([]string{path}, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(specs, meta)
	if err != nil {
		t.Fatal(err)
	}
	write(s)
	return path
}

func finish(t *testing.T, s *Set, r record.Run) {
	t.Helper()
	if err := s.Finish(&r); err != nil {
		t.Fatal(err)
	}
}

func mustWrite(t *testing.T, s *Set, records ...record.Record) {
	t.Helper()
	if err := s.Write(records); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".zst") {
		d, err := zstd.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var plain bytes.Buffer
		if _, err := d.WriteTo(&plain); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return plain.String()
	}
	return string(b)
}

// TestGolden pins every format. The compressed form must hold the same bytes, however many marks cut it.
func TestGolden(t *testing.T) {
	for _, name := range []string{"scan.txt", "scan.jsonl", "scan.csv", "scan.xml", "scan.gnmap"} {
		t.Run(name, func(t *testing.T) {
			got := read(t, writeAll(t, name, func(s *Set) {
				mustWrite(t, s, records()...)
				finish(t, s, run)
			}))
			golden := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := read(t, golden); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			compressed := read(t, writeAll(t, name+".zst", func(s *Set) {
				for _, r := range records() {
					mustWrite(t, s, r)
					if _, err := s.Mark().Wait(); err != nil {
						t.Fatal(err)
					}
				}
				finish(t, s, run)
			}))
			if name == "scan.xml" || name == "scan.gnmap" {
				return // not grouped: TestXMLValid and TestGrepable read them
			}
			if compressed != got {
				t.Errorf("compressed\n%s\nwant\n%s", compressed, got)
			}
		})
	}
}

func TestJSONLLines(t *testing.T) {
	path := writeAll(t, "x.jsonl", func(s *Set) {
		mustWrite(t, s, records()...)
		finish(t, s, run)
	})
	lines := strings.Split(strings.TrimSuffix(read(t, path), "\n"), "\n")
	if len(lines) != len(records())+1 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, line := range lines {
		var v struct {
			V    int
			Type string
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.V != record.Version {
			t.Errorf("line %d: %v: %s", i+1, err, line)
		}
		if want := map[bool]string{true: "run", false: "result"}[i == len(lines)-1]; v.Type != want {
			t.Errorf("line %d has type %q, want %q", i+1, v.Type, want)
		}
	}
}

func TestCSVFields(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	s, err := Open([]Spec{{Path: path, Format: CSV, Fields: []record.Field{record.FieldPort, record.FieldState}}}, meta)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, s, records()[:2]...)
	finish(t, s, run)
	if got, want := read(t, path), "port,state\n80,filtered\n443,closed\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
