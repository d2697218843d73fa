//go:build linux && !android

package doctor

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// guardFacts are what forged SYN-ACKs drew on loopback, in one family.
type guardFacts struct {
	v6      bool
	err     error  // the trial could not be made
	lacks   string // what the guard says about itself; "": complete
	control bool   // the kernel reset the one to a port without a guard, as it must
	plain   bool   // something reset the one to the guard
	hop     bool   // something reset the one to the guard with TTL 255
}

func (f guardFacts) family() string {
	if f.v6 {
		return "IPv6"
	}
	return "IPv4"
}

// guards tries the guard in both families.
func (p *patient) guards() []guardFacts {
	var all []guardFacts
	for _, v6 := range []bool{false, true} {
		all = append(all, p.tryGuard(v6))
	}
	return all
}

func judgeGuards(all []guardFacts) []Finding {
	var findings []Finding
	for _, f := range all {
		findings = append(findings, judgeGuard(f))
	}
	return findings
}

func judgeGuard(f guardFacts) Finding {
	level, text, fix := guardVerdict(f)
	return Finding{"guard", level, f.family() + ": " + text, fix}
}

func guardVerdict(f guardFacts) (level Level, text, fix string) {
	switch {
	case refused(f.err):
		return Fail, firewallRefuses, firewallFix
	case errors.Is(f.err, os.ErrPermission):
		return Info, "not tried: that needs raw sockets", openingFix(f.err, watchFix)
	case errors.Is(f.err, errLoopbackDown):
		return Fail, f.err.Error(), loopbackFix
	case errors.Is(f.err, syscall.EAFNOSUPPORT):
		return Info, fmt.Sprintf("not tried: no %s here: the kernel runs without it, or a seccomp filter refuses it", f.family()),
			"grep -o ipv6.disable=1 /proc/cmdline; grep Seccomp: /proc/self/status"
	case noAddress(f.err):
		return Info, "not tried: this host has no " + f.family() + " on loopback", f.addressFix()
	case f.err != nil:
		return Fail, "the guard cannot be tried: " + f.err.Error(), openingFix(f.err, watchFix)
	case f.plain:
		return Fail, "something resets what a guarded port receives, as a firewall rule with `reject with tcp reset` does: targets see a reset that is not ours", firewallFix
	case f.hop:
		return Warn, orElse(f.lacks, "the kernel resets segments that reach a guarded port with TTL 255") + ": targets on the same link that send with TTL 255 see a reset that is not ours",
			"zgrep CONFIG_TCP_MD5SIG /proc/config.gz /boot/config-$(uname -r); cat /proc/sys/crypto/fips_enabled"
	case !f.control:
		return Warn, "the trial shows nothing: even a port without a guard stays silent, so a firewall drops segments on loopback", firewallFix
	}
	return OK, "the kernel stays silent on guarded ports: tried on loopback, TTL 64 and 255", ""
}

// refused recognises a firewall that does not let a trial send.
func refused(err error) bool { return errors.Is(err, syscall.EPERM) && !errors.Is(err, errTrialOpen) }

// noAddress recognises a host without the loopback address of the family.
func noAddress(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.ENETUNREACH)
}

func (f guardFacts) addressFix() string {
	if f.v6 {
		return "sudo sysctl -w net.ipv6.conf.lo.disable_ipv6=0; sudo ip address replace ::1/128 dev lo"
	}
	return "sudo ip address replace 127.0.0.1/8 dev lo"
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// errTrialOpen marks errors of opening the sockets of a trial, to tell them from those of sending.
var errTrialOpen = errors.New("opening sockets")

// explained puts what we know of a lacking privilege in place of the errno that it shows by.
func (p *patient) explained(err error) error {
	if errors.Is(err, errTrialOpen) && p.denied != nil {
		return opening(p.denied)
	}
	return err
}

func opening(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errTrialOpen, err)
}
