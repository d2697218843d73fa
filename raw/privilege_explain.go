//go:build linux && !android

package raw

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// PrivilegeError says why this process may not open raw sockets and what to
// do about it. errors.Is(err, os.ErrPermission) holds.
type PrivilegeError struct {
	// Situation is what was found, as a clause: "user 1000 has no CAP_NET_RAW
	// and neither has the file /usr/bin/rawshake".
	Situation string
	// Fix is what to do, on one line: a command or a setting. Other ways, for
	// who is somewhere else, follow in parentheses: "sudo setcap cap_net_raw+p
	// /usr/bin/rawshake (or run it with sudo)".
	Fix string
	// Err is what the kernel answered.
	Err syscall.Errno
}

// Error returns the situation and the fix, on one line.
func (e *PrivilegeError) Error() string {
	return fmt.Sprintf("no permission to open raw sockets: %s. To mend it: %s", e.Situation, e.Fix)
}

// Unwrap returns an error that is os.ErrPermission to errors.Is.
func (e *PrivilegeError) Unwrap() error {
	if e.Err == unix.EACCES {
		return e.Err
	}
	return unix.EPERM
}

// standing is what a process is and may do, as far as CAP_NET_RAW goes.
type standing struct {
	family         string        // of the socket that was refused: "AF_INET", "AF_PACKET", "AF_NETLINK"
	errno          syscall.Errno // with which it was refused
	capable        bool          // the thread has CAP_NET_RAW, or may raise it
	bounded        bool          // the bounding set lacks it: no program started from here can have it
	noNewPrivs     bool          // setuid bits have no effect, and file capabilities give only what was permitted before
	userNamespace  bool          // not the initial user namespace
	fileCapability bool          // the executable carries CAP_NET_RAW
	nosuid         bool          // its file system gives no capabilities
	uid            int           // effective
	executable     string
}

// explain names the one situation that stands in the way first: what a later
// one advises would not help before the earlier is mended.
func explain(s standing) *PrivilegeError {
	situation, fix := diagnose(s)
	return &PrivilegeError{Situation: situation, Fix: fix, Err: s.errno}
}

// diagnose puts that way first which most readers can go, and the others into
// parentheses.
func diagnose(s standing) (situation, fix string) {
	switch {
	case s.errno == unix.EAFNOSUPPORT:
		return "this process may not use the address family " + s.family + " (a seccomp filter, as systemd's RestrictAddressFamilies= makes one)",
			"in the systemd unit, RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_PACKET"
	case s.capable && s.userNamespace:
		return "CAP_NET_RAW is there, but only inside a user namespace that does not own this network namespace (a rootless container on the host's network?)",
			"podman run --network private (or give the container a network of its own in another way; or start it as root)"
	case s.capable:
		return "CAP_NET_RAW is there, but a security policy (seccomp, SELinux or AppArmor) refuses a socket of the family " + s.family +
				": it must allow socket(AF_PACKET), socket(AF_NETLINK) and socket(AF_INET, SOCK_RAW)",
			"sudo journalctl -k -g denied (or grep Seccomp: /proc/self/status)"
	case s.bounded:
		return "CAP_NET_RAW is not in the bounding set: whoever started this container or service took it away",
			"docker run --cap-add NET_RAW (or in Kubernetes securityContext: {capabilities: {add: [NET_RAW]}}; in a systemd unit CapabilityBoundingSet=CAP_NET_RAW and AmbientCapabilities=CAP_NET_RAW)"
	case s.uid == 0:
		return "user 0 runs without CAP_NET_RAW, though it may have it: it was dropped before this program started",
			"start it without dropping CAP_NET_RAW (setpriv, capsh or the service's settings)"
	case s.noNewPrivs:
		return diagnoseNoNewPrivs(s)
	}
	return diagnoseFile(s)
}

// diagnoseNoNewPrivs knows what docs/capabilities.md measured: containerd
// permits the capability before it starts the program, so that one on the file
// works in Kubernetes; Docker and systemd do not.
func diagnoseNoNewPrivs(s standing) (situation, fix string) {
	const unit, container = "in the systemd unit, AmbientCapabilities=CAP_NET_RAW", "docker run --user 0; in Kubernetes "
	if s.fileCapability {
		return fmt.Sprintf("user %d has no CAP_NET_RAW, and no_new_privs keeps file capabilities from giving it", s.uid),
			unit + " (or " + container + "runAsUser: 0)"
	}
	return fmt.Sprintf("user %d has no CAP_NET_RAW and neither has the file %s, and no_new_privs keeps file capabilities from giving what was not permitted before", s.uid, s.executable),
		unit + " (or " + container + "an image whose file has it, by setcap cap_net_raw+p)"
}

// diagnoseFile is about who has no privilege but what the file gives.
func diagnoseFile(s standing) (situation, fix string) {
	path := s.executable
	switch {
	case s.fileCapability && s.nosuid:
		situation = fmt.Sprintf("user %d has no CAP_NET_RAW: the file %s carries it, on a file system that is mounted nosuid", s.uid, path)
	case s.fileCapability:
		return fmt.Sprintf("user %d has no CAP_NET_RAW, though the file %s carries it: it came after the start, or a tracer (strace, a debugger) kept it away", s.uid, path),
			"start it again, without a tracer"
	default:
		situation = fmt.Sprintf("user %d has no CAP_NET_RAW and neither has the file %s", s.uid, path)
	}
	if s.nosuid {
		elsewhere := "/usr/local/bin/" + filepath.Base(path)
		fix = "sudo install " + shellQuote(path) + " " + shellQuote(elsewhere) + " && "
		path = elsewhere
	}
	return situation, fix + "sudo setcap cap_net_raw+p " + shellQuote(path) + " (or run it with sudo; in a systemd unit AmbientCapabilities=CAP_NET_RAW)"
}

// shellQuote makes a path safe to paste into a shell.
func shellQuote(path string) string {
	plain := func(r rune) bool {
		return strings.ContainsRune("/._-+@%", r) || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
	}
	if strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
