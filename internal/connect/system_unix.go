//go:build unix

package connect

import (
	"fmt"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// setHeader sets the fields of the IP header that are not zero.
func setHeader(fd int, v6 bool, ttl, tos uint8) error {
	level, ttlOption, tosOption := unix.IPPROTO_IP, unix.IP_TTL, unix.IP_TOS
	if v6 {
		level, ttlOption, tosOption = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_TCLASS
	}
	if err := setOption("Config.TTL", fd, level, ttlOption, int(ttl)); err != nil {
		return err
	}
	return setOption("Config.TOS", fd, level, tosOption, int(tos))
}

// setOption sets a socket option for a Config field, if it is not zero.
func setOption(field string, fd, level, option, value int) error {
	if value == 0 {
		return nil
	}
	if err := unix.SetsockoptInt(fd, level, option, value); err != nil {
		return fmt.Errorf("%s %d: %w", field, value, os.NewSyscallError("setsockopt", err))
	}
	return nil
}

// descriptorLimit returns how many descriptors probes may hold: three quarters of RLIMIT_NOFILE, so that the rest of the program
// can go on.
func descriptorLimit() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return math.MaxInt32
	}
	return int(max(1, min(uint64(r.Cur), math.MaxInt32)/4*3))
}

func portableErrno(errno syscall.Errno) syscall.Errno { return errno }
