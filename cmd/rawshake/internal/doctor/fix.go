//go:build linux && !android

package doctor

import (
	"errors"
	"net/netip"
	"syscall"

	"github.com/rawshake/rawshake/raw"
)

const (
	firewallRefuses = "the local firewall refuses packets on loopback"
	firewallFix     = "sudo nft list ruleset; sudo iptables-save" // who wrote the rule knows what it is for: doctor shows it only

	loopbackFix = "sudo ip link set lo up"

	watchFix = "sudo strace -f -e trace=network rawshake doctor" // for errors that nobody foresaw: it shows which call failed
)

// openingFix mends what keeps sockets from being opened; otherwise is for errors that do not say it.
func openingFix(err error, otherwise string) string {
	var missing *raw.PrivilegeError
	switch {
	case errors.As(err, &missing):
		fix, _ := SplitFix(missing.Fix)
		return fix
	case errors.Is(err, syscall.EMFILE):
		return "sudo prlimit --pid $$ --nofile=4096:4096" // of the shell: a Go program takes the hard limit, which only root may raise
	}
	return otherwise
}

// towards names an address to ip(8), which wants the interface in a word of its own.
func towards(a netip.Addr, device string) string {
	if a.Zone() != "" {
		device = a.Zone()
	}
	text := a.WithZone("").String()
	if device != "" {
		text += " dev " + device
	}
	return text
}
