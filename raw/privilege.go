//go:build linux && !android

package raw

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const netRaw = 1 << unix.CAP_NET_RAW

// CheckPrivilege returns nil when this process can open the sockets of this
// package, or a *PrivilegeError that names the situation and the fix. It
// tries: a capability that is there can still be refused by a user namespace
// or a seccomp filter, and so can the netlink socket that routes are read
// from, which takes no capability.
//
// A CAP_NET_RAW that is permitted but not effective (a file capability
// "cap_net_raw+p") is enough. Capabilities belong to threads and a Go program
// has many, so the package raises it on the one thread that opens a socket
// and lowers it again right there (see privileged). Raising it on all threads
// (syscall.AllThreadsSyscall) would leave the whole program with more
// privilege than its owner gave it, fails in programs that use cgo, and
// crashes the process if one thread has dropped the capability by itself.
func CheckPrivilege() error {
	family, refusal := tryFamilies()
	if refusal == nil {
		return nil
	}
	var errno syscall.Errno
	if !errors.As(refusal, &errno) || !isRefusal(errno) {
		return refusal
	}
	return explain(readStanding(family, errno))
}

func isRefusal(errno syscall.Errno) bool {
	return errno == unix.EPERM || errno == unix.EACCES || errno == unix.EAFNOSUPPORT
}

// tryFamilies asks for a socket of each family that the package needs, and
// names the first that is refused. Closing a packet socket waits for a grace
// period of some 10 ms, so it asks for one of a type that there is not:
// packet_create (net/packet/af_packet.c) looks at the capability first.
func tryFamilies() (family string, err error) {
	for _, try := range []struct {
		name                string
		family, kind, proto int
	}{
		{"AF_INET", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW},
		{"AF_PACKET", unix.AF_PACKET, unix.SOCK_STREAM, 0},
		{"AF_NETLINK", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, // takes no capability
	} {
		fd, err := openSocket(try.family, try.kind, try.proto)
		if err == nil {
			unix.Close(fd)
		} else if !errors.Is(err, unix.ESOCKTNOSUPPORT) {
			return try.name, err
		}
	}
	return "", nil
}

// privileged runs fn with CAP_NET_RAW effective on its thread, if the thread
// is permitted to have it, and puts the thread back as it was.
func privileged(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	caps, err := readCaps()
	if err != nil || caps[0].Effective&netRaw != 0 || caps[0].Permitted&netRaw == 0 {
		return fn()
	}
	before := caps
	caps[0].Effective |= netRaw
	if err := writeCaps(&caps); err != nil {
		return fn()
	}
	defer writeCaps(&before)
	return fn()
}

// readCaps returns the calling thread's capability sets, bits 0 to 31 first.
func readCaps() (caps [2]unix.CapUserData, err error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	err = unix.Capget(&hdr, &caps[0])
	return caps, err
}

func writeCaps(caps *[2]unix.CapUserData) error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	return unix.Capset(&hdr, &caps[0])
}

// readStanding collects what explain needs to tell situations apart. What
// cannot be read counts as absent: the explanation gets less precise, the
// refusal stands.
func readStanding(family string, errno syscall.Errno) standing {
	s := standing{family: family, errno: errno, uid: os.Geteuid(), executable: "PATH"}
	if caps, err := readCaps(); err == nil {
		s.capable = (caps[0].Effective|caps[0].Permitted)&netRaw != 0
	}
	bound, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_NET_RAW, 0, 0, 0)
	s.bounded = err == nil && bound == 0
	nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	s.noNewPrivs = err == nil && nnp == 1
	if m, err := os.ReadFile("/proc/self/uid_map"); err == nil {
		s.userNamespace = !isInitialUserMap(string(m))
	}
	if path, err := os.Executable(); err == nil {
		s.executable = path
		s.fileCapability = carriesNetRaw(path)
		var fs unix.Statfs_t
		s.nosuid = unix.Statfs(path, &fs) == nil && fs.Flags&unix.ST_NOSUID != 0
	}
	return s
}

// carriesNetRaw reports whether a file gives CAP_NET_RAW to who runs it:
// struct vfs_cap_data of linux/capability.h, little-endian on every machine.
func carriesNetRaw(path string) bool {
	var b [24]byte
	n, err := unix.Getxattr(path, "security.capability", b[:])
	return err == nil && n >= 8 && binary.LittleEndian.Uint32(b[4:])&netRaw != 0
}

// isInitialUserMap recognises the map of the initial user namespace, in which
// every identifier is itself.
func isInitialUserMap(m string) bool {
	f := strings.Fields(m)
	return len(f) == 3 && f[0] == "0" && f[1] == "0" && f[2] == "4294967295"
}
