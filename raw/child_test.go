//go:build linux && !android

package raw

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A child is this test binary again, run in the test's namespace with other
// privileges. Its job is one of the functions here: it prints what it found
// and ends when its standard input does.
var children = map[string]func() error{
	"guard":              childGuard,
	"privilege":          childPrivilege,
	"without AF_PACKET":  func() error { return childSandbox(unix.AF_PACKET) },
	"without AF_NETLINK": func() error { return childSandbox(unix.AF_NETLINK) },
	"resolve":            childResolve,
	"loop":               wholeLoop,
}

const childVariable = "RAWSHAKE_RAW_CHILD"

func TestMain(m *testing.M) {
	job, ok := children[os.Getenv(childVariable)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := job(); err != nil {
		fmt.Println("error:", err)
	}
	os.Exit(0)
}

// onlyNetRaw is the command line that leaves CAP_NET_RAW as the only
// capability of an ordinary user.
var onlyNetRaw = strings.Fields("setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps +net_raw --ambient-caps +net_raw --bounding-set -all,+net_raw")

// startChild runs a job behind a command line like onlyNetRaw and returns its
// first line of output. It ends with the test.
func startChild(t testing.TB, wrapper []string, job string) string {
	t.Helper()
	return startBinary(t, wrapper, executable(t, t.TempDir()), job)
}

func startBinary(t testing.TB, wrapper []string, path, job string) string {
	t.Helper()
	args := append(append([]string(nil), wrapper...), path)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childVariable+"="+job)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", job, err)
	}
	line = strings.TrimSpace(line)
	if message, bad := strings.CutPrefix(line, "error: "); bad {
		t.Fatalf("%s: %s", job, message)
	}
	return line
}

// executable copies the test binary to where another user may run it.
func executable(t testing.TB, dir string) string {
	t.Helper()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		check(t, os.Chmod(d, 0o755))
	}
	self, err := os.Executable()
	check(t, err)
	code, err := os.ReadFile(self)
	check(t, err)
	path := filepath.Join(dir, "raw.test")
	check(t, os.WriteFile(path, code, 0o755))
	return path
}

// linger keeps a child's sockets open for as long as the test runs.
func linger() {
	io.Copy(io.Discard, os.Stdin)
}
