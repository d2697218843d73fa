//go:build linux && !android

package raw

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMayTranslate(t *testing.T) {
	const nat, conntrack, count = "sys/module/nf_nat", "sys/module/nf_conntrack/initstate", "proc/sys/net/netfilter/nf_conntrack_count"
	for _, c := range []struct {
		name string
		has  []string
		want bool
	}{
		{"no sysfs", []string{"proc/sys/net"}, true},
		{"no connection tracking", []string{"sys/module/veth", "proc/sys/net/netfilter"}, false},
		{"connection tracking alone", []string{conntrack, count}, false},
		{"translation", []string{conntrack, count, nat}, true},
		{"all built in", []string{"sys/module/nf_conntrack/parameters", count}, true},
	} {
		root := t.TempDir()
		for _, name := range c.has {
			check(t, os.MkdirAll(filepath.Join(root, name), 0o700))
		}
		if got := mayTranslate(root); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A rule that translates brings the code for it.
func TestLabMayTranslate(t *testing.T) {
	newPeer(t)
	nft(t, "table inet n { chain p { type nat hook postrouting priority 100; masquerade; }; }")
	if !MayTranslate() {
		t.Error("a rule translates, and it is said that none may")
	}
}
