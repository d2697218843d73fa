//go:build linux && !android

package lab_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/lab"
)

const (
	netRaw   = 1 << 13
	sysAdmin = 1 << 21
)

func TestLabPrivileges(t *testing.T) {
	for _, c := range []struct {
		name   string
		as     lab.Privilege
		uid    uint64
		holds  func(effective, bounding uint64) bool
		others func(permitted, inheritable, ambient uint64) bool
	}{
		{"net_raw alone", lab.NetRaw, 65534,
			func(eff, bnd uint64) bool { return eff == netRaw && bnd == netRaw },
			func(prm, inh, amb uint64) bool { return prm == netRaw && inh == netRaw && amb == netRaw }},
		{"nobody", lab.Nobody, 65534,
			func(eff, bnd uint64) bool { return eff == 0 && bnd&netRaw != 0 && bnd&sysAdmin != 0 },
			func(prm, inh, amb uint64) bool { return prm == 0 && amb == 0 }},
		{"confined", lab.Confined, 0,
			func(eff, bnd uint64) bool { return eff != 0 && eff&netRaw == 0 && bnd&netRaw == 0 },
			func(prm, inh, amb uint64) bool { return prm&netRaw == 0 && amb == 0 }},
		{"root", lab.Root, 0,
			func(eff, bnd uint64) bool { return eff&netRaw != 0 && eff&sysAdmin != 0 && bnd&netRaw != 0 },
			func(prm, inh, amb uint64) bool { return prm&sysAdmin != 0 && amb == 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			lab.Test(t, lab.Topology{As: c.as}, func(t *testing.T, n *lab.Net) {
				threads, err := filepath.Glob("/proc/self/task/*/status")
				if err != nil || len(threads) < 2 {
					t.Fatalf("threads %v, %v", threads, err)
				}
				for _, path := range threads {
					v := status(t, path)
					if v["Uid"] != c.uid || v["Gid"] != c.uid {
						t.Errorf("user %d group %d, not %d", v["Uid"], v["Gid"], c.uid)
					}
					if !c.holds(v["CapEff"], v["CapBnd"]) || !c.others(v["CapPrm"], v["CapInh"], v["CapAmb"]) {
						t.Errorf("%s: capabilities %#x", path, v)
					}
				}
			})
		})
	}
}

// status reads the numbers of a /proc/*/status: identities in decimal, capability sets in hexadecimal.
func status(t *testing.T, path string) map[string]uint64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]uint64{}
	for line := range strings.Lines(string(b)) {
		key, rest, _ := strings.Cut(line, ":")
		base := 10
		if strings.HasPrefix(key, "Cap") {
			base = 16
		}
		if fields := strings.Fields(rest); len(fields) > 0 {
			if n, err := strconv.ParseUint(fields[0], base, 64); err == nil {
				values[key] = n
			}
		}
	}
	return values
}

// TestLabNamespace holds that the body sees the network of the prober and nothing of the machine's.
func TestLabNamespace(t *testing.T) {
	outside, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		interfaces, err := net.Interfaces()
		if err != nil || len(interfaces) != 2 || interfaces[0].Name != "lo" || interfaces[1].Name != "eth0" {
			t.Errorf("interfaces %v, %v", interfaces, err)
		}
		if mac := interfaces[1].HardwareAddr.String(); mac != n.Prober().Interface("eth0").MAC.String() {
			t.Errorf("eth0 has the address %s", mac)
		}
		if names, err := filepath.Glob("/sys/class/net/*"); len(names) != 2 || err != nil {
			t.Errorf("/sys/class/net holds %v, %v", names, err)
		}
		// What stands before lab.Test runs here too, so outside is this process's own namespace.
		if inside, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || inside != outside {
			t.Errorf("threads in %s and %s, %v", inside, outside, err)
		}
		if _, err := net.DialTimeout("udp", "192.0.2.1:9", time.Second); err == nil {
			t.Error("a route leads out of the lab")
		}
	})
}

// TestLabFiles holds that replaced files are seen by the body alone.
func TestLabFiles(t *testing.T) {
	before, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	lab.Test(t, lab.Topology{Files: map[string]string{"/etc/hosts": "10.77.1.2 target.example\n"}}, func(t *testing.T, n *lab.Net) {
		addrs, err := net.LookupHost("target.example")
		if err != nil || len(addrs) != 1 || addrs[0] != "10.77.1.2" {
			t.Errorf("lookup: %v, %v", addrs, err)
		}
	})
	if after, err := os.ReadFile("/etc/hosts"); string(after) != string(before) || err != nil {
		t.Errorf("/etc/hosts changed: %q, %v", after, err)
	}
}

