package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// file writes a file of a test and returns its name.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// fed runs the command with something on standard input.
func fed(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	cmd, stdout, stderr := command(t, nil, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Run()
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func TestTargetsCount(t *testing.T) {
	hosts := file(t, "hosts", "# ours\n10.0.0.0/30 rack one\n10.0.1.1:443,front door\n\n2001:db8::/127\n10.0.0.1\n")
	never := file(t, "never", "10.0.0.3\n2001:db8::1 # asked not to\n")
	scope := file(t, "scope", "10.0.0.0/24\n")
	for _, test := range []struct {
		args, stdout string
		stderr       []string
	}{
		{"10.0.0.0/8 -p 80,443", "33554432", nil},
		{"10.0.0.1-10.0.0.9 10.0.0.5 -p 80", "9", []string{"1 target named more than once: merged"}},
		{"10.0.0.1:22 [2001:db8::1]:22-24", "4", nil},
		{"10.0.0.0/24 -p -", "16776960", nil},
		{"-p 80 -f " + hosts, "7", []string{"1 target named more than once"}},
		{"-p 80 -4 -f " + hosts, "5", []string{"2 targets excluded"}},
		{"-p 80 -6 -f " + hosts, "2", []string{"5 targets excluded"}},
		{"-p 80 --exclude 10.0.1.1 --exclude 10.0.0.0/31:80 --exclude-file " + never + " -f " + hosts, "2", []string{"5 targets excluded"}},
		{"-p 80 --scope " + scope + " -f " + hosts, "4", []string{"3 targets outside the scope, the first is 10.0.1.1:443: nothing is sent to them"}},
		{"-p 80 223.255.255.255-224.0.0.1", "1", []string{"2 targets refused", "multicast"}},
		{"-p 80 239.1.2.3", "1", nil}, // named
		{"-p 80 10.0.0.0/29 --shard 2/3", "3", nil},
		{"-p 80 10.0.0.0/29 --shard 3/3", "2", nil},
		{"-p 80 10.0.0.0/31 --shard 3/3", "0", nil},
		{"-p 80 10.0.0.0/31 --exclude 10.0.0.0/8", "0", []string{"2 targets excluded"}},
	} {
		o := tool(t, append([]string{"targets", "count"}, strings.Fields(test.args)...)...)
		if o.code != 0 || o.stdout != test.stdout+"\n" {
			t.Errorf("%s: exit code %d, stdout %q, want %s\n%s", test.args, o.code, o.stdout, test.stdout, o.stderr)
		}
		contains(t, o.stderr, test.stderr...)
		if test.stderr == nil && o.stderr != "" {
			t.Errorf("%s: stderr %q", test.args, o.stderr)
		}
	}
	if o := fed(t, "10.0.0.0/30\n", "targets", "count", "-p", "80", "-"); o.stdout != "4\n" {
		t.Errorf("standard input: %+v", o)
	}
	if o := fed(t, "10.0.0.0/30\n", "targets", "count", "-p", "80", "-f", "-", "10.0.1.1"); o.stdout != "5\n" {
		t.Errorf("-f -: %+v", o)
	}
}

// TestTargetsShards: whatever the number of shards, together they are everything, in order each, and with and without a scope the
// count says how many.
func TestTargetsShards(t *testing.T) {
	scope := file(t, "scope", "10.0.0.0/26\n2001:db8::/126\n")
	base := []string{"10.0.0.0/25", "2001:db8::/122", "10.9.9.9:1-7", "-p", "80,443", "--seed", "12"}
	for _, more := range [][]string{nil, {"--scope", scope}} {
		args := append(base[:len(base):len(base)], more...)
		whole := expand(t, args...)
		for _, n := range []int{1, 2, 3, 7} {
			var union []string
			for i := 1; i <= n; i++ {
				shard := append(args[:len(args):len(args)], "--shard", fmt.Sprintf("%d/%d", i, n))
				part := expand(t, shard...)
				union = append(union, part...)
				count := tool(t, append([]string{"targets", "count"}, shard...)...).stdout
				if count != fmt.Sprintln(len(part)) {
					t.Errorf("%q: count says %s, expand wrote %d lines", shard, count, len(part))
				}
			}
			if slices.Sort(union); !slices.Equal(union, slices.Sorted(slices.Values(whole))) {
				t.Errorf("%d shards are %d targets, the whole is %d", n, len(union), len(whole))
			}
		}
		if want := map[bool]int{true: 2*64 + 2*4, false: 2*128 + 2*64 + 7}[more != nil]; len(whole) != want {
			t.Errorf("%q: %d targets, want %d", args, len(whole), want)
		}
	}
}

func expand(t *testing.T, args ...string) []string {
	t.Helper()
	o := tool(t, append([]string{"targets", "expand"}, args...)...)
	o.want(t, 0)
	return strings.Fields(o.stdout)
}

// TestTargetsExpandOrder: a seed is an order, and a random one is told.
func TestTargetsExpandOrder(t *testing.T) {
	args := []string{"10.0.0.0/24", "-p", "80"}
	one, two := expand(t, append(args, "--seed", "1")...), expand(t, append(args, "--seed", "2")...)
	if slices.Equal(one, two) || slices.IsSorted(one) {
		t.Errorf("seeds do not give an order: %q", one[:8])
	}
	o := tool(t, append([]string{"targets", "expand"}, args...)...)
	seed, ok := strings.CutPrefix(strings.TrimSpace(o.stderr), "seed ")
	if !ok {
		t.Fatalf("stderr is %q", o.stderr)
	}
	if again := expand(t, append(args, "--seed", seed)...); !slices.Equal(again, strings.Fields(o.stdout)) {
		t.Error("the seed on stderr gives another order")
	}
}

func TestTargetsLint(t *testing.T) {
	broken := file(t, "broken", "10.0.0.1:80 fine\n10.0.0.300\n10.0.0.9-3 label\n  # only a comment\n10.0.0.0/33\n[::1:80\n10.0.0.1:80\n")
	o := tool(t, "targets", "lint", "-p", "22", "-f", broken, "--exclude", "10.0.0.x/8", "10.0.0.2:99999")
	o.want(t, 3)
	contains(t, o.stdout,
		broken+`:2: "10.0.0.300": `, broken+`:3: "10.0.0.9-3": the range ends before it begins: write 10.0.0.3-10.0.0.9`, broken+":5: ", broken+":6: ",
		`--exclude "10.0.0.x/8": `, `target "10.0.0.2:99999": `, "1 target named more than once: merged", "7 remarks: 1 target at 1 address\n")
	golden(t, "stderr", o.stderr, "")

	loose := file(t, "loose", "10.0.0.0/24\n10.0.1.5/24\n2001:db8::1/120\n")
	o = tool(t, "targets", "lint", "-p", "22", "-f", loose)
	o.want(t, 0)
	contains(t, o.stdout, loose+`:2: "10.0.1.5/24": has bits after its prefix length, which count for nothing: it begins at 10.0.1.0 (and 1 more)`,
		"1 remark: 768 targets at 768 addresses\n")

	bare := file(t, "bare", "10.0.0.1:80\n10.0.0.2\n")
	for args, want := range map[string]string{
		"10.0.0.1 10.0.0.300:1": "target \"10.0.0.300:1\": \"10.0.0.300\" is not an address: IPv4 field has value >255\n" +
			"target \"10.0.0.1\": the target names no port: give ports for all targets (-p 80,443) or write one, as in 10.0.0.1:443 or [2001:db8::1]:443\n" +
			"2 remarks: the targets cannot be counted\n",
		"-f " + bare: bare + ":2: \"10.0.0.2\": the target names no port: " +
			"give ports for all targets (-p 80,443) or write one, as in 10.0.0.1:443 or [2001:db8::1]:443\n1 remark: the targets cannot be counted\n",
	} {
		o = tool(t, append([]string{"targets", "lint"}, strings.Fields(args)...)...)
		o.want(t, 3)
		golden(t, args, o.stdout, want)
	}
	o = tool(t, "targets", "lint", "-p", "22", "10.0.0.0/24")
	o.want(t, 0)
	golden(t, "stdout", o.stdout, "nothing is wrong: 256 targets at 256 addresses\n")

	o = tool(t, "targets", "lint", "10.0.0.1:22", "no-such-name.onion:80", "10.0.0.7") // RFC 7686: resolvers do not look these up
	o.want(t, 3)
	contains(t, o.stdout, `"10.0.0.7": the target names no port`, "-p 80,443")

	names := file(t, "names", "10.0.0.1:22\nno-such-name.onion:80\n")
	for _, command := range []string{"lint", "count", "expand"} {
		o = tool(t, "targets", command, "-f", names)
		o.want(t, 2)
		contains(t, o.stdout+o.stderr, names+`:2: "no-such-name.onion": does not resolve: `)
	}
	o = tool(t, "targets", "count", "10.0.0.1:22", "--exclude", "no-such-name.onion") // what is to be left out must be known
	o.want(t, 2)
	contains(t, o.stderr, "--exclude: ", `"no-such-name.onion": does not resolve`)
}

func TestTargetsErrors(t *testing.T) {
	broken := file(t, "broken", "10.0.0.1\n10.0.0.300\n")
	empty := file(t, "empty", "# nothing\n")
	for _, test := range []struct {
		args string
		says []string
	}{
		{"", nil},
		{"10.0.0.1", []string{`does not know "10.0.0.1"`, "expand"}},
		{"count", []string{"no TARGET is given", "-f FILE"}},
		{"count 10.0.0.1", []string{`"10.0.0.1"`, "names no port", "-p 80,443"}},
		{"count -p 80 -f " + broken, []string{broken + ":2: ", "10.0.0.300"}},
		{"count -p 80 -f /none/such", []string{"-f: open /none/such: no such file"}},
		{"count -p 80 --exclude-file /none/such 10.0.0.1", []string{"--exclude-file: open /none/such: no such file"}},
		{"count -p 80 --scope /none/such 10.0.0.1", []string{"--scope: open /none/such: no such file"}},
		{"count -p 80 --scope " + empty + " 10.0.0.1", []string{empty, "the scope is empty"}},
		{"count -p 80 -f - -", []string{"named twice"}},
		{"count -p 0 10.0.0.1", []string{"-p "}},
		{"count -4 -6 10.0.0.1:80", []string{"-4 and -6"}},
		{"count --shard 3/2 10.0.0.1:80", []string{"--shard", "no part 3 of 2"}},
		{"expand --shard 1/2 10.0.0.1:80", []string{"--shard 1/2 goes with --seed"}},
		{"count --seed x 10.0.0.1:80", []string{"--seed"}},
	} {
		o := tool(t, append([]string{"targets"}, strings.Fields(test.args)...)...)
		if test.says == nil {
			o.want(t, 0)
			continue
		}
		o.want(t, 3)
		contains(t, o.stderr, test.says...)
		golden(t, "stdout", o.stdout, "")
	}
}

// TestTargetsWriteErrors: a full disk is an error; a reader that has seen enough is none of ours.
func TestTargetsWriteErrors(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /dev/full")
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, sub := range []string{"expand", "count", "lint"} {
		cmd, _, stderr := command(t, nil, "targets", sub, "10.0.0.0/16", "-p", "80")
		cmd.Stdout = full
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != 4 {
			t.Errorf("%s: exit code %d", sub, code)
		}
		contains(t, stderr.String(), "no space left on device")
	}
	cmd, _, stderr := command(t, nil, "targets", "expand", "10.0.0.0/8", "-p", "80", "--seed", "1")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		t.Error(err)
	}
	r.Close()
	cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGPIPE {
		t.Errorf("a closed pipe: %v", cmd.ProcessState)
	}
	golden(t, "stderr", stderr.String(), "")
}
