//go:build linux && !android

package raw

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func childPrivilege() error {
	err := CheckPrivilege()
	caps, _ := readCaps()
	fmt.Printf("%v | effective %v\n", err, caps[0].Effective&netRaw != 0)
	return nil
}

// childSandbox checks under the filter that systemd's RestrictAddressFamilies=
// makes when it lacks a family.
func childSandbox(family uint32) error {
	runtime.LockOSThread()
	allow := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: seccompAllow}
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SOCKET, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16}, // its first argument, on a little-endian machine
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: family, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: seccompErrno | uint32(unix.EAFNOSUPPORT)},
		allow,
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0); err != nil {
		return err
	}
	return childPrivilege()
}

// SECCOMP_RET_ALLOW and SECCOMP_RET_ERRNO of linux/seccomp.h.
const (
	seccompAllow = 0x7fff0000
	seccompErrno = 0x00050000
)

func TestLabCheckPrivilegeInSandbox(t *testing.T) {
	requireRoot(t)
	if runtime.GOARCH == "386" {
		t.Skip("socket(2) goes through socketcall(2) here, whose arguments no filter sees")
	}
	for _, family := range []string{"AF_PACKET", "AF_NETLINK"} {
		for _, wrapper := range [][]string{{"env"}, onlyNetRaw} {
			got := startChild(t, wrapper, "without "+family)
			if !strings.Contains(got, "may not use the address family "+family+" ") || !strings.Contains(got, "RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_PACKET") {
				t.Error(got)
			}
		}
	}
}

// What a user sees, by the way the program was started.
func TestLabCheckPrivilege(t *testing.T) {
	requireRoot(t)
	plain, withCap := executable(t, t.TempDir()), executable(t, t.TempDir())
	if out, err := exec.Command("setcap", "cap_net_raw+p", withCap).CombinedOutput(); err != nil {
		t.Fatalf("setcap: %v %s", err, out)
	}
	user := "setpriv --reuid 65534 --regid 65534 --clear-groups "
	for _, c := range []struct{ wrapper, path, want string }{
		{"env", plain, "<nil> | effective true"},
		{strings.Join(onlyNetRaw, " "), plain, "<nil> | effective true"},
		{user, withCap, "<nil> | effective false"}, // raised where it is needed, and nowhere else
		{user, plain, "user 65534 has no CAP_NET_RAW and neither has the file"},
		{user + "setpriv --no-new-privs", withCap, "CAP_NET_RAW, and no_new_privs"},
		{user + "setpriv --no-new-privs", plain, "neither has the file " + plain + ", and no_new_privs"},
		{user + "--bounding-set -net_raw", plain, "--cap-add NET_RAW"},
		{"setpriv --bounding-set -net_raw", plain, "--cap-add NET_RAW"},
		{"unshare -U -r", plain, "user namespace"},
		{"unshare -U -r -n", plain, "<nil> | effective true"},
	} {
		got := startBinary(t, strings.Fields(c.wrapper), c.path, "privilege")
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s\nwant: %s", c.wrapper, got, c.want)
		}
	}
}

func TestLabCheckPrivilegeNosuid(t *testing.T) {
	requireRoot(t)
	path := executable(t, t.TempDir())
	if out, err := exec.Command("setcap", "cap_net_raw+p", path).CombinedOutput(); err != nil {
		t.Fatalf("setcap: %v %s", err, out)
	}
	dir := filepath.Dir(path)
	mount := fmt.Sprintf(`mount --bind %[1]s %[1]s && mount -o remount,bind,nosuid %[1]s && exec "$0" "$@"`, dir)
	wrapper := append([]string{"unshare", "-m", "sh", "-c", mount}, strings.Fields("setpriv --reuid 65534 --regid 65534 --clear-groups")...)
	got := startBinary(t, wrapper, path, "privilege")
	want := "the file " + path + " carries it, on a file system that is mounted nosuid. To mend it: sudo install " + path + " /usr/local/bin/raw.test && "
	if !strings.Contains(got, want) {
		t.Errorf("%s\nwant: %s", got, want)
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		standing
		situation, fix string
	}{
		{standing{uid: 1000, executable: "/usr/bin/x"}, "user 1000 has no CAP_NET_RAW and neither has the file /usr/bin/x", "sudo setcap cap_net_raw+p /usr/bin/x (or "},
		{standing{uid: 1000, executable: "/home/a b/it's"}, "neither", `setcap cap_net_raw+p '/home/a b/it'\''s' (or `},
		{standing{uid: 1000, executable: "/tmp/x", nosuid: true}, "neither", "sudo install /tmp/x /usr/local/bin/x && sudo setcap cap_net_raw+p /usr/local/bin/x (or "},
		{standing{uid: 1000, executable: "/x", fileCapability: true, nosuid: true}, "mounted nosuid", "sudo install /x /usr/local/bin/x && sudo setcap "},
		{standing{uid: 1000, executable: "/x", fileCapability: true}, "though the file /x carries it", "start it again, without a tracer"},
		{standing{uid: 1000, executable: "/x", noNewPrivs: true, fileCapability: true}, "CAP_NET_RAW, and no_new_privs", "AmbientCapabilities=CAP_NET_RAW (or docker run --user 0; in Kubernetes runAsUser: 0)"},
		{standing{uid: 1000, executable: "/x", noNewPrivs: true}, "neither has the file /x, and no_new_privs", "AmbientCapabilities=CAP_NET_RAW (or docker run --user 0; in Kubernetes an image"},
		{standing{uid: 1000, bounded: true, noNewPrivs: true}, "bounding set", "docker run --cap-add NET_RAW (or "},
		{standing{uid: 0, bounded: true}, "bounding set", "capabilities: {add: [NET_RAW]}"},
		{standing{uid: 0}, "user 0 runs without", "without dropping"},
		{standing{uid: 0, capable: true, userNamespace: true}, "user namespace", "podman run --network private (or "},
		{standing{uid: 1000, capable: true, family: "AF_NETLINK"}, "a security policy (seccomp, SELinux or AppArmor) refuses a socket of the family AF_NETLINK", "journalctl"},
		{standing{errno: unix.EAFNOSUPPORT, capable: true, family: "AF_PACKET"}, "AF_PACKET", "RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_PACKET"},
	} {
		if c.errno == 0 {
			c.errno = unix.EPERM
		}
		err := error(explain(c.standing))
		var p *PrivilegeError
		if !errors.As(err, &p) || !strings.Contains(p.Situation, c.situation) || !strings.Contains(p.Fix, c.fix) {
			t.Errorf("%+v:\n%v", c.standing, err)
		}
		if !errors.Is(err, os.ErrPermission) {
			t.Errorf("%v is not os.ErrPermission", err)
		}
		if strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("more than a line: %q", err)
		}
	}
}

func TestInitialUserMap(t *testing.T) {
	for text, want := range map[string]bool{
		"         0          0 4294967295\n": true,
		"         0       1000          1\n": false,
		"0 0 1000\n1000 1000 4294966295\n":   false,
		"":                                   false,
	} {
		if isInitialUserMap(text) != want {
			t.Errorf("%q", text)
		}
	}
}
