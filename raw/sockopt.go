//go:build linux && !android

package raw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// openSocket opens a non-blocking socket that stays out of Go's poller: the
// poller would run a callback for each packet that arrives or leaves.
func openSocket(family, kind, proto int) (fd int, err error) {
	err = privileged(func() error {
		fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
		return os.NewSyscallError("socket", err)
	})
	return fd, err
}

// named puts the option's or the call's name before its error.
func named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

func setInt(fd, level, option, value int, name string) error {
	return named(name, unix.SetsockoptInt(fd, level, option, value))
}

func bindDevice(fd int, device string) error {
	if device == "" {
		return nil
	}
	return named("SO_BINDTODEVICE "+device, privileged(func() error {
		return unix.BindToDevice(fd, device)
	}))
}

func setMark(fd int, mark uint32) error {
	if mark == 0 {
		return nil
	}
	return privileged(func() error {
		return setInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(int32(mark)), "SO_MARK (Linux before 5.17 asks for CAP_NET_ADMIN)")
	})
}

// setSendBuffer goes past net.core.wmem_max where the process may, and takes
// what the limit leaves where it may not.
func setSendBuffer(fd, size int) error {
	if size == 0 {
		return nil
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size) == nil {
		return nil
	}
	return setInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, size, "SO_SNDBUF")
}

func bindSource(fd int, v6 bool, source netip.Addr) error {
	if !source.IsValid() {
		return nil
	}
	addr, err := socketAddress(v6, source, 0)
	if err != nil {
		return err
	}
	return named("bind to "+source.String(), unix.Bind(fd, addr))
}

// socketAddress refuses an address of the other family: the kernel would take
// the bytes for something else.
func socketAddress(v6 bool, addr netip.Addr, port int) (unix.Sockaddr, error) {
	addr = addr.Unmap()
	if addr.Is6() != v6 {
		return nil, fmt.Errorf("address %v is not of the socket's family (%s)", addr, familyName(v6))
	}
	if !v6 {
		return &unix.SockaddrInet4{Port: port, Addr: addr.As4()}, nil
	}
	zone, err := zoneIndex(addr.Zone())
	if err != nil {
		return nil, err
	}
	return &unix.SockaddrInet6{Port: port, ZoneId: uint32(zone), Addr: addr.As16()}, nil
}

func familyName(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

var errNoFilter = errors.New("the filter is empty: give at least one instruction")

// attachFilter sets a classic BPF program, at once and in place of the one
// before.
func attachFilter(fd int, prog []bpf.RawInstruction) error {
	if len(prog) == 0 {
		return errNoFilter
	}
	code := make([]unix.SockFilter, len(prog))
	for i, in := range prog {
		code[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	return named("SO_ATTACH_FILTER", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog))
}

// dropAll makes a socket deaf.
func dropAll(fd int) error {
	return attachFilter(fd, []bpf.RawInstruction{{Op: unix.BPF_RET | unix.BPF_K}})
}

func ptr[T any](p *T) unsafe.Pointer { return unsafe.Pointer(p) }

// networkOrder returns v with its bytes as the network has them.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
