package packetlog

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/rawshake/rawshake/craft"
)

var start = time.Unix(1_795_000_000, 123_456_789)

// syn returns a SYN from port 40000 and its number of bytes.
func syn(t *testing.T, source, target string, seq uint32) []byte {
	t.Helper()
	template, err := craft.NewSYN(craft.Spec{Source: netip.MustParseAddr(source)})
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, craft.FrameSize)
	return b[:template.Put(b, netip.MustParseAddr(target), 40000, 443, seq, 0)]
}

func TestLines(t *testing.T) {
	var lines bytes.Buffer
	l, err := New(&lines, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Add(start, true, syn(t, "192.0.2.1", "192.0.2.2", 7))
	l.Add(start.Add(1234567), false, syn(t, "2001:db8::1", "2001:db8::2", 8))
	l.Flush()
	want := "       0.000 ms  out  192.0.2.1:40000 > 192.0.2.2:443 SYN seq 7 win 65535 ttl 64 <mss 1460>\n" +
		"       1.235 ms  in   [2001:db8::1]:40000 > [2001:db8::2]:443 SYN seq 8 win 65535 ttl 64 <mss 1440>\n"
	if lines.String() != want {
		t.Errorf("got\n%swant\n%s", &lines, want)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestPcapngReadsBack(t *testing.T) {
	packets := [][]byte{syn(t, "192.0.2.1", "192.0.2.2", 7), syn(t, "2001:db8::1", "2001:db8::2", 8)}
	path := filepath.Join(t.TempDir(), "x.pcapng")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range packets {
		l.Add(start.Add(time.Duration(i)), i == 0, p)
	}
	if err := errors.Join(l.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if f, err = os.Open(path); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	if r.LinkType() != layers.LinkTypeRaw {
		t.Errorf("link type %v", r.LinkType())
	}
	for i, want := range packets {
		data, info, err := r.ReadPacketData()
		if err != nil || !bytes.Equal(data, want) {
			t.Errorf("packet %d: %v, % x", i, err, data)
		}
		if !info.Timestamp.Equal(start.Add(time.Duration(i))) || info.Length != len(want) {
			t.Errorf("packet %d: %+v", i, info)
		}
	}
	if _, _, err := r.ReadPacketData(); err != io.EOF {
		t.Errorf("after the last packet: %v", err)
	}
	readWithTools(t, path, len(packets))
}

// TestPcapngGoesOn: what is added to a file is read like what was in it, by readers that take one interface only, too.
func TestPcapngGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pcapng")
	for i, open := range []func(io.Writer) (*Log, error){func(w io.Writer) (*Log, error) { return New(nil, w) }, GoOn, GoOn} {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		l, err := open(f)
		if err != nil {
			t.Fatal(err)
		}
		l.Add(start, true, syn(t, "192.0.2.1", "192.0.2.2", uint32(i)))
		if err := errors.Join(l.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(content), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint32(3) {
		data, info, err := r.ReadPacketData()
		if err != nil || !bytes.Equal(data, syn(t, "192.0.2.1", "192.0.2.2", i)) || !info.Timestamp.Equal(start) {
			t.Errorf("packet %d: %v, % x, %+v", i, err, data, info)
		}
	}
	if _, _, err := r.ReadPacketData(); err != io.EOF || bytes.Count(content, []byte("\x0a\x0d\x0d\x0a")) != 1 {
		t.Errorf("%v, in\n% x", err, content)
	}
	readWithTools(t, path, 3)
}

// readWithTools has the field's own programs open the file, those that are installed.
func readWithTools(t *testing.T, path string, packets int) {
	for _, tool := range [][]string{{"tcpdump", "-nr", path}, {"tshark", "-nr", path}, {"capinfos", path}} {
		bin, err := exec.LookPath(tool[0])
		if err != nil {
			continue
		}
		out, err := exec.Command(bin, tool[1:]...).Output()
		if err != nil {
			t.Errorf("%s: %v\n%s", tool[0], err, out)
		}
		if n := strings.Count(string(out), "192.0.2.2") + strings.Count(string(out), "2001:db8::2"); tool[0] != "capinfos" && n != packets {
			t.Errorf("%s shows %d packets, want %d:\n%s", tool[0], n, packets, out)
		}
	}
}

func TestLengthOnWire(t *testing.T) {
	four, six := syn(t, "192.0.2.1", "192.0.2.2", 7), syn(t, "2001:db8::1", "2001:db8::2", 8)
	for _, test := range []struct {
		data []byte
		want int
	}{{four, len(four)}, {four[:30], len(four)}, {six, len(six)}, {six[:45], len(six)}, {four[:10], 10}, {nil, 0}} {
		if got := lengthOnWire(test.data); got != test.want {
			t.Errorf("% x: %d, want %d", test.data, got, test.want)
		}
	}
}

// TestNothingIsLost has a slow writer and several goroutines in a hurry.
func TestNothingIsLost(t *testing.T) {
	var lines slowWriter
	l, err := New(&lines, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := syn(t, "192.0.2.1", "192.0.2.2", 7)
	var hurry sync.WaitGroup
	for range 4 {
		hurry.Go(func() {
			for range 250 {
				l.Add(start, true, p)
			}
		})
	}
	hurry.Wait()
	if err := l.Close(); err != nil || lines.n != 1000 {
		t.Errorf("%d lines, %v", lines.n, err)
	}
}

type slowWriter struct{ n int }

func (w *slowWriter) Write(b []byte) (int, error) {
	if w.n++; w.n%100 == 0 {
		time.Sleep(time.Millisecond)
	}
	return len(b), nil
}

func TestWriteErrors(t *testing.T) {
	full := errors.New("disk full")
	for _, test := range []struct{ lines, capture io.Writer }{{failing{full}, nil}, {nil, &failingLater{full, 1}}} {
		l, err := New(test.lines, test.capture)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			l.Add(start, true, syn(t, "192.0.2.1", "192.0.2.2", 7))
		}
		l.Flush()
		if err := l.Close(); err != full {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := New(nil, failing{full}); err != full {
		t.Errorf("New: %v", err)
	}
}

type failing struct{ err error }

func (w failing) Write([]byte) (int, error) { return 0, w.err }

// failingLater lets some writes pass.
type failingLater struct {
	err  error
	pass int
}

func (w *failingLater) Write(b []byte) (int, error) {
	if w.pass--; w.pass < 0 {
		return 0, w.err
	}
	return len(b), nil
}
