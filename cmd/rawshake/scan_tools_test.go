//go:build linux && !android

package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
)

// tooling is a scanner and what it writes.
type tooling struct {
	name, path string
	v6         bool
	args       func(r scanRun, out, router string) []string
	env        []string
	// read takes target and state from a line of its output; an invalid address is no record.
	read func(line string) (addr netip.Addr, state string)
}

// tools are compared. zmap and rawshake write the same: an address a line.
var tools = []tooling{
	rawshakeTool("rawshake", "csv", "--fields", "addr"),
	{name: "zmap", path: "zmap", args: zmapArgs, read: addressLine},
	{name: "masscan", path: "masscan", args: masscanArgs, read: masscanLine},
	rawshakeTool("rawshake-json", "jsonl"),
}

// everything writes a record for each target, whatever its state.
var everything = rawshakeTool("rawshake-all", "jsonl", "--show", "all")

func rawshakeTool(name, format string, more ...string) tooling {
	t := tooling{name: name, path: "/proc/self/exe", v6: true, env: []string{roleVariable + "=command"}, read: jsonLine}
	if full() {
		t.path, t.env = os.Getenv(builtVariable), nil
	}
	if format == "csv" {
		t.read = addressLine
	}
	t.args = func(r scanRun, out, _ string) []string {
		// The rate counts resets too, one for each that is open.
		args := []string{"scan", "--progress", "off", "-p", "80", "--rate", rateOr(2*r.rate, "max"), "--attempts", fmt.Sprint(max(1, r.attempts)),
			"-o", format + ":" + out}
		if r.space.exclude != "" {
			args = append(args, "--exclude", r.space.exclude)
		}
		if !full() {
			args = append(args, "--timeout", "500ms")
		}
		return append(append(args, more...), r.space.prefixes...)
	}
	return t
}

func zmapArgs(r scanRun, out, router string) []string {
	blocklist := "/dev/null"
	if r.space.exclude != "" {
		blocklist = out + ".blocklist"
		if err := os.WriteFile(blocklist, []byte(r.space.exclude+"\n"), 0o644); err != nil {
			return nil // zmap will say that there is no such file
		}
	}
	args := []string{"-p", "80", "-r", rateOr(r.rate, "0"), "-i", "eth0", "-G", router, "-c", "1", "-o", out, "-q", "-b", blocklist,
		"-l", "/dev/null", "--disable-syslog"}
	return append(args, r.space.prefixes...)
}

// masscanArgs gives masscan a spare address, as its manual advises: the kernel would answer on the host's own.
func masscanArgs(r scanRun, out, router string) []string {
	args := []string{"-p80", "--rate", rateOr(r.rate, "10000000"), "--wait", "1", "-i", "eth0", "--adapter-ip", "10.77.1.50",
		"--router-mac", router, "-oL", out}
	if r.space.exclude != "" {
		args = append(args, "--exclude", r.space.exclude)
	}
	return append(args, r.space.prefixes...)
}

func rateOr(rate int, most string) string {
	if rate == 0 {
		return most
	}
	return fmt.Sprint(rate)
}

func addressLine(line string) (netip.Addr, string) {
	addr, _ := netip.ParseAddr(line) // the header is none
	return addr, "open"
}

// masscanLine reads "open tcp 80 10.128.0.1 1700000000".
func masscanLine(line string) (netip.Addr, string) {
	fields := strings.Fields(line)
	if len(fields) < 4 {
		return netip.Addr{}, ""
	}
	addr, _ := netip.ParseAddr(fields[3])
	return addr, fields[0]
}

// jsonLine does not parse: a million lines want to be read soon, and other tests hold their form.
func jsonLine(line string) (netip.Addr, string) {
	addr, _ := netip.ParseAddr(valueOf(line, `"addr":"`))
	return addr, valueOf(line, `"state":"`)
}

func valueOf(line, key string) string {
	_, after, _ := strings.Cut(line, key)
	value, _, _ := strings.Cut(after, `"`)
	return value
}
