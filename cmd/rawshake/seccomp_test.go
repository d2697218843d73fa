//go:build linux && !android

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (linux/seccomp.h); the low half of an argument comes first on little-endian machines.
const (
	seccompNumber = 0
	seccompArg0   = 16
	seccompArg1   = 24
	seccompArg2   = 32
)

// seccompFilters refuse what a kernel or a sandbox may lack.
var seccompFilters = map[string][]bpf.Instruction{
	// A kernel without CONFIG_TCP_MD5SIG.
	"md5": refuse(unix.ENOPROTOOPT, unix.SYS_SETSOCKOPT, seccompArg1, unix.IPPROTO_TCP, seccompArg2, unix.TCP_MD5SIG_EXT),
	// systemd's RestrictAddressFamilies= without AF_PACKET, and without AF_NETLINK.
	"packet":  refuse(unix.EAFNOSUPPORT, unix.SYS_SOCKET, seccompArg0, unix.AF_PACKET, seccompArg0, unix.AF_PACKET),
	"netlink": refuse(unix.EAFNOSUPPORT, unix.SYS_SOCKET, seccompArg0, unix.AF_NETLINK, seccompArg0, unix.AF_NETLINK),
	// A kernel without IPv6, or one of these without AF_INET6.
	"no IPv6": refuse(unix.EAFNOSUPPORT, unix.SYS_SOCKET, seccompArg0, unix.AF_INET6, seccompArg0, unix.AF_INET6),
	// A policy that answers as to one who lacks a capability, and a machine without memory for sockets.
	"policy":    refuse(unix.EPERM, unix.SYS_SOCKET, seccompArg0, unix.AF_PACKET, seccompArg0, unix.AF_PACKET),
	"no memory": refuse(unix.ENOMEM, unix.SYS_SOCKET, seccompArg0, unix.AF_PACKET, seccompArg0, unix.AF_PACKET),
	// Kernels without CONFIG_XDP_SOCKETS, and older than 6.17 (XDP_MAX_TX_SKB_BUDGET is 9), and one that nobody has met.
	"no AF_XDP":  refuse(unix.EAFNOSUPPORT, unix.SYS_SOCKET, seccompArg0, unix.AF_XDP, seccompArg0, unix.AF_XDP),
	"old AF_XDP": refuse(unix.ENOPROTOOPT, unix.SYS_SETSOCKOPT, seccompArg1, unix.SOL_XDP, seccompArg2, 9),
	"odd AF_XDP": refuse(unix.EIO, unix.SYS_SOCKET, seccompArg0, unix.AF_XDP, seccompArg0, unix.AF_XDP),
}

// refuse is a filter that answers errno to a system call with two arguments of these values.
func refuse(errno syscall.Errno, number, arg, value, arg2, value2 uint32) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: seccompNumber, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: number, SkipTrue: 5},
		bpf.LoadAbsolute{Off: arg, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: value, SkipTrue: 3},
		bpf.LoadAbsolute{Off: arg2, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: value2, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW},
	}
}

// play is a role of this test binary: it puts itself under the system call filter of that name, or into a user namespace of its own,
// and becomes the command. It returns only if that fails.
func play(role string) error {
	os.Setenv(roleVariable, "command")
	switch role {
	case "user namespace":
		return inUserNamespace()
	case "among":
		return becomeAmong()
	}
	program, err := bpf.Assemble(seccompFilters[role])
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the thread that execs keeps its filter
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0]))}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0); err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

// inUserNamespace runs the command as root of a new user namespace, to which the network does not belong.
func inUserNamespace() error {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	root := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: root}
	if err := cmd.Run(); cmd.ProcessState == nil {
		return err
	}
	os.Exit(cmd.ProcessState.ExitCode())
	return nil
}
