package checkpoint_test

import (
	"bytes"
	stdcsv "encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/lair-framework/go-nmap"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/checkpoint"
	"github.com/rawshake/rawshake/scan/output"
	"github.com/rawshake/rawshake/scan/record"
	"github.com/rawshake/rawshake/scan/target"
)

const (
	killTargets  = 40_000
	killWindow   = 2_000 // targets that are pending at a time
	killVariable = "CHECKPOINT_TEST_DIR"
)

// killedScan is a scan without a network: it takes targets in order, settles them in any order, and keeps checkpoints as
// a real one does.
type killedScan struct {
	dir     string
	outputs *output.Set
	file    *checkpoint.File
	state   checkpoint.Checkpoint
	pending target.Numbers // the targets' number is their position
	random  *rand.Rand
}

func targetAt(position uint64) netip.AddrPort {
	n := position * 7919 % killTargets
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 80)
}

func killSpecs(dir string) ([]output.Spec, error) {
	var paths []string
	for _, name := range []string{"a.jsonl", "b.csv", "c.xml", "d.jsonl.zst"} {
		paths = append(paths, filepath.Join(dir, name))
	}
	return output.ParseSpecs(paths, "")
}

// begin starts the scan, or goes on from its checkpoint if there is one.
func (s *killedScan) begin() error {
	specs, err := killSpecs(s.dir)
	if err != nil {
		return err
	}
	if saved(s.path()) {
		var c *checkpoint.Checkpoint
		if s.file, c, err = checkpoint.Open(s.path()); err != nil {
			return err
		}
		s.state, s.pending = *c, c.Lanes[0].Pending
		s.outputs, err = output.Resume(specs, output.Meta{}, c.Outputs)
		return err
	}
	if s.file, err = checkpoint.Create(s.path()); err != nil {
		return err
	}
	s.state.Lanes = []checkpoint.Lane{{}}
	s.state.Run.Targets = killTargets
	if s.outputs, err = output.Open(specs, output.Meta{}); err != nil {
		return err
	}
	return s.save()
}

// saved reports whether there is a checkpoint. One that is empty was made, and its maker killed before anything was saved.
func saved(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() > 0
}

func (s *killedScan) path() string { return filepath.Join(s.dir, "checkpoint") }

// save takes the moment and makes it durable.
func (s *killedScan) save() error {
	mark := s.outputs.Mark()
	s.state.Lanes[0].Pending = s.pending
	var err error
	if s.state.Outputs, err = mark.Wait(); err != nil {
		return err
	}
	return s.file.Save(&s.state)
}

// settle gives a random pending target its verdict.
func (s *killedScan) settle() error {
	i := s.random.IntN(len(s.pending))
	target := targetAt(s.pending[i])
	s.pending[i] = s.pending[len(s.pending)-1]
	s.pending = s.pending[:len(s.pending)-1]
	s.state.Run.Count(match.Open)
	return s.outputs.Write([]record.Record{{Time: time.Now(), Target: target, State: match.Open, Reason: match.SYNACK, TTL: 64}})
}

func (s *killedScan) run() error {
	lane := &s.state.Lanes[0]
	for lane.Position < killTargets || len(s.pending) > 0 {
		if lane.Position < killTargets && len(s.pending) < killWindow {
			s.pending = append(s.pending, lane.Position)
			lane.Position++
			continue
		}
		if err := s.settle(); err != nil {
			return err
		}
		if s.random.IntN(50) == 0 {
			time.Sleep(time.Millisecond) // so that there is time to be killed in
		}
		if s.random.IntN(4000) == 0 { // the outputs write sooner than that
			if err := s.save(); err != nil {
				return err
			}
		}
	}
	if err := s.save(); err != nil {
		return err
	}
	s.state.Run.Complete = true
	return s.outputs.Finish(&s.state.Run)
}

