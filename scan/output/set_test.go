package output

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/record"
)

// numbered returns a record that can be told from every other.
func numbered(n int) record.Record {
	addr := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	return record.Record{Target: netip.AddrPortFrom(addr, 80), State: match.Open, Reason: match.SYNACK, TTL: 64, Method: "raw"}
}

func openSpecs(t testing.TB, paths ...string) ([]Spec, *Set) {
	t.Helper()
	specs, err := ParseSpecs(paths, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(specs, meta)
	if err != nil {
		t.Fatal(err)
	}
	return specs, s
}

// TestFlush: a record is in the file a second later at the latest, and a reader of a compressed file can see it.
func TestFlush(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		plain, packed := filepath.Join(dir, "a.jsonl"), filepath.Join(dir, "b.jsonl.zst")
		_, s := openSpecs(t, plain, packed)
		for n := range 3 {
			mustWrite(t, s, numbered(n))
			time.Sleep(time.Second)
			synctest.Wait()
			if lines := strings.Count(read(t, plain), "\n"); lines != n+1 {
				t.Errorf("%d lines after %d records", lines, n+1)
			}
			in, err := os.Open(packed)
			if err != nil {
				t.Fatal(err)
			}
			d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 1<<16)
			var got int
			for err == nil { // ends at the torn frame, behind what was flushed
				var m int
				m, err = d.Read(buf)
				got += strings.Count(string(buf[:m]), "\n")
			}
			if got != n+1 {
				t.Errorf("%d compressed lines after %d records", got, n+1)
			}
			d.Close()
			in.Close()
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestConcurrentWrites: lines stay whole and all arrive, whatever writes at once and marks in between.
func TestConcurrentWrites(t *testing.T) {
	dir := t.TempDir()
	paths := []string{filepath.Join(dir, "a.jsonl"), filepath.Join(dir, "b.csv.zst")}
	_, s := openSpecs(t, paths...)
	const writers, each = 4, 5000
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := 0; i < each; i += 10 {
				var batch []record.Record
				for j := range 10 {
					batch = append(batch, numbered(w*each+i+j))
				}
				if err := s.Write(batch); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			if _, err := s.Mark().Wait(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	finish(t, s, run)
	seen := map[string]bool{}
	for line := range strings.Lines(read(t, paths[0])) {
		var v struct{ Addr string }
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		seen[v.Addr] = true
	}
	if len(seen) != writers*each+1 { // one without an address: the run record
		t.Errorf("%d different records, want %d", len(seen)-1, writers*each)
	}
	if lines := strings.Count(read(t, paths[1]), "\n"); lines != writers*each+1 {
		t.Errorf("%d lines of CSV", lines)
	}
}

// TestResume: what was written after the mark is cut, torn or not, and the rest goes on without a second head.
func TestResume(t *testing.T) {
	for _, name := range []string{"a.txt", "a.jsonl", "a.csv", "a.gnmap", "a.xml", "a.jsonl.zst", "a.csv.zst", "a.xml.zst"} {
		t.Run(name, func(t *testing.T) {
			want := read(t, writeAll(t, name, func(s *Set) {
				mustWrite(t, s, numbered(1), numbered(2), numbered(3))
				finish(t, s, run)
			}))
			path := filepath.Join(t.TempDir(), name)
			specs, s := openSpecs(t, path)
			mustWrite(t, s, numbered(1))
			mark := s.Mark()
			mustWrite(t, s, numbered(9)) // behind the mark: to be asked again
			lengths, err := mark.Wait()
			if err != nil {
				t.Fatal(err)
			}
			incomplete := run
			incomplete.Complete = false
			finish(t, s, incomplete)
			tear(t, path)
			for n := 2; n <= 3; n++ {
				if s, err = Resume(specs, meta, lengths); err != nil {
					t.Fatal(err)
				}
				mustWrite(t, s, numbered(n))
				if lengths, err = s.Mark().Wait(); err != nil {
					t.Fatal(err)
				}
				if n < 3 {
					mustWrite(t, s, numbered(8))
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					tear(t, path)
				}
			}
			finish(t, s, run)
			if got := read(t, path); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// tear leaves half a line, or half a frame, at the end of the file.
func tear(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-7); err != nil {
		t.Fatal(err)
	}
}

func TestResumeFromNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.csv")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	specs, err := ParseSpecs([]string{path}, "port")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Resume(specs, meta, []Length{{path, 0}})
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, s, numbered(1))
	finish(t, s, run)
	if got := read(t, path); got != "port\n80\n" {
		t.Errorf("got %q", got)
	}
}

func TestResumeRefuses(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.jsonl"), filepath.Join(dir, "bad.jsonl")
	const content = "{}\n{}\ntorn"
	for _, test := range []struct {
		length int64
		path   string
		want   string
	}{
		{7, bad, "no line ends at byte 7, where the checkpoint has one: it was changed after the scan"},
		{99, bad, "it has 10 bytes and the checkpoint knows 99: it was changed after the scan; put it back, or start anew without --resume"},
		{3, bad + ".other", "the checkpoint does not know it"},
		{-1, bad, "it is a file with something in it, and was a pipe or device when the scan began"},
	} {
		for _, path := range []string{good, bad} {
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		specs := []Spec{{Path: good, Format: JSONL}, {Path: bad, Format: JSONL}}
		_, err := Resume(specs, meta, []Length{{good, 3}, {test.path, test.length}})
		var e *Error
		if !errors.As(err, &e) || e.Path != bad || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %q", err, test.want)
		}
		if read(t, good) != content || read(t, bad) != content {
			t.Error("a file was touched")
		}
	}
}

// TestResumeMissing: an output that is not there is said to be, and none is made in its place.
func TestResumeMissing(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.jsonl")
	if err := os.WriteFile(good, []byte("{}\n{}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "gone.jsonl"), filepath.Join(dir, "no", "gone.jsonl")} {
		for _, length := range []int64{0, 3} {
			_, err := Resume([]Spec{{Path: good, Format: JSONL}, {Path: path, Format: JSONL}}, meta, []Length{{good, 3}, {path, length}})
			want := "output " + path + ": it is not there, and the scan that goes on has records in it: put it back"
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		}
	}
	if all, _ := filepath.Glob(filepath.Join(dir, "*")); len(all) != 1 || read(t, good) != "{}\n{}\n" {
		t.Errorf("%q are there", all)
	}
}

// TestOpenAgain: a new run overwrites whatever an earlier one has left, a file that is longer and one that is grouped.
func TestOpenAgain(t *testing.T) {
	for _, name := range []string{"a.txt", "a.jsonl", "a.csv", "a.gnmap", "a.xml", "a.jsonl.zst", "a.xml.zst"} {
		path := filepath.Join(t.TempDir(), name)
		_, s := openSpecs(t, path)
		mustWrite(t, s, numbered(2))
		finish(t, s, run)
		want := read(t, path)
		for range 2 {
			_, s := openSpecs(t, path)
			mustWrite(t, s, records()...)
			finish(t, s, run)
		}
		_, s = openSpecs(t, path)
		mustWrite(t, s, numbered(2))
		finish(t, s, run)
		if got := read(t, path); got != want {
			t.Errorf("%s holds\n%s\nwant\n%s", name, got, want)
		}
	}
}

// TestResumeFinished: a crash between the end of a scan and the removal of its checkpoint must not cut a grouped file.
func TestResumeFinished(t *testing.T) {
	for _, name := range []string{"a.xml", "a.gnmap"} {
		path := filepath.Join(t.TempDir(), name)
		specs, s := openSpecs(t, path)
		mustWrite(t, s, numbered(1))
		lengths, err := s.Mark().Wait()
		if err != nil {
			t.Fatal(err)
		}
		finish(t, s, run)
		before := read(t, path)
		_, err = Resume(specs, meta, lengths)
		if err == nil || !strings.Contains(err.Error(), "its run was complete, the hosts are grouped: nothing is left to resume") {
			t.Errorf("error %v", err)
		}
		if read(t, path) != before {
			t.Error("the file was touched")
		}
	}
}

func TestOpenFails(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old.jsonl")
	if err := os.WriteFile(old, []byte("precious\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link.jsonl")
	if err := os.Symlink(old, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "no", "x.jsonl"): "no such file or directory: make the directory " + filepath.Join(dir, "no") + " first",
		dir:                                 "is a directory",
		link:                                "it is the same file as the output " + old,
	} {
		_, err := Open([]Spec{{Path: old, Format: JSONL}, {Path: path, Format: JSONL}}, meta)
		if err == nil || !strings.HasPrefix(err.Error(), "output "+path+": "+want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
		if read(t, old) != "precious\n" {
			t.Fatal("the other file was emptied")
		}
	}
}

// TestUnwritable: the words for a file that this user may not write. The test may run as root, who may.
func TestUnwritable(t *testing.T) {
	err := outputError("/etc/x.jsonl", -1, &fs.PathError{Op: "open", Path: "/etc/x.jsonl", Err: syscall.EACCES})
	if got := err.Error(); got != "output /etc/x.jsonl: permission denied: choose a directory that this user may write to" {
		t.Error(got)
	}
	if !errors.Is(err, fs.ErrPermission) {
		t.Error("not a permission error")
	}
}

// faulty is a disk that takes so many bytes and fails then, or blocks until it is let go.
type faulty struct {
	bytes []byte
	room  int
	gate  chan struct{} // nil: open
}

func (d *faulty) Write(p []byte) (int, error) {
	if d.gate != nil {
		<-d.gate
	}
	n := min(len(p), d.room)
	d.bytes = append(d.bytes, p[:n]...)
	if d.room -= n; n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}
func (d *faulty) Sync() error               { return nil }
func (d *faulty) Close() error              { return nil }
func (d *faulty) Truncate(size int64) error { d.bytes = d.bytes[:size]; return nil }

func faultySet(d *faulty) *Set {
	spec := Spec{Path: "x.jsonl", Format: JSONL}
	s := &Set{stop: make(chan struct{}), specs: []Spec{spec}}
	s.streams = []*stream{newStream(&file{dev: d, path: spec.Path, regular: true}, newEncoder(spec, meta))}
	go s.flushLoop()
	return s
}

// TestTornWrite: a disk that fills up in the middle of a line is left with whole lines, and the error says how many
// bytes they are.
func TestTornWrite(t *testing.T) {
	one := numbered(1)
	size := len(one.AppendJSON(nil)) + 1
	d := &faulty{room: 2*size + size/2}
	s := faultySet(d)
	for n := range 4 {
		s.Write([]record.Record{numbered(n)})
		if lengths, err := s.Mark().Wait(); n < 2 {
			if err != nil || lengths[0].Bytes != int64((n+1)*size) {
				t.Fatalf("mark %d: %v %v", n, lengths, err)
			}
		} else if want := fmt.Sprintf("; the file holds %d bytes of whole records", 2*size); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	s.Close()
	if got := string(d.bytes); len(got) != 2*size || !strings.HasSuffix(got, "}\n") {
		t.Errorf("the file holds %q", got)
	}
}

// TestSlowDisk: megabytes may wait, then writers do; nothing is lost and nothing deadlocks.
func TestSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &faulty{room: 1 << 30, gate: make(chan struct{})}
		s := faultySet(d)
		const total = 200_000 // about 24 MB
		written := 0
		go func() {
			for written < total {
				if err := s.Write([]record.Record{numbered(written)}); err != nil {
					t.Error(err)
				}
				written++
			}
		}()
		synctest.Wait() // the writer waits for the disk
		one := numbered(1)
		waiting := written * len(one.AppendJSON(nil))
		if waiting < queueDepth*chunkSize || waiting > (queueDepth+3)*chunkSize {
			t.Errorf("%d bytes wait, want about %d", waiting, queueDepth*chunkSize)
		}
		close(d.gate)
		synctest.Wait()
		time.Sleep(time.Second)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if lines := strings.Count(string(d.bytes), "\n"); lines != total {
			t.Errorf("%d lines, want %d", lines, total)
		}
	})
}

func TestClosed(t *testing.T) {
	_, s := openSpecs(t, filepath.Join(t.TempDir(), "a.jsonl"))
	finish(t, s, run)
	if err := s.Close(); err != nil {
		t.Errorf("Close after Finish: %v", err)
	}
	if err := s.Write([]record.Record{numbered(1)}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	if _, err := s.Mark().Wait(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Mark: %v", err)
	}
	if err := s.Finish(&run); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Finish: %v", err)
	}
}

// TestStdout: the writer gets whole lines, and cannot be cut. A resume writes a head for a new reader, and none behind what is
// there already.
func TestStdout(t *testing.T) {
	const head, first, second = "addr\n", "10.0.0.1\n", "10.0.0.2\n"
	var pipe strings.Builder
	goOn(t, &pipe)
	if want := head + first + head + second; pipe.String() != want {
		t.Errorf("a pipe got %q, want %q", pipe.String(), want)
	}
	path := filepath.Join(t.TempDir(), "x")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	goOn(t, file)
	if want := head + first + second; read(t, path) != want {
		t.Errorf("a file got %q, want %q", read(t, path), want)
	}
}

// goOn writes a record to standard output, and another after a resume.
func goOn(t *testing.T, stdout io.Writer) {
	t.Helper()
	m := meta
	m.Stdout = stdout
	specs := []Spec{{Path: Stdout, Format: CSV, Fields: []record.Field{record.FieldAddr}}}
	s, err := Open(specs, m)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, s, numbered(1))
	lengths, err := s.Mark().Wait()
	if err != nil || lengths[0] != (Length{"-", -1}) {
		t.Fatalf("%v %v", lengths, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Resume(specs, m, lengths); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, s, numbered(2))
	finish(t, s, run)
}

// TestNoOutputs: a set of none takes everything and keeps nothing.
func TestNoOutputs(t *testing.T) {
	_, s := openSpecs(t)
	mustWrite(t, s, numbered(1))
	if lengths, err := s.Mark().Wait(); err != nil || len(lengths) != 0 {
		t.Errorf("%v %v", lengths, err)
	}
	finish(t, s, run)
}

func BenchmarkWrite(b *testing.B) {
	batch := make([]record.Record, 64)
	for i := range batch {
		batch[i] = records()[2]
	}
	for _, name := range []string{"a.jsonl", "a.csv", "a.xml", "a.jsonl.zst"} {
		b.Run(name, func(b *testing.B) {
			_, s := openSpecs(b, filepath.Join(b.TempDir(), name))
			n := 0
			for b.Loop() {
				if err := s.Write(batch); err != nil {
					b.Fatal(err)
				}
				n += len(batch)
			}
			if _, err := s.Mark().Wait(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
			s.Close()
		})
	}
}
