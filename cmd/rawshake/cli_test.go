package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestUsageErrors: what is wrong, where, and how to mend it; on stderr, with exit code 3, and nothing on stdout.
func TestUsageErrors(t *testing.T) {
	for _, test := range []struct {
		args string
		says []string
	}{
		{"chek", []string{`"chek"`, "did you mean check?"}},
		{"help nosuch", []string{`no command "nosuch"`, "the commands are check, "}},
		{"help chek", []string{"did you mean check?"}},
		{"help targets nosuch", []string{`no command "nosuch"`, "count, expand, lint"}},
		{"demo extra", []string{`there are no arguments: leave "extra" out`}},
		{"version 1", []string{`leave "1" out`}},
		{"scan --seed -1 127.0.0.1:80", []string{"--seed", "from 0 to 2^64-1"}},
		{"frobnicate", []string{`"frobnicate"`, "the commands are check, "}},
		{"check", []string{"no TARGET", "host:port"}},
		{"check localhost", []string{`"localhost"`, "names no port", "-p 80,443"}},
		{"check ::1:80", []string{`"::1:80"`, "[2001:db8::1]:443"}},
		{"check [::1:80", []string{"bracket is not closed"}},
		{"check 127.0.0.300:80", []string{`"127.0.0.300:80"`, "is not an address"}},
		{"check http://localhost/", []string{"URL", "host and the port"}},
		{"check 127.0.0.1:0", []string{"1 to 65535"}},
		{"check 127.0.0.0/8:1-9", []string{"more than 1048576 targets", "rawshake scan"}},
		{"check fe80::1 -p 80", []string{"fe80::1%eth0", "-I"}},
		{"check [fe80::1%nolink9]:80", []string{`"[fe80::1%nolink9]:80"`, `no interface "nolink9"`, "ip link"}},
		{"scan [fe80::1%nolink9]:80", []string{`"fe80::1%nolink9"`, `no interface "nolink9"`, "ip link"}},
		{"scan 127.0.0.1 [::1%nolink9] -p 80", []string{`no interface "nolink9"`}},
		{"scan fe80::1 -p 80", []string{`target "fe80::1"`, "fe80::1%eth0", "-I"}},
		{"check 0x7f000001:80", []string{"is not an address"}},
		{"check 127.0.0.1:-1", []string{`"-1" is not a port`, "both ends"}},
		{"check --source-ports 9-8 127.0.0.1:80", []string{"--source-ports", "40000-40100"}},
		{"check --ttl 0 127.0.0.1:80", []string{"--ttl", "from 1 to 255"}},
		{"check --syn-options plan9 127.0.0.1:80", []string{"--syn-options", "plan9", "windows"}},
		{"check --method connect --syn-options linux 127.0.0.1:80", []string{"--syn-options", "--method raw"}},
		{"check --send-eth --mark 7 127.0.0.1:80", []string{"--mark", "--send-eth", "leave one of them out"}},
		{"check -S ::1 127.0.0.1:80", []string{"IPv4 address", "-S allows IPv6 only"}},
		{"check -4 -S ::1 localhost:80", []string{"-S ::1 and -4 exclude each other"}},
		{"check - -f -", []string{"standard input (-) is named twice"}},
		{"doctor 127.0.0.0/24:80", []string{`"127.0.0.0/24:80"`, "256 endpoints", "one address"}},
		{"doctor 127.0.0.1:80-81", []string{"2 endpoints"}},
		{"doctor [fe80::1%nolink9]:80", []string{`no interface "nolink9"`}},
		{"check -p 80-70 127.0.0.1", []string{"-p", "ends before it begins"}},
		{"check -4 [::1]:80", []string{"IPv6 address", "leave -4 out"}},
		{"check -6 127.0.0.1:80", []string{"IPv4 address", "leave -6 out"}},
		{"check -4 -6 127.0.0.1:80", []string{"-4 and -6"}},
		{"check -c -1 127.0.0.1:80", []string{"--count", "from 0"}},
		{"check -c 1.5 127.0.0.1:80", []string{"--count", "from 0"}},
		{"check --parallel 0 127.0.0.1:80", []string{"--parallel", "from 1"}},
		{"check --attempts 99 127.0.0.1:80", []string{"--attempts 99", "want at most "}},
		{"check --period 1s 127.0.0.1:80", []string{"--period goes with -c", "-c 10"}},
		{"check -t 5 127.0.0.1:80", []string{"--timeout", "unit", "500ms"}},
		{"check -t -1s 127.0.0.1:80", []string{"--timeout", "above zero"}},
		{"check -S here 127.0.0.1:80", []string{"--source", "IP address"}},
		{"check -I nonesuch9 127.0.0.1:80", []string{"--interface", "ip link"}},
		{"check --method warp 127.0.0.1:80", []string{`--method "warp"`, "raw, connect or auto"}},
		{"check --method connect --trace 127.0.0.1:80", []string{"--trace", "--method raw"}},
		{"check --method connect --pcap x 127.0.0.1:80", []string{"--pcap", "--method raw"}},
		{"check --method connect --send-eth 127.0.0.1:80", []string{"--send-eth", "--method raw"}},
		{"check --pcap - 127.0.0.1:80", []string{"name of a file"}},
		{"check --color blue 127.0.0.1:80", []string{`"blue"`, "auto, always or never"}},
		{"check --frob 127.0.0.1:80", []string{"--frob"}},
		{"doctor a:1 b:1", []string{"2 TARGETs", "looks at one"}},
		{"doctor -4 -6 localhost", []string{"-4 and -6"}},
		{"doctor http://localhost", []string{"URL"}},
		{"doctor --color blue", []string{`"blue"`}},
		{"demo --color blue", []string{`"blue"`}},
		{"version -o yaml", []string{`"yaml"`, "text or json"}},
		{"completion", []string{"name your shell", "fish"}},
		{"completion tcsh", []string{"name your shell", "zsh"}},
	} {
		t.Run(test.args, func(t *testing.T) {
			o := tool(t, strings.Fields(test.args)...)
			o.want(t, 3)
			contains(t, o.stderr, append(test.says, "--help` shows examples.")...)
			if o.stdout != "" {
				t.Errorf("stdout has %q", o.stdout)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"help"}, {"help", "check"}, {"help", "targets", "count"}, {"check", "--help"}, {"doctor", "-h"}, {"demo", "-h"}, {"version", "-h"}} {
		o := tool(t, args...)
		o.want(t, 0)
		contains(t, o.stdout, "Usage:", "Examples:\n  rawshake ")
		if o.stderr != "" {
			t.Errorf("%q: stderr has %q", args, o.stderr)
		}
	}
	o := tool(t, "check", "--help")
	contains(t, o.stdout, "0  every target is open", "129, 130, 143  ended by SIGHUP, SIGINT, SIGTERM")
}

// TestExamplesParse holds the examples of the help texts to the flags that there are.
func TestExamplesParse(t *testing.T) {
	examples := 0
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			args := shellWords(line)
			if len(args) < 2 || args[0] != "rawshake" {
				continue
			}
			examples++
			root := newRoot()
			found, rest, err := root.Find(args[1:])
			if err == nil {
				err = found.ParseFlags(rest)
			}
			if err == nil {
				err = found.ValidateArgs(found.Flags().Args())
			}
			if err != nil || found == root {
				t.Errorf("%s: example %q: %v", cmd.CommandPath(), line, err)
			}
		}
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	visit(newRoot())
	if examples < 10 {
		t.Errorf("only %d examples", examples)
	}
}

// shellWords splits the first command of an example line, without the remark after it.
func shellWords(line string) []string {
	line, _, _ = strings.Cut(line, " | ")
	line, _, _ = strings.Cut(line, " && ")
	line, _, _ = strings.Cut(strings.TrimSpace(line), "   ")
	words := strings.Fields(strings.TrimPrefix(line, "sudo "))
	for i := range words {
		words[i] = strings.Trim(words[i], "'")
	}
	return words
}

func TestVersion(t *testing.T) {
	o := tool(t, "version")
	o.want(t, 0)
	contains(t, o.stdout, "rawshake ", runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
	if flag := tool(t, "--version"); flag != o {
		t.Errorf("--version: %+v, version: %+v", flag, o)
	}
	o = tool(t, "version", "-o", "json")
	o.want(t, 0)
	var b build
	if err := json.Unmarshal([]byte(o.stdout), &b); err != nil || b.Version == "" || b.Go != runtime.Version() {
		t.Errorf("%q: %+v %v", o.stdout, b, err)
	}
}

// TestCompletion has each shell that is installed read its script.
func TestCompletion(t *testing.T) {
	for shell, says := range map[string]string{
		"bash": "complete -o default -F __start_rawshake rawshake", "zsh": "#compdef rawshake",
		"fish": "complete -c rawshake", "powershell": "Register-ArgumentCompleter",
	} {
		o := tool(t, "completion", shell)
		o.want(t, 0)
		contains(t, o.stdout, says)
		if bin, err := exec.LookPath(shell); err == nil && shell != "powershell" {
			script := filepath.Join(t.TempDir(), shell)
			if err := os.WriteFile(script, []byte(o.stdout), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(bin, "-n", script).CombinedOutput(); err != nil {
				t.Errorf("%s -n: %v\n%s", shell, err, out)
			}
		}
	}
	o := tool(t, "__complete", "check", "--method", "")
	contains(t, o.stdout, "raw\nconnect\nauto\n")
	o = tool(t, "__complete", "check", "-I", "")
	contains(t, o.stdout, "lo\n")
	o = tool(t, "__complete", "")
	contains(t, o.stdout, "check\t", "doctor\t", "demo\t", "version\t")
}
