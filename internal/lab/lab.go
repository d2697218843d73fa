//go:build linux && !android

package lab

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	childVariable   = "RAWSHAKE_LAB_CHILD" // in the second process: the name of its test
	requireVariable = "RAWSHAKE_LAB"       // "require": a test that cannot run here fails
	childSocket     = 3                    // descriptor of the socket pair in the second process
)

// Test runs body inside the prober's namespace of a new network; see the package's description. It should be the last
// statement of its test function, because what follows runs in both processes. It skips as [NeedRoot] does.
func Test(t *testing.T, top Topology, body func(t *testing.T, n *Net)) {
	t.Helper()
	switch os.Getenv(childVariable) {
	case "":
	case t.Name():
		runBody(t, body)
		return
	default:
		return // this process is there for a test inside this one
	}
	s := newServer(t, top)
	run := "-test.run=" + exactly(t.Name())
	s.runChild(t, t.Name(), &childOutput{to: t.Output()}, run, "-test.v="+fmt.Sprint(testing.Verbose()))
	if s.outcome.Skipped {
		cannotRun(t, "the body skipped")
	}
}

var bodyRan atomic.Bool

// runBody is Test in the second process.
func runBody(t *testing.T, body func(*testing.T, *Net)) {
	if bodyRan.Swap(true) {
		t.Fatal("lab: Test is called twice in one test; give each its t.Run")
	}
	n, err := openNet()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, _, err := n.client.call("end", "", outcome{Ended: true, Skipped: t.Skipped()}, nil); err != nil {
			t.Error(err)
		}
	})
	body(t, n)
}

// openNet connects to the first process, once.
var openNet = sync.OnceValues(func() (*Net, error) {
	conn, err := connOf(os.NewFile(childSocket, "lab"))
	if err != nil {
		return nil, fmt.Errorf("lab: the socket to the first process: %w", err)
	}
	n := &Net{client: &client{conn: conn}}
	if _, _, err := n.client.call("hosts", "", none{}, &n.hosts); err != nil {
		return nil, err
	}
	for _, h := range n.hosts {
		h.net = n
	}
	return n, nil
})

// newServer builds the network and removes it when the test ends.
func newServer(t testing.TB, top Topology) *server {
	t.Helper()
	if err := top.validate(); err != nil {
		t.Fatal(err)
	}
	NeedRoot(t)
	w, err := build(top)
	t.Cleanup(w.close)
	if errors.Is(err, os.ErrPermission) {
		cannotRun(t, fmt.Sprintf("root may not make network namespaces here, CAP_SYS_ADMIN is missing: %v", err))
	}
	if err != nil {
		t.Fatal(err)
	}
	return &server{world: w, handles: map[int]*handle{}}
}

// NeedRoot skips the test without root, or fails it where every test has to run. In the second process it does nothing.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 && os.Getenv(childVariable) == "" {
		cannotRun(t, "needs root (`make test` takes care of it)")
	}
}

// cannotRun skips, or fails where every test has to run.
func cannotRun(t testing.TB, why string) {
	t.Helper()
	if os.Getenv(requireVariable) == "require" {
		t.Fatalf("lab: %s, and %s=require forbids to skip", why, requireVariable)
	}
	t.Skipf("lab: %s", why)
}

// runChild runs this test binary in the prober's namespace and serves it until it ends.
func (s *server) runChild(t testing.TB, name string, output *childOutput, flags ...string) {
	t.Helper()
	conn, theirs, err := newPair()
	if err != nil {
		t.Fatal(err)
	}
	s.conn = conn
	defer s.close()

	// By /proc/self/exe the binary can be run by a user who may not enter its directory.
	cmd := exec.Command("/proc/self/exe", append(childFlags(t), flags...)...)
	// A race detector sleeps a second at exit unless told otherwise.
	cmd.Env = append(os.Environ(), childVariable+"="+name, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	cmd.Stdout, cmd.Stderr = output, output
	cmd.WaitDelay = 5 * time.Second // if something that the body started holds on to them
	cmd.ExtraFiles = []*os.File{theirs}
	p, err := s.world.nodes[proberName].spawn(s.world.top.As, cmd)
	theirs.Close()
	if errors.Is(err, os.ErrPermission) {
		cannotRun(t, fmt.Sprintf("root may not start a process in a namespace here: %v", err))
	}
	if err != nil {
		t.Fatalf("lab: start the test in its namespace: %v", err)
	}
	s.serve()
	<-p.done
	output.flush()
	if p.err != nil {
		t.Fatalf("lab: the test in the namespace failed (%v); its output is above", p.err)
	}
	if !s.outcome.Ended {
		t.Fatalf("lab: the second process did not reach the test %s", name)
	}
}

// childFlags hands on the flags of the test binary's own, and lets the second process time out first, so that its
// goroutines are shown.
func childFlags(t testing.TB) []string {
	flags := []string{"-test.count=1", fmt.Sprintf("-test.short=%t", testing.Short())}
	flag.Visit(func(f *flag.Flag) {
		if !strings.HasPrefix(f.Name, "test.") {
			flags = append(flags, fmt.Sprintf("-%s=%s", f.Name, f.Value))
		}
	})
	if d, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if deadline, ok := d.Deadline(); ok {
			flags = append(flags, fmt.Sprint("-test.timeout=", max(time.Second, time.Until(deadline)-2*time.Second)))
		}
	}
	return flags
}

// exactly makes the pattern that go test matches level by level.
func exactly(name string) string {
	levels := strings.Split(name, "/")
	for i, level := range levels {
		levels[i] = "^" + regexp.QuoteMeta(level) + "$"
	}
	return strings.Join(levels, "/")
}
