package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/loopback"
)

// roleVariable tells this test binary to be something else than tests: "command" makes it rawshake itself, so that what is tested needs
// no toolchain, can be run by any user, and is under the race detector when the tests are.
const roleVariable = "RAWSHAKE_TEST_ROLE"

// noSleep keeps a binary with the race detector from sleeping for a second before it exits.
const noSleep = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	case "command":
		main()
	default:
		fmt.Fprintln(os.Stderr, play(role))
		os.Exit(1)
	}
}

// self is the way to this binary for every user, whatever directory it is in.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" {
		return "/proc/self/exe"
	}
	return path
}

// outcome is what a run of the command came to.
type outcome struct {
	code           int
	stdout, stderr string
}

// tool runs the command with a plain environment.
func tool(t *testing.T, args ...string) outcome {
	t.Helper()
	return toolIn(t, nil, args...)
}

// toolIn runs it with more variables.
func toolIn(t *testing.T, env []string, args ...string) outcome {
	t.Helper()
	cmd, stdout, stderr := command(t, env, args...)
	err := cmd.Run()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatalf("rawshake %q: %v", args, err)
	}
	o := outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	if strings.Contains(o.stderr, "panic:") || strings.Contains(o.stderr, "goroutine ") {
		t.Errorf("rawshake %q panics:\n%s", args, o.stderr)
	}
	return o
}

// command prepares a run of the command; it is killed after half a minute.
func command(t *testing.T, env []string, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, self(t), args...)
	cmd.Env = append([]string{roleVariable + "=command", "PATH=" + os.Getenv("PATH"), "TERM=xterm", "GODEBUG=netdns=go", noSleep}, env...)
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// want fails unless the command ended with code.
func (o outcome) want(t *testing.T, code int) {
	t.Helper()
	if o.code != code {
		t.Fatalf("exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", o.code, code, shortened(o.stdout), shortened(o.stderr))
	}
}

// shortened keeps a failure readable.
func shortened(text string) string {
	const most = 4000
	if len(text) > most {
		return text[:most] + " …"
	}
	return text
}

// contains fails unless text has all the parts.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, shortened(text))
		}
	}
}

// masks put letters in place of what differs between runs.
var masks = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`), "TIME"},
	{regexp.MustCompile(`"rtt_us":[\d.]+`), `"rtt_us":N`},
	{regexp.MustCompile(`"(min|avg|max|mdev|p95)":[\d.]+`), `"$1":N`},
	{regexp.MustCompile(`= [\d.]+/[\d.]+/[\d.]+/[\d.]+ ms`), "= N/N/N/N ms"},
	{regexp.MustCompile(` +\d+\.\d{3} ms`), "  N ms"},
	{regexp.MustCompile(`"src":"([^"]*):\d+"`), `"src":"$1:PORT"`},
	{regexp.MustCompile(`\b(seq|ack) [1-9]\d*`), "$1 N"},
	{regexp.MustCompile(` +\n`), "\n"},
}

// masked returns text without what differs between runs; ports are named by the map.
func masked(text string, ports map[string]uint16) string {
	for name, port := range ports {
		text = regexp.MustCompile(fmt.Sprintf(`(\b|:)%d\b`, port)).ReplaceAllString(text, "${1}"+name)
	}
	for _, m := range masks {
		text = m.pattern.ReplaceAllString(text, m.with)
	}
	return text
}

// golden compares text with what was expected.
func golden(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is\n%s\nwant\n%s", what, got, want)
	}
}

// listen opens a port on loopback until the end of t.
func listen(t *testing.T, host string) uint16 {
	t.Helper()
	addr, _ := loopback.Open(t, net.JoinHostPort(host, "0"))
	return portOf(addr)
}

func portOf(addr string) uint16 { return netip.MustParseAddrPort(addr).Port() }