// TestLabOutcome runs the test below in processes of its own: what its body does must be what becomes of it.
func TestLabOutcome(t *testing.T) {
	lab.NeedRoot(t)
	for _, c := range []struct {
		does, require string
		fails         bool
		says          string
	}{
		{does: "pass", says: "--- PASS: TestOutcomeHelper/named_test"},
		{does: "fail", fails: true, says: "the body is unhappy"},
		{does: "skip", says: "--- SKIP: TestOutcomeHelper/named_test"},
		{does: "skip", require: "require", fails: true, says: "forbids to skip"},
		{does: "panic", fails: true, says: "the body panics"},
		{does: "exit", fails: true, says: "did not reach"},
		{does: "twice", fails: true, says: "called twice"},
	} {
		t.Run(c.does+c.require, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestOutcomeHelper$", "-test.v")
			cmd.Env = append(os.Environ(), "RAWSHAKE_LAB_CHILD=", "RAWSHAKE_LAB="+c.require, "LAB_OUTCOME="+c.does)
			out, err := cmd.CombinedOutput()
			if failed := err != nil; failed != c.fails || !strings.Contains(string(out), c.says) {
				t.Errorf("failed: %t, output without %q:\n%s", failed, c.says, out)
			}
		})
	}
}

func TestOutcomeHelper(t *testing.T) {
	does := os.Getenv("LAB_OUTCOME")
	if does == "" {
		return
	}
	t.Run("named test", func(t *testing.T) {
		lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
			t.Run("sub", func(t *testing.T) {
				switch does {
				case "fail":
					t.Error("the body is unhappy")
				case "panic":
					panic("the body panics")
				case "exit":
					os.Exit(0)
				}
			})
			if does == "skip" {
				t.Skip("no mood")
			}
		})
		if does == "twice" {
			lab.Test(t, lab.Topology{}, func(*testing.T, *lab.Net) {})
		}
	})
}

// TestLabCommand holds what a program run in the lab gets and gives.
func TestLabCommand(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		var out, errors strings.Builder
		code := n.Prober().Run(t, lab.Command{
			Path: "sh", Args: []string{"-c", `read x; echo "$x $WORD"; grep CapEff /proc/self/status >&2; exit 3`},
			Env: []string{"WORD=world"}, Stdin: strings.NewReader("hello\n"), Stdout: &out, Stderr: &errors,
		})
		if code != 3 || out.String() != "hello world\n" || errors.String() != "CapEff:\t0000000000002000\n" {
			t.Errorf("exit %d, output %q, errors %q", code, out.String(), errors.String())
		}
		running := n.Host("peer").Start(t, lab.Command{Path: "sleep", Args: []string{"60"}, As: lab.Root})
		running.Signal(t, 2)
		if code := running.Wait(t); code != -2 {
			t.Errorf("exit %d after SIGINT", code)
		}
	})
}

// TestLabCleansUp counts what the first process holds after one lab, which opens things that stay, and after some more.
func TestLabCleansUp(t *testing.T) {
	lab.NeedRoot(t)
	var before string
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
				peer := n.Host("peer")
				peer.Listen(t, 80)
				peer.Capture(t)
				peer.Respond(t, lab.Responder{})
				peer.Lose(t, lab.Loss{In: 1})
				peer.Start(t, lab.Command{Path: "sleep", Args: []string{"60"}})
			})
		})
		if i == 0 {
			before = held(t)
		}
	}
	if after := held(t); after != before && os.Geteuid() == 0 {
		t.Errorf("descriptors and children: %q before, %q after", before, after)
	}
}

func held(t *testing.T) string {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	children, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var pids string
	for _, path := range children {
		b, _ := os.ReadFile(path) // the thread may have ended
		pids += string(b)
	}
	return fmt.Sprintf("%d %s", len(files), pids)
}

func TestLabBusyTime(t *testing.T) {
	before, err := lab.BusyTime()
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
	}
	after, err := lab.BusyTime()
	if err != nil {
		t.Fatal(err)
	}
	if busy := after - before; busy <= 0 || busy > time.Minute {
		t.Errorf("busy for %s while one processor spun for 100 ms", busy)
	}
}

// dial makes a connection with the kernel, resets it, and says how it went.
func dial(target netip.AddrPort) error {
	conn, err := net.DialTimeout("tcp", target.String(), 500*time.Millisecond)
	if err != nil {
		return err
	}
	return errors.Join(conn.(*net.TCPConn).SetLinger(0), conn.Close())
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// both runs a check for each family.
func both(t *testing.T, check func(t *testing.T, v6 bool)) {
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v6=%t", v6), func(t *testing.T) { check(t, v6) })
	}
}
