//go:build linux && !android

package raw

import (
	"fmt"
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
	// Fix is what to do: a command or a setting, on one line.
	Fix string
	// Err is what the kernel answered.
	Err syscall.Errno
}

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
	errno          syscall.Errno // of the socket that was refused
	effective      bool          // the thread has CAP_NET_RAW
	bounded        bool          // the bounding set lacks it: no program started from here can have it
	noNewPrivs     bool          // file capabilities and setuid bits have no effect
	userNamespace  bool          // not the initial user namespace
	fileCapability bool          // the executable carries some
	uid            int           // effective
	executable     string
}

// explain names the one situation that stands in the way first: what a later
// one advises would not help before the earlier is mended.
func explain(s standing) *PrivilegeError {
	situation, fix := diagnose(s)
	return &PrivilegeError{Situation: situation, Fix: fix, Err: s.errno}
}

func diagnose(s standing) (situation, fix string) {
	setcap := "sudo setcap cap_net_raw+p " + shellQuote(s.executable)
	switch {
	case s.errno == unix.EAFNOSUPPORT:
		return "this process may not use the address family AF_PACKET (a seccomp filter, as systemd's RestrictAddressFamilies= makes one)",
			"in the systemd unit, RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_PACKET"
	case s.effective && s.userNamespace:
		return "CAP_NET_RAW is there, but only inside a user namespace that does not own this network namespace (a rootless container on the host's network?)",
			"give the container a network of its own, or start it as root"
	case s.effective:
		return "CAP_NET_RAW is there, but a security policy refuses raw sockets (seccomp, SELinux or AppArmor)",
			"allow socket(AF_PACKET) and socket(AF_INET, SOCK_RAW) in that policy; `journalctl -k -g denied` shows who refused"
	case s.bounded:
		return "CAP_NET_RAW is not in the bounding set: whoever started this container or service took it away",
			"docker run --cap-add NET_RAW; Kubernetes securityContext: {capabilities: {add: [NET_RAW]}}; systemd CapabilityBoundingSet=CAP_NET_RAW and AmbientCapabilities=CAP_NET_RAW"
	case s.uid == 0:
		return "user 0 runs without CAP_NET_RAW, though it may have it: it was dropped before this program started",
			"start it without dropping CAP_NET_RAW (setpriv, capsh or the service's settings)"
	case s.noNewPrivs:
		return fmt.Sprintf("user %d has no CAP_NET_RAW, and no_new_privs keeps file capabilities from giving it", s.uid),
			"systemd AmbientCapabilities=CAP_NET_RAW; docker run without --security-opt no-new-privileges; Kubernetes securityContext: {allowPrivilegeEscalation: true} and " + setcap
	case s.fileCapability:
		return fmt.Sprintf("user %d has no CAP_NET_RAW, though %s carries file capabilities: they lack it, or the file system is mounted nosuid", s.uid, s.executable),
			setcap + " on a file system without nosuid"
	}
	return fmt.Sprintf("user %d has no CAP_NET_RAW and neither has the file %s", s.uid, s.executable),
		setcap + " (or run it with sudo; systemd AmbientCapabilities=CAP_NET_RAW)"
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
