//go:build linux && !android

package main

import (
	"strings"
	"testing"

	"github.com/rawshake/rawshake/internal/lab"
)

// TestLabGuardIncomplete: a kernel without TCP_MD5SIG resets what comes with TTL 255, and whoever probes is told, once.
func TestLabGuardIncomplete(t *testing.T) {
	lab.Test(t, lab.Topology{}, func(t *testing.T, n *lab.Net) {
		for _, args := range [][]string{{"check", "127.0.0.1:1"}, {"scan", "--checkpoint", "off", "127.0.0.1:1"}} {
			for role, want := range map[string]int{"md5": 1, "command": 0} {
				o := inRole(t, n, lab.NetRaw, role, args...)
				if n := strings.Count(o.stderr, "CONFIG_TCP_MD5SIG"); n != want {
					t.Errorf("%v as %q: it is told %d times, want %d: %s", args, role, n, want, o.stderr)
				}
			}
		}
	})
}