// TestKill kills a scan again and again, resumes it each time, and finds every target once in every output at the end.
func TestKill(t *testing.T) {
	if dir := os.Getenv(killVariable); dir != "" {
		s := &killedScan{dir: dir, random: rand.New(rand.NewPCG(uint64(os.Getpid()), 1))}
		if err := s.begin(); err != nil {
			t.Fatal(err)
		}
		if err := s.run(); err != nil {
			t.Fatal(err)
		}
		return
	}
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(11, 12))
	kills, cut := 0, 0
	for attempt := 0; ; attempt++ {
		if attempt > 100 {
			t.Fatal("the scan does not get on")
		}
		child := exec.Command(os.Args[0], "-test.run=^TestKill$")
		child.Env = append(os.Environ(), killVariable+"="+dir)
		var out bytes.Buffer
		child.Stdout, child.Stderr = &out, &out
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if kills < 6 {
			timer := time.AfterFunc(time.Duration(100+random.IntN(200))*time.Millisecond, func() { child.Process.Kill() })
			defer timer.Stop()
		}
		err := child.Wait()
		if err == nil {
			break
		}
		if child.ProcessState.Exited() {
			t.Fatalf("the scan failed: %v\n%s", err, out.Bytes())
		}
		kills++
		cut += beyondCheckpoint(t, dir)
	}
	if kills < 2 || cut == 0 {
		t.Errorf("%d kills left %d bytes beyond the checkpoint: the test shows nothing", kills, cut)
	}
	t.Logf("killed %d times, %d bytes written after checkpoints", kills, cut)
	specs, err := killSpecs(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range specs {
		checkOnce(t, spec.Path)
	}
}

// beyondCheckpoint returns how many bytes of outputs the resume will cut.
func beyondCheckpoint(t *testing.T, dir string) (n int) {
	t.Helper()
	if !saved(filepath.Join(dir, "checkpoint")) {
		return 0
	}
	c, err := checkpoint.Load(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err) // a kill must never leave a bad one
	}
	for _, l := range c.Outputs {
		info, err := os.Stat(l.Path)
		if err != nil {
			t.Fatal(err)
		}
		n += int(info.Size() - l.Bytes)
	}
	return n
}

// checkOnce reads an output with a reader of its format and compares with the targets.
func checkOnce(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	switch filepath.Ext(path) {
	case ".zst":
		d, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if content, err = d.DecodeAll(content, nil); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		countJSON(t, content, count)
	case ".jsonl":
		countJSON(t, content, count)
	case ".csv":
		lines, err := stdcsv.NewReader(bytes.NewReader(content)).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, l := range lines[1:] {
			count[l[1]]++
		}
	case ".xml":
		doc, err := nmap.Parse(content)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, h := range doc.Hosts {
			for _, p := range h.Ports {
				count[h.Addresses[0].Addr+":"+strconv.Itoa(p.PortId)]++
			}
		}
	}
	for position := range uint64(killTargets) {
		if target := targetAt(position).String(); count[target] != 1 {
			t.Fatalf("%s: %s is there %d times", path, target, count[target])
		}
	}
	if len(count) != killTargets {
		t.Errorf("%s: %d targets, want %d", path, len(count), killTargets)
	}
}

func countJSON(t *testing.T, content []byte, count map[string]int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	for i, line := range lines {
		var v struct {
			Type, Target string
			Open         int
			Complete     bool
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("line %d: %v: %s", i+1, err, line)
		}
		if last := i == len(lines)-1; last != (v.Type == "run") {
			t.Fatalf("line %d of %d has type %q", i+1, len(lines), v.Type)
		} else if last && (!v.Complete || v.Open != killTargets) {
			t.Errorf("the run says %s", line)
		} else if !last {
			count[v.Target]++
		}
	}
}

// Example shows how a scan takes a moment, and how it goes on from it.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	specs, _ := output.ParseSpecs([]string{filepath.Join(dir, "result.csv")}, "addr,state")
	verdict := func(addr string) []record.Record {
		return []record.Record{{Target: netip.AddrPortFrom(netip.MustParseAddr(addr), 80), State: match.Open}}
	}

	outputs, _ := output.Open(specs, output.Meta{})
	outputs.Write(verdict("192.0.2.1"))
	mark := outputs.Mark() // nobody writes while the moment is taken
	c := checkpoint.Checkpoint{Hash: "7f3a", Lanes: []checkpoint.Lane{{Position: 2, Pending: target.Numbers{2}}}}
	c.Outputs, _ = mark.Wait()
	path := checkpoint.DefaultPath(specs)
	file, _ := checkpoint.Create(path)
	fmt.Println(file.Save(&c))
	outputs.Write(verdict("192.0.2.2")) // after the checkpoint; then the power fails
	outputs.Close()
	file.Close()

	file, again, _ := checkpoint.Open(path)
	fmt.Println(again.Check("7f3a"))
	outputs, _ = output.Resume(specs, output.Meta{}, again.Outputs)
	for _, i := range again.Lanes[0].Pending { // asked again
		outputs.Write(verdict(fmt.Sprint("192.0.2.", i)))
	}
	outputs.Finish(&record.Run{Complete: true})
	fmt.Println(file.Remove())
	content, _ := os.ReadFile(specs[0].Path)
	fmt.Print(string(content))
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// addr,state
	// 192.0.2.1,open
	// 192.0.2.2,open
}
