//go:build linux && !android

package raw

import (
	"os"
	"path"
)

// MayTranslate reports whether the kernel may translate addresses and ports. Which rules there are takes CAP_NET_ADMIN to know, so it
// is true where the code for it is there (nf_nat, which takes nf_conntrack), and where nobody can tell.
func MayTranslate() bool { return mayTranslate("/") }

func mayTranslate(root string) bool {
	has := func(name string) bool {
		_, err := os.Stat(path.Join(root, name))
		return err == nil
	}
	switch {
	case has("sys/module/nf_nat"):
		return true
	case has("sys/module/nf_conntrack/initstate"):
		return false // it is a module, so nf_nat would be one, and to be seen
	case has("sys/module"):
		return has("proc/sys/net/netfilter/nf_conntrack_count") // built in, perhaps both
	}
	return true
}
