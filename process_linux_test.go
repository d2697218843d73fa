package rawshake

import (
	"bufio"
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/loopback"
)

// The tests of this file need a process of their own: they wait for signals, give up privileges, or use descriptors up.

// child returns the command that runs the calling test once more in a process of its own, with RAWSHAKE_CHILD=role.
func child(t *testing.T, role string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "RAWSHAKE_CHILD="+role)
	return cmd
}

// runChild runs a child to its end and fails with its output if it fails.
func runChild(t *testing.T, role string, attr *syscall.SysProcAttr) {
	t.Helper()
	cmd := child(t, role)
	cmd.SysProcAttr = attr
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("child %q: %v\n%s", role, err, out)
	}
}

// withoutPrivilege makes a child an ordinary user.
func withoutPrivilege(t *testing.T) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

func TestDifferenceDefaultCheckerLeavesSignalsAlone(t *testing.T) {
	if os.Getenv("RAWSHAKE_CHILD") == "default checker" {
		DefaultChecker()
		os.Stdout.WriteString("running\n")
		time.Sleep(20 * time.Second)
		return
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := child(t, "default checker")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "running"; {
		}
		cmd.Process.Signal(signal)
		exit, ok := cmd.Wait().(*exec.ExitError)
		if !ok || exit.Sys().(syscall.WaitStatus).Signal() != signal {
			t.Errorf("%v: the program ended with %v, want it killed by the signal", signal, exit)
		}
	}
}

func TestDifferenceNoPrivilege(t *testing.T) {
	if os.Getenv("RAWSHAKE_CHILD") == "no privilege" {
		childWithoutPrivilege(t)
		return
	}
	if !hasRaw {
		t.Skip("this build has no raw engine")
	}
	runChild(t, "no privilege", withoutPrivilege(t))
}

// childWithoutPrivilege does what tcp-shaker's README says, as a user that may not open raw sockets.
func childWithoutPrivilege(t *testing.T) {
	c := NewChecker()
	failed := make(chan error, 1)
	go func() { failed <- c.CheckingLoop(context.Background()) }()
	<-c.WaitReady()
	for _, err := range []error{<-failed, c.CheckAddr("127.0.0.1:1", time.Second), DefaultChecker().CheckAddr("127.0.0.1:1", time.Second)} {
		if !errors.Is(err, os.ErrPermission) {
			t.Errorf("error %v, want a permission error", err)
		}
		if err != nil && !strings.Contains(err.Error(), "CAP_NET_RAW") {
			t.Errorf("error %q does not name CAP_NET_RAW", err)
		}
	}
	c = started(t, NewCheckerConfig(Config{Method: MethodAuto}))
	wantErrConnect(t, c.CheckAddr(loopback.Closed(t, "127.0.0.1:0"), time.Second), syscall.ECONNREFUSED)
}

func TestSituationDescriptorsUsedUp(t *testing.T) {
	if os.Getenv("RAWSHAKE_CHILD") == "few descriptors" {
		childWithFewDescriptors(t, os.Getenv("RAWSHAKE_TARGET"))
		return
	}
	addr, _ := loopback.Open(t, "127.0.0.1:0")
	t.Setenv("RAWSHAKE_TARGET", addr)
	runChild(t, "few descriptors", nil)
}

// childWithFewDescriptors probes far more targets at once than it may have descriptors.
func childWithFewDescriptors(t *testing.T, addr string) {
	limit := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	useThreeQuarters(t)
	c := started(t, NewCheckerConfig(Config{Method: MethodConnect}))
	var all sync.WaitGroup
	for range 2000 {
		all.Go(func() {
			if err := c.CheckAddr(addr, 20*time.Second); err != nil {
				t.Errorf("open port with few descriptors: %v", err)
			}
		})
	}
	all.Wait()
	t.Run("difference/waits for a descriptor, then says so in an ErrConnect", func(t *testing.T) {
		files := takeAllDescriptors(t)
		start := time.Now()
		wantErrConnect(t, c.CheckAddr(addr, 50*time.Millisecond), syscall.EMFILE)
		if took := time.Since(start); took < 50*time.Millisecond {
			t.Errorf("it gave up after %v", took)
		}
		time.AfterFunc(50*time.Millisecond, func() { files[0].Close() })
		if err := c.CheckAddr(addr, 10*time.Second); err != nil {
			t.Errorf("with one descriptor given back: %v", err)
		}
		for _, f := range files {
			f.Close()
		}
	})
}

// useThreeQuarters: the rest of the program keeps a quarter of the 64 descriptors.
func useThreeQuarters(t *testing.T) {
	hole := netip.MustParseAddrPort(loopback.Silent(t, "127.0.0.1:0"))
	p := prober(t, Config{Method: MethodConnect, Timeout: 200 * time.Millisecond})
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() { p.Probe(t.Context(), hole) })
	}
	time.Sleep(100 * time.Millisecond)
	if n := p.Stats().InFlight; n != 48 {
		t.Errorf("%d probes at once with 64 descriptors, want 48", n)
	}
	all.Wait()
}

func takeAllDescriptors(t *testing.T) (files []*os.File) {
	t.Helper()
	for range 100 {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, syscall.EMFILE) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	t.Fatal("100 descriptors with a limit of 64")
	return nil
}
